#ifndef WEBMAIL_CGI_CONTACTS_H
#define WEBMAIL_CGI_CONTACTS_H

#include "web/web.h"

/*
 * The address book's pages; completion of address fields.
 */
void contacts_page(struct web_request *r, struct web_response *w);
void contact_page(struct web_request *r, struct web_response *w);
void contact_post(struct web_request *r, struct web_response *w);
void groups_post(struct web_request *r, struct web_response *w);

/* "/complete?q=": up to ten <option>, the last word typed being `q`. */
void complete_page(struct web_request *r, struct web_response *w);

/* --- contacts_file.c ---------------------------------------------------------- */

void contacts_import_page(struct web_request *r, struct web_response *w);
void contacts_import_post(struct web_request *r, struct web_response *w);
void contacts_vcf(struct web_request *r, struct web_response *w);
void contacts_csv(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_CONTACTS_H */
