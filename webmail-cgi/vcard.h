#ifndef WEBMAIL_CGI_VCARD_H
#define WEBMAIL_CGI_VCARD_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/slice.h"
#include "base/table.h"
#include "mail/content_line.h"

#include "webmail-cgi/store_contacts.h"

/*
 * Address books as files: vCard 3.0 (RFC 2426) and 4.0 (RFC 6350), and comma
 * separated values with a line of headings.  Pure pull readers: what they
 * return lives in the pool; nothing in it is validated but that it is UTF-8
 * without control characters.
 */

/* --- vCard -------------------------------------------------------------------- */

enum vcard_result {
	VCARD_END,
	VCARD_CONTACT,
	VCARD_SKIPPED, /* a group's card, or none: *line_out says where */
};

/*
 * The next card of a file; UTF-8.  contact.groups_text: its categories, one a line;
 * contact.more: the lines (unfolded) of all properties that have no place in
 * struct contact, to be written again by vcard_write().
 */
enum vcard_result vcard_next(struct content_scan *s, struct pool *pool,
    struct contact *out, unsigned *line_out);

/* Append as vCard 4.0 with CRLF line ends, folded at 75 bytes. */
void vcard_write(const struct contact *c, struct buf *out);

/* --- CSV ------------------------------------------------------------------------- */

struct csv_scan {
	struct table table;
	unsigned char columns[TABLE_FIELDS_MAX]; /* what each is: private */
	size_t count;
};

/* Reads the headings; false: no column of addresses or names among them. */
bool csv_begin(struct csv_scan *s, struct pool *pool, struct slice text);

/*
 * The next line: 1; 0: the end; -1: it is malformed, and the next call goes on
 * behind it.  A line without anything is passed over.
 */
int csv_next(struct csv_scan *s, struct pool *pool, struct contact *out,
    unsigned *line_out);

/* A line a contact under these headings, quoted (RFC 4180 2). */
#define CSV_HEADINGS                                                       \
	"Name,Company,E-mail 1,E-mail 2,E-mail 3,E-mail 4,E-mail 5,Phone," \
	"Notes,Groups\r\n"
void csv_write(const struct contact *c, struct buf *out);

#endif /* WEBMAIL_CGI_VCARD_H */
