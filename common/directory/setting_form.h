#ifndef DIRECTORY_SETTING_FORM_H
#define DIRECTORY_SETTING_FORM_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/slice.h"

/*
 * The form that a text, or each item of a list, must have: the column
 * "choices" of settings.def names it for settings of these types.
 *
 *	ip                  one address
 *	address             a mail address
 *	delimiter           a character that may stand in a local part and is
 *	                    neither letter nor digit
 *	smarthost           see smarthost.h
 *	ip=host  ip=text  domain=host
 *	domain=tls          domain may be * in this and all that follow
 *	domain=source       address/name, either may be missing
 *	domain=smarthost    domain[=smarthost]
 *
 * Append `item` in its canonical form (domains as A-labels) to `out`.  False:
 * it has another form, and *like_out is an example of the right one.
 */
bool setting_form_check(const char *form, struct slice item, struct buf *out,
    const char **like_out) MUST_CHECK;

#endif /* DIRECTORY_SETTING_FORM_H */
