#ifndef WEBMAIL_CGI_FOLDER_FILE_H
#define WEBMAIL_CGI_FOLDER_FILE_H

#include "web/web.h"

/*
 * Folders from and to files.
 *
 * POST /folders/import: messages as files (.eml) into the form's `folder`,
 * read already, by their own date.  What is no message or too large is left
 * out, and so is what the quota has no room for; the page of folders says how
 * many there were.
 *
 * GET /folders/{}/zip: all messages of a folder in one archive, in constant
 * memory but for their names.
 */
void folder_import_post(struct web_request *r, struct web_response *w);
void folder_zip(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_FOLDER_FILE_H */
