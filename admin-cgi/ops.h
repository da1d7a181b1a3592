#ifndef ADMIN_CGI_OPS_H
#define ADMIN_CGI_OPS_H

#include "directory/json_file.h"

#include "admin-cgi/admin.h"

/*
 * The pages by which the server explains itself: queue, trace, log, tools,
 * checks, settings, protection, certificates, backup.
 *
 * None of them touches the network or another program's files but the logs:
 * what has to connect is a job of the queue runner (queue/tools.h), started
 * by a POST and shown by its number; the page of a running job loads itself
 * again every second.  Logs are read here, as a member of the group
 * mailstead-dir, which every log directory belongs to: program and day
 * come from fixed lists, so no name from a request becomes a path.
 */

/*
 * Ask the runner as who is signed in; as admin_ask(), admin_need() and
 * admin_write() (ask.c).
 */
int runner_ask(struct web_request *r, json_t *request, json_t **reply_out,
    struct err *e) MUST_CHECK;
int runner_need(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out) MUST_CHECK;
int runner_write(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out, struct problem *p) MUST_CHECK;

/*
 * Start a job of the runner's (queue/tools.h); its number, or 0 when an answer
 * is sent already.  Takes `args`.
 */
json_int_t runner_start(struct web_request *r, struct web_response *w,
    const char *tool, json_t *args);
/* Its result (new), if it comes within what a page may wait; else NULL. */
json_t *runner_wait(struct web_request *r, json_int_t job);

/*
 * A user's last sign-ins, newest first (new): [{at, how, ip, words, good,
 * times: of more than one in a row}] (signins.c).
 */
json_t *signins_of(struct web_request *r, const char *address);

/*
 * "checks" of a result: the bad ones first, each with title, state_text and
 * tone; "at" of the result as ops_put_time().
 */
void ops_shape_checks(struct web_request *r, json_t *result);

/* Milliseconds of an RFC 3339 text for {{date}}, under `key`; null: nothing. */
void ops_put_time(json_t *o, const char *key, const char *rfc3339);

/*
 * What the catalogue calls `name` among its "<kind>.<name>"; what it does not
 * know, as it is (request's pool).
 */
const char *ops_words(
    struct web_request *r, const char *kind, const char *name);

/*
 * An event of the log in words; what has none, as it is (request's pool).
 */
const char *ops_event_words(struct web_request *r, const json_t *event);

/* --- search.c --------------------------------------------------------------------- */
void search_page(struct web_request *r, struct web_response *w);

/* --- queue.c ---------------------------------------------------------------------- */
void queue_page(struct web_request *r, struct web_response *w);
void queue_post(struct web_request *r, struct web_response *w);
void queue_message_page(struct web_request *r, struct web_response *w);

/* --- logs.c ----------------------------------------------------------------------- */
void trace_page(struct web_request *r, struct web_response *w);
void trace_message_page(struct web_request *r, struct web_response *w);
void log_page(struct web_request *r, struct web_response *w);

/* --- tools.c ---------------------------------------------------------------------- */
void tools_page(struct web_request *r, struct web_response *w);
void tools_post(struct web_request *r, struct web_response *w);
void tools_job_page(struct web_request *r, struct web_response *w);
void checks_page(struct web_request *r, struct web_response *w);
void checks_post(struct web_request *r, struct web_response *w);

/* --- dns.c ------------------------------------------------------------------------ */

/*
 * How the last look at a domain's DNS ended (new): {need, unknown, all, tone};
 * NULL: nobody has looked since the runner was started.
 */
json_t *dns_last(struct web_request *r, const char *domain);
void dns_page(struct web_request *r, struct web_response *w);
void dns_post(struct web_request *r, struct web_response *w);
void dns_zone_get(struct web_request *r, struct web_response *w);

/* --- settings.c ------------------------------------------------------------------- */
void settings_page(struct web_request *r, struct web_response *w);
void settings_post(struct web_request *r, struct web_response *w);
void protection_page(struct web_request *r, struct web_response *w);
void protection_post(struct web_request *r, struct web_response *w);

/* --- trial.c ---------------------------------------------------------------------- */

/* What is on trial, for {{>_trial}}. */
void trial_put(struct web_request *r, json_t *page);
/*
 * The buttons of {{>_trial}}.  False: none of them; true: an answer is sent,
 * unless *p has a problem to show.
 */
bool trial_post(
    struct web_request *r, struct web_response *w, struct problem *p);

/* --- certs.c ---------------------------------------------------------------------- */
void certificates_page(struct web_request *r, struct web_response *w);
void certificates_post(struct web_request *r, struct web_response *w);

/* --- credentials.c ---------------------------------------------------------------- */
void credentials_page(struct web_request *r, struct web_response *w);
void credentials_post(struct web_request *r, struct web_response *w);

/* --- mailboxes.c ------------------------------------------------------------------ */
void mailboxes_page(struct web_request *r, struct web_response *w);
void mailboxes_post(struct web_request *r, struct web_response *w);

/* --- care.c ----------------------------------------------------------------------- */
void backup_page(struct web_request *r, struct web_response *w);

#endif /* ADMIN_CGI_OPS_H */
