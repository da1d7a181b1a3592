#ifndef WEBMAIL_CGI_SETTINGS_H
#define WEBMAIL_CGI_SETTINGS_H

#include "webmail-cgi/webmail.h"

/*
 * What users set for themselves: /settings and /settings/<topic> (reading,
 * writing, look, identities, labels, forward, account).  A field that a form
 * does not have changes nothing; neither does aliases=nochange, whatever
 * templates of old have.  Who may change what is judged by accountd.
 */
/* Links to all their pages; `here` is the one shown (new). */
json_t *settings_tabs(struct web_request *r, const char *here);

void settings_root(struct web_request *r, struct web_response *w);
void settings_page(struct web_request *r, struct web_response *w);
void settings_post(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_SETTINGS_H */
