/*
 * Questions to accountd as who is signed in, and what becomes of refusals.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#include "admin-cgi/ops.h"

const struct problem no_problem;

static void
add_session(struct web_request *r, json_t *request)
{
	json_object_set_new(
	    request, "session", json_string(session_of(r)->token));
}

int
admin_ask(
    struct web_request *r, json_t *request, json_t **reply_out, struct err *e)
{
	add_session(r, request);
	return accountd_call(
	    admin_of(r)->accountd, request, ASK_TIMEOUT_MS, reply_out, e);
}

static void
refuse_for(struct web_request *r, struct web_response *w,
    const struct accountd *program, const struct err *e)
{
	bool is_runner = program == admin_of(r)->runner;

	if (e->kind == ERR_PERM) {
		web_error(w, 404, pool_strdup(&r->pool, e->text));
		return;
	}
	log_error("%s: %s", is_runner ? "queue-runner" : "accountd", e->text);
	web_error(w, 503,
	    page_text(r, is_runner ? "error.runner" : "error.accountd"));
}

void
admin_refuse(struct web_request *r, struct web_response *w, const struct err *e)
{
	refuse_for(r, w, admin_of(r)->accountd, e);
}

int
admin_need(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out)
{
	struct err e;

	if (admin_ask(r, request, reply_out, &e) == 0)
		return 0;
	admin_refuse(r, w, &e);
	return -1;
}

int
runner_ask(
    struct web_request *r, json_t *request, json_t **reply_out, struct err *e)
{
	if (request == NULL)
		return err_set(e, ERR_PERM, "not UTF-8");
	add_session(r, request);
	return accountd_call(
	    admin_of(r)->runner, request, ASK_TIMEOUT_MS, reply_out, e);
}

int
runner_need(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out)
{
	struct err e;

	if (runner_ask(r, request, reply_out, &e) == 0)
		return 0;
	refuse_for(r, w, admin_of(r)->runner, &e);
	return -1;
}

/* --- Changes -------------------------------------------------------------------- */

/* The form as it was posted, with a field for the password. */
static void
send_confirm(struct web_request *r, struct web_response *w, const char *error)
{
	json_t *fields = json_array();

	for (size_t i = 0; i < r->form.count; i++) {
		const struct web_param *p = &r->form.list[i];

		/* a private key does not go out again */
		if (strcmp(p->name, "csrf") != 0 &&
		    strcmp(p->name, "key") != 0 &&
		    strcmp(p->name, "confirm") != 0)
			json_array_append_new(fields,
			    json_pack(
				"{ss,ss}", "name", p->name, "value", p->value));
	}
	w->status = 403;
	admin_page(r, w, "confirm", "",
	    json_pack("{ss,so,ss}", "action", r->path, "fields", fields,
		"error", error != NULL ? page_text(r, error) : ""));
}

/* The password of the page above, if there is one: 0, or -1 and answered. */
static int
confirm(struct web_request *r, struct web_response *w)
{
	const char *password = web_form(r, "confirm");
	json_t *reply;
	struct err e;

	if (password == NULL)
		return 0;
	if (admin_ask(r,
		json_pack(
		    "{ss,ss}", "verb", "session confirm", "password", password),
		&reply, &e) == 0) {
		json_decref(reply);
		return 0;
	}
	send_confirm(r, w, e.kind == ERR_PERM ? "confirm.wrong" : "login.busy");
	return -1;
}

static const char *
text_of(struct web_request *r, const json_t *reply, const char *key)
{
	const char *text = json_string_value(json_object_get(reply, key));

	return text != NULL ? pool_strdup(&r->pool, text) : NULL;
}

void
problem_add(struct problem *p, const char *field, const char *text)
{
	p->status = 422;
	if (p->wrong_count == PROBLEM_FIELDS_MAX)
		return;
	p->wrong[p->wrong_count].field = field;
	p->wrong[p->wrong_count++].text = text;
}

static void
read_problem(struct web_request *r, const json_t *reply, struct problem *p)
{
	const char *code = text_of(r, reply, "code");
	const char *text = text_of(r, reply, "text");
	const char *field = text_of(r, reply, "field");

	p->status = 422;
	p->code = code;
	if (code != NULL && strcmp(code, "changed") == 0) {
		p->status = 409;
		p->text = page_text(r, "error.changed");
	} else if (field != NULL) {
		problem_add(p, field, text);
	} else {
		p->text = text;
	}
}

void
admin_confirm(struct web_request *r, struct web_response *w)
{
	send_confirm(r, w, NULL);
}

static int
write_to(struct accountd *program, struct web_request *r,
    struct web_response *w, json_t *request, json_t **reply_out,
    struct problem *p)
{
	json_t *reply;
	const char *code;
	struct err e;
	int rc = 1;

	if (confirm(r, w) != 0) {
		json_decref(request);
		return -1;
	}
	add_session(r, request);
	if (accountd_ask(program, request, WRITE_TIMEOUT_MS, &reply, &e) != 0) {
		refuse_for(r, w, program, &e);
		return -1;
	}
	code = text_of(r, reply, "code");
	if (json_is_true(json_object_get(reply, "ok"))) {
		rc = 0;
		if (reply_out != NULL)
			*reply_out = json_incref(reply);
	} else if (code != NULL && strcmp(code, "not-fresh") == 0) {
		send_confirm(r, w, NULL);
		rc = -1;
	} else if (strcmp(json_text(reply, "kind"), "temp") == 0) {
		err_set(&e, ERR_TEMP, "%s", json_text(reply, "text"));
		refuse_for(r, w, program, &e);
		rc = -1;
	} else {
		read_problem(r, reply, p);
	}
	json_decref(reply);
	return rc;
}

int
admin_write(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out, struct problem *p)
{
	return write_to(admin_of(r)->accountd, r, w, request, reply_out, p);
}

int
runner_write(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out, struct problem *p)
{
	return write_to(admin_of(r)->runner, r, w, request, reply_out, p);
}

const char *
admin_url(struct web_request *r, const char *text)
{
	const char *out;
	struct buf b;

	buf_init(&b, 16384);
	web_escape_url(slice_str(text), &b);
	out = pool_strndup(&r->pool, b.data ? b.data : "", b.len);
	buf_release(&b);
	return out;
}

void
admin_done(struct web_request *r, struct web_response *w, const char *flash,
    const char *fmt, ...)
{
	char path[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	web_redirect(w, web_flash_path(r, path, flash));
}
