#ifndef WEBMAIL_CGI_FOLDERS_PAGE_H
#define WEBMAIL_CGI_FOLDERS_PAGE_H

#include "web/web.h"

/* GET and POST /folders: create, rename, delete. */
void folders_page(struct web_request *r, struct web_response *w);
void folders_post(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_FOLDERS_PAGE_H */
