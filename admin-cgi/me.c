/*
 * The own account of who is signed in: password, second step, sessions.
 */
#include <stdlib.h>
#include <string.h>

#include "admin-cgi/ops.h"

static void
send_me(struct web_request *r, struct web_response *w, const struct problem *p,
    json_t *extra)
{
	static const char *const times[] = { "created_at", "seen_at" };
	json_t *user = NULL, *sessions = NULL, *apps, *values = extra, *one;
	size_t i;

	if (admin_need(r, w, json_pack("{ss}", "verb", "user show"), &user) !=
		0 ||
	    admin_need(r, w, json_pack("{ss}", "verb", "session list"),
		&sessions) != 0 ||
	    admin_need(r, w, json_pack("{ss}", "verb", "app list"), &apps) !=
		0) {
		json_decref(extra);
		json_decref(user);
		json_decref(sessions);
		return;
	}
	json_array_foreach(json_object_get(apps, "items"), i, one)
		ops_put_time(one, "created_at",
		    json_string_value(json_object_get(one, "created_at")));
	json_object_set(values, "apps", json_object_get(apps, "items"));
	json_decref(apps);
	json_array_foreach(json_object_get(sessions, "items"), i, one) {
		json_object_set_new(one, "is_this",
		    json_boolean(json_integer_value(json_object_get(
				     one, "id")) == session_of(r)->id));
		json_object_set_new(one, "program",
		    json_string(
			ops_words(r, "program", json_text(one, "program"))));
		for (size_t k = 0; k < ARRAY_LEN(times); k++)
			ops_put_time(one, times[k],
			    json_string_value(json_object_get(one, times[k])));
	}
	json_object_set(values, "u", json_object_get(user, "user"));
	json_object_set(
	    values, "second_step", json_object_get(user, "second_step"));
	json_object_set(values, "sessions", json_object_get(sessions, "items"));
	json_object_set_new(
	    values, "must_enrol", json_boolean(session_of(r)->must_enrol));
	form_problem(r, w, p, values);
	json_decref(user);
	json_decref(sessions);
	admin_page(r, w, "me", "me", values);
}

void
me_page(struct web_request *r, struct web_response *w)
{
	send_me(r, w, &no_problem, json_object());
}

static int
set_password(struct web_request *r, struct web_response *w, struct problem *p)
{
	const char *one = web_form(r, "password");
	const char *two = web_form(r, "password2");

	if (one == NULL || two == NULL || strcmp(one, two) != 0) {
		p->status = 422;
		p->text = page_text(r, "form.not_same");
		return 1;
	}
	return admin_write(r, w,
	    json_pack("{ss,ss,ss}", "verb", "user passwd", "password", one,
		"old_password", web_form_text(r, "old")),
	    NULL, p);
}

/* A new secret is shown once, with the form that confirms it. */
static void
begin_second_step(struct web_request *r, struct web_response *w)
{
	struct problem p = { 0 };
	json_t *reply, *extra;
	int rc = admin_write(
	    r, w, json_pack("{ss}", "verb", "totp begin"), &reply, &p);

	if (rc == 0) {
		extra = json_pack("{sO,sO}", "secret",
		    json_object_get(reply, "secret"), "uri",
		    json_object_get(reply, "uri"));
		json_decref(reply);
		send_me(r, w, &p, extra);
	} else if (rc > 0) {
		send_me(r, w, &p, json_object());
	}
}

static void
confirm_second_step(struct web_request *r, struct web_response *w)
{
	struct problem p = { 0 };
	json_t *reply, *extra = json_object();
	int rc = admin_write(r, w,
	    json_pack("{ss,ss}", "verb", "totp confirm", "code",
		web_form_text(r, "code")),
	    &reply, &p);

	if (rc == 0) {
		json_object_set_new(extra, "codes",
		    json_pack("{sO}", "list",
			json_object_get(reply, "recovery_codes")));
		json_decref(reply);
	}
	if (rc >= 0)
		send_me(r, w, &p, extra);
	else
		json_decref(extra);
}

/* One more for a mail program, shown once. */
static void
add_app_password(struct web_request *r, struct web_response *w)
{
	struct problem p = { 0 };
	json_t *reply, *extra = json_object();
	int rc = admin_write(r, w,
	    json_pack(
		"{ss,ss}", "verb", "app add", "name", web_form_text(r, "app")),
	    &reply, &p);

	if (rc == 0) {
		json_object_set(
		    extra, "made", json_object_get(reply, "password"));
		json_decref(reply);
	}
	if (rc >= 0)
		send_me(r, w, &p, extra);
	else
		json_decref(extra);
}

static int
end_one(struct web_request *r, struct web_response *w, const char *verb,
    const char *id, struct problem *p)
{
	return admin_write(r, w,
	    json_pack("{ss,sI}", "verb", verb, "id",
		(json_int_t)strtoll(id, NULL, 10)),
	    NULL, p);
}

void
me_post(struct web_request *r, struct web_response *w)
{
	const char *drop = web_form(r, "drop");
	const char *act = web_form_text(r, "do");
	const char *end = web_form(r, "end"), *flash = "saved";
	struct problem p = { 0 };
	int rc = -1;

	if (end != NULL) {
		rc = end_one(r, w, "session end", end, &p);
		flash = "session_ended";
	} else if (drop != NULL) {
		rc = end_one(r, w, "app delete", drop, &p);
	} else if (strcmp(act, "app") == 0) {
		add_app_password(r, w);
	} else if (strcmp(act, "password") == 0) {
		rc = set_password(r, w, &p);
		flash = "password_set";
	} else if (strcmp(act, "begin") == 0) {
		begin_second_step(r, w);
	} else if (strcmp(act, "confirm") == 0) {
		confirm_second_step(r, w);
	} else if (strcmp(act, "remove") == 0) {
		rc = admin_write(r, w,
		    json_pack("{ss,ss}", "verb", "totp remove", "code",
			web_form_text(r, "code")),
		    NULL, &p);
		flash = "second_step_off";
	} else {
		web_error(w, 400, page_text(r, "form.no_act"));
	}
	if (rc > 0)
		send_me(r, w, &p, json_object());
	else if (rc == 0)
		admin_done(r, w, flash, "/me");
}
