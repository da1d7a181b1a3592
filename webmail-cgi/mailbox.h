#ifndef WEBMAIL_CGI_MAILBOX_H
#define WEBMAIL_CGI_MAILBOX_H

#include "proc/service.h"

#include "maildir/index.h"

#include "webmail-cgi/webmail.h"

/*
 * The signed-in user's mailbox as the pages see it: the index, folders by the
 * names they have in URLs, and what is done to messages.
 */

/*
 * The index, brought up to date (the folder `first`, a directory, before the
 * others) the first time a request asks.  It is the request's until its end.
 * While a large mailbox is being indexed it knows the newest mail only.  If
 * its file cannot be written, it is made in memory, for this request.
 */
int mailbox_index(struct web_request *r, const char *first, struct index **out,
    struct err *e) MUST_CHECK;

/*
 * After a call of the index failed: true if its file was found to be damaged,
 * and another is in its place; then that call is to be tried again.
 */
bool mailbox_renew(
    struct web_request *r, const char *first, struct index **out);

/* Messages that mailbox_index() found to be not yet in the index. */
uint64_t mailbox_missing(const struct web_request *r);

/* web_app.done: gives the index back. */
void mailbox_done(struct web_request *r);

/*
 * Something of this mailbox is to be done in the background: the worker's
 * thread goes on with its jobs and with reading what is missing.
 */
void mailbox_work(struct web_request *r);

/*
 * Messages were deleted: count the mailbox anew, and tell accountd what it
 * holds and whether one that was full has room again.
 */
void mailbox_tell_usage(
    struct webmail *m, const char *local, const char *domain);

/* Once in a worker; starts its background thread. */
int mailbox_start(struct worker *w, struct webmail *m, const char *cache_dir,
    struct err *e) MUST_CHECK;

/* The message opened for reading; ERR_PERM: gone. */
int mailbox_open_message(struct web_request *r, const struct index_message *m,
    int *fd_out, struct err *e) MUST_CHECK;

/*
 * A folder of the mailbox by its Maildir++ name (".Sent", "" = the inbox);
 * errors as of maildir_open().
 */
int mailbox_open_folder(const struct web_request *r, const char *dir,
    bool create, struct maildir *out, struct err *e) MUST_CHECK;

/* Our host name, as new messages' names have it.  The request's. */
const char *mailbox_host_name(struct web_request *r);

/* --- Folders in URLs -------------------------------------------------------- */

/*
 * "inbox", "sent", "drafts", "archive", "junk", "trash", "scheduled"; others
 * are "~" and the directory without its leading dot.
 */
#define MAILBOX_SCHEDULED ".Scheduled"

/* NULL: that cannot be a folder.  The request's. */
const char *mailbox_dir_of(struct web_request *r, const char *id);
const char *mailbox_id_of(struct web_request *r, const char *dir);

/* What the user calls it. */
const char *mailbox_folder_name(struct web_request *r, const char *dir);

/* For the side bar: {folders: [...], own_folders: [...]}; see _side.html. */
void mailbox_describe_folders(
    struct web_request *r, const char *current, json_t *out);

#endif /* WEBMAIL_CGI_MAILBOX_H */
