#ifndef WEBMAIL_CGI_SITE_H
#define WEBMAIL_CGI_SITE_H

#include "web/page.h"

#include "webmail-cgi/webmail.h"

/*
 * What a domain makes its own: which domain a host's name means before anybody
 * has signed in, its brand files, signing up, and the old servers' addresses.
 */

/* web_app.find_session: also web_request.site. */
int site_find_session(
    struct web_request *r, struct web_response *w, struct err *e);

/* {{brand.css}} and {{brand.logo}} of a domain, "" = the server's. */
void site_add_brand(
    struct web_request *r, const char *domain, struct page_look *out);

/* The domain a request's host name means, or "". */
const char *site_of_host(struct web_request *r);

/* web_app.elsewhere: /IClient/, /addnewuser, and autoconfig.h. */
void site_elsewhere(struct web_request *r, struct web_response *w);

/* /brand/DOMAIN/brand.css and /brand/DOMAIN/images/NAME; "-" = the server's */
void brand_css(struct web_request *r, struct web_response *w);
void brand_image(struct web_request *r, struct web_response *w);

/* --- signup.c ----------------------------------------------------------------- */

/* Is there a link to it on the sign-in page? */
bool signup_is_offered(struct web_request *r);

void signup_page(struct web_request *r, struct web_response *w);
void signup_post(struct web_request *r, struct web_response *w);

/* --- sessions.c --------------------------------------------------------------- */

void sessions_page(struct web_request *r, struct web_response *w);
void sessions_post(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_SITE_H */
