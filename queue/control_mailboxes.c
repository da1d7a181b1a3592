/*
 * What deleted accounts left, for the administration: the mailbox verbs of
 * control.h.  The command line does the same by itself (mailstead/left.c).
 *
 * accountd judges who acts, from the session, and writes the audit line before
 * the deed.  Mail is moved or removed, never opened.  Runs on the connection
 * threads.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include "maildir/left.h"
#include "maildir/maildir.h"
#include "queue/control_verbs.h"

enum {
	ANSWER_MS = 10000,
	PATH_SIZE = 512,
	DAY_MS = 86400000,
	DAYS_MAX = 36500,
	ROWS_MAX = 200, /* of 300 bytes, a packet */
};

static json_t *
refusal(const struct err *e)
{
	return control_refusal(
	    e->kind == ERR_PERM ? "refused" : "temp", e->text);
}

/* accountd's answer to the act as it was asked for, {"ok": ...}. */
static json_t *
ask(struct control_session *s, const char *verb, const char *address,
    json_t *days)
{
	json_t *reply;
	struct err e;

	if (accountd_ask(s->runner->accountd,
		json_pack("{s:s,s:s,s:s*,s:O*}", "verb", verb, "session",
		    s->token, "address", address, "days", days),
		ANSWER_MS, &reply, &e) != 0)
		return refusal(&e);
	return reply;
}

/* The runner's own look at mail/, and at users/ for a moment. */
static int
open_roots(
    const struct control_session *s, struct left_roots *out, struct err *e)
{
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "%s/users", s->runner->state_dir);
	out->mail_fd = s->runner->mail_root_fd;
	out->users_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out->users_fd < 0 ? err_errno(e, "%s", path) : 0;
}

static void
log_deed(const struct control_session *s, const char *verb, const char *address)
{
	struct log_line l;

	log_begin(&l, "control", NULL, NULL);
	log_str(&l, "verb", verb);
	if (address != NULL)
		log_str(&l, "account", address);
	log_str(&l, "actor", s->actor);
	log_end(&l);
}

/* --- What is there ------------------------------------------------------------- */

/* Rows as "ADDRESS TIME", so that one order is the list's and the cursor's. */
struct rows {
	char **list;
	size_t count, space;
};

