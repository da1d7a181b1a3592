/*
 * Questions to accountd as who is signed in, and what becomes of refusals.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#include "admin-cgi/admin.h"

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

void
admin_refuse(struct web_request *r, struct web_response *w, const struct err *e)
{
	if (e->kind == ERR_PERM) {
		web_error(w, 404, pool_strdup(&r->pool, e->text));
		return;
	}
	log_error("accountd: %s", e->text);
	web_error(w, 503, page_text(r, "error.accountd"));
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

int
admin_write(struct web_request *r, struct web_response *w, json_t *request,
    json_t **reply_out, struct problem *p)
{
	json_t *reply;
	const char *code;
	struct err e;
	int rc = confirm(r, w);

	if (rc == 0) {
		add_session(r, request);
		rc = accountd_ask(admin_of(r)->accountd, request,
		    WRITE_TIMEOUT_MS, &reply, &e);
		if (rc != 0)
			admin_refuse(r, w, &e);
	} else {
		json_decref(request);
	}
	if (rc != 0)
		return -1;
	if (json_is_true(json_object_get(reply, "ok"))) {
		if (reply_out != NULL)
			*reply_out = reply;
		else
			json_decref(reply);
		return 0;
	}
	code = text_of(r, reply, "code");
	if (code != NULL && strcmp(code, "not-fresh") == 0) {
		send_confirm(r, w, NULL);
		rc = -1;
	} else if (strcmp(json_string_value(json_object_get(reply, "kind")),
		       "temp") == 0) {
		web_error(w, 503, page_text(r, "error.accountd"));
		rc = -1;
	} else {
		read_problem(r, reply, p);
		rc = 1;
	}
	json_decref(reply);
	return rc;
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