static void
add_found(void *arg, const char *domain, const char *name, int64_t time_ms)
{
	struct rows *rows = arg;

	rows->list = mem_grow(
	    rows->list, &rows->space, rows->count + 1, sizeof(*rows->list));
	rows->list[rows->count++] = mem_printf("%.*s@%s %013lld",
	    (int)(strrchr(name, '~') - name), name, domain, (long long)time_ms);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *
show(const char *row)
{
	char when[CLOCK_RFC3339_SIZE];
	const char *space = strrchr(row, ' ');

	clock_rfc3339(strtoll(space + 1, NULL, 10), when);
	return json_pack("{s:s%,s:s}", "address", row, (size_t)(space - row),
	    "aside_at", when);
}

static json_t *
verb_list(struct control_session *s, json_t *request)
{
	const char *after =
	    json_string_value(json_object_get(request, "after"));
	const struct left_roots roots = { s->runner->mail_root_fd, -1 };
	json_t *items = json_array(), *answer;
	struct rows rows = { 0 };
	struct err e;
	int rc = left_list(&roots, add_found, &rows, &e);

	answer = rc != 0 ? refusal(&e)
			 : json_pack("{s:b,s:O}", "ok", 1, "items", items);
	if (rows.count > 1)
		qsort(rows.list, rows.count, sizeof(*rows.list), compare);
	for (size_t i = 0; i < rows.count; i++) {
		bool is_due = after == NULL || strcmp(rows.list[i], after) > 0;

		if (is_due && json_array_size(items) < ROWS_MAX)
			json_array_append_new(items, show(rows.list[i]));
		else if (is_due && json_object_get(answer, "next") == NULL)
			json_object_set_new(
			    answer, "next", json_string(rows.list[i - 1]));
	}
	for (size_t i = 0; i < rows.count; i++)
		free(rows.list[i]);
	free(rows.list);
	json_decref(items);
	return answer;
}

/* --- The acts ------------------------------------------------------------------ */

typedef int left_move(
    const struct left_roots *roots, const char *address, struct err *e);

static int
move(struct control_session *s, left_move *deed, const char *address,
    struct err *e)
{
	struct left_roots roots;
	int rc = open_roots(s, &roots, e);

	if (rc != 0)
		return -1;
	rc = deed(&roots, address, e);
	(void)close(roots.users_fd);
	return rc;
}

static json_t *
aside(struct control_session *s, const char *address, json_int_t days)
{
	struct err e;

	(void)days;
	return move(s, left_put_aside, address, &e) != 0
	    ? refusal(&e)
	    : ask(s, "mailbox settled", address, NULL);
}

/* What the account has now, for its quota. */
static int
recount(struct control_session *s, const char *address, struct err *e)
{
	const char *at = strrchr(address, '@');
	struct maildir_usage used = { 0, 0 };
	char path[PATH_SIZE];
	struct maildir m;
	json_t *reply;
	int rc = -1;

	if (!maildir_path(slice_of(address, (size_t)(at - address)),
		slice_str(at + 1), path, sizeof(path)))
		return err_set(e, ERR_PERM, "not an address");
	if (maildir_open(s->runner->mail_root_fd, path, "", false, &m, e) ==
	    0) {
		rc = maildir_usage_recount(&m, &used, e);
		maildir_close(&m);
	}
	if (rc != 0 ||
	    accountd_call(s->runner->accountd,
		json_pack("{s:s,s:s,s:I,s:I}", "verb", "user usage", "address",
		    address, "used_bytes", (json_int_t)used.bytes,
		    "used_messages", (json_int_t)used.messages),
		ANSWER_MS, &reply, e) != 0)
		return -1;
	json_decref(reply);
	return 0;
}

static json_t *
back(struct control_session *s, const char *address, json_int_t days)
{
	struct err e;

	(void)days;
	return move(s, left_put_back, address, &e) != 0 ||
		recount(s, address, &e) != 0
	    ? refusal(&e)
	    : json_pack("{s:b}", "ok", 1);
}

static void
count_gone(void *arg, const char *root, const char *path)
{
	json_int_t *removed = arg;

	(void)path;
	*removed += strcmp(root, "mail") == 0;
}

static json_t *
purge(struct control_session *s, const char *address, json_int_t days)
{
	struct left_roots roots;
	json_int_t removed = 0;
	struct err e;
	int rc = open_roots(s, &roots, &e);

	if (rc == 0) {
		rc = left_purge(&roots, address,
		    clock_wall_ms() - days * DAY_MS, count_gone, &removed, &e);
		(void)close(roots.users_fd);
	}
	return rc != 0 ? refusal(&e)
		       : json_pack("{s:b,s:I}", "ok", 1, "removed", removed);
}

static json_t *
act(struct control_session *s, json_t *request, const char *verb,
    json_t *(*run)(
	struct control_session *s, const char *address, json_int_t days))
{
	json_t *days = json_object_get(request, "days"), *known, *answer;
	const char *address =
	    json_string_value(json_object_get(request, "address"));

	if (run == purge &&
	    (!json_is_integer(days) || json_integer_value(days) < 0 ||
		json_integer_value(days) > DAYS_MAX))
		return control_refusal("syntax", "days is missing");
	known = ask(s, verb, address, days);
	if (!json_is_true(json_object_get(known, "ok")))
		return known;
	if (run != purge)
		address = json_string_value(json_object_get(known, "address"));
	answer = run(s, address, json_integer_value(days));
	if (json_is_true(json_object_get(answer, "ok")))
		log_deed(s, verb, address);
	json_decref(known);
	return answer;
}

json_t *
control_mailbox(struct control_session *s, const char *verb, json_t *request)
{
	static const struct {
		const char *name;
		json_t *(*run)(struct control_session *s, const char *address,
		    json_int_t days);
	} acts[] = {
		{ "mailbox aside", aside },
		{ "mailbox back", back },
		{ "mailbox purge", purge },
	};

	if (strncmp(verb, "mailbox ", strlen("mailbox ")) != 0)
		return NULL;
	/* the operator's program does it itself, and puts it down */
	if (s->token == NULL)
		return control_refusal("forbidden", "only with a session");
	if (strcmp(verb, "mailbox list") == 0)
		return verb_list(s, request);
	for (size_t i = 0; i < ARRAY_LEN(acts); i++)
		if (strcmp(verb, acts[i].name) == 0)
			return act(s, request, verb, acts[i].run);
	return NULL;
}
