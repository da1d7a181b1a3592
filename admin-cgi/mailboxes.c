/*
 * The mailboxes deleted users left: where they were, and put aside.  The
 * runner moves and removes them (queue/control.h); nothing here, and nothing
 * of this page, can read one.
 */
#include <string.h>

#include "base/num.h"

#include "admin-cgi/ops.h"

enum {
	DAYS_USUAL = 30,
	DAYS_MAX = 36500
};

static void
send_page(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	const char *days = web_form(r, "days");
	json_t *left, *aside, *values, *one;
	size_t i;

	if (admin_need(r, w,
		json_pack("{ss,ss*}", "verb", "mailbox left", "after",
		    web_query(r, "after")),
		&left) != 0)
		return;
	if (runner_need(r, w,
		json_pack("{ss,ss*}", "verb", "mailbox list", "after",
		    web_query(r, "aside")),
		&aside) != 0) {
		json_decref(left);
		return;
	}
	json_array_foreach(json_object_get(left, "items"), i, one)
		ops_put_time(one, "at", json_text(one, "deleted_at"));
	json_array_foreach(json_object_get(aside, "items"), i, one)
		ops_put_time(one, "at", json_text(one, "aside_at"));
	values = json_pack("{sO,sO*,sO,sO*,ss}", "left",
	    json_object_get(left, "items"), "left_next",
	    json_object_get(left, "next"), "aside",
	    json_object_get(aside, "items"), "aside_next",
	    json_object_get(aside, "next"), "days",
	    days != NULL ? days : pool_printf(&r->pool, "%d", DAYS_USUAL));
	json_decref(left);
	json_decref(aside);
	form_problem(r, w, p, values);
	admin_page(r, w, "mailboxes", "users", values);
}

void
mailboxes_page(struct web_request *r, struct web_response *w)
{
	send_page(r, w, &no_problem);
}

/* aside=ADDRESS, back=ADDRESS, purge=ADDRESS; or days=N: of all. */
void
mailboxes_post(struct web_request *r, struct web_response *w)
{
	static const char *const acts[] = { "aside", "back", "purge" };
	const char *address = NULL, *text = web_form_text(r, "days");
	struct problem p = { 0 };
	uint64_t days = 0;
	size_t i = 0;
	int rc = 1;

	while (i < ARRAY_LEN(acts) && (address = web_form(r, acts[i])) == NULL)
		i++;
	if (address == NULL && !num_parse(slice_str(text), DAYS_MAX, &days)) {
		problem_add(&p, "days", page_text(r, "mailboxes.bad_days"));
		p.text = page_text(r, "mailboxes.bad_days");
	} else if ((address == NULL || strcmp(acts[i], "purge") == 0) &&
	    web_form(r, "confirm") == NULL) {
		admin_confirm(r, w); /* however fresh the session is */
		return;
	} else {
		const char *act = address != NULL ? acts[i] : "purge";

		rc = runner_write(r, w,
		    json_pack("{ss,ss*,sI}", "verb",
			pool_printf(&r->pool, "mailbox %s", act), "address",
			address, "days", (json_int_t)days),
		    NULL, &p);
		if (rc == 0)
			admin_done(r, w,
			    pool_printf(&r->pool, "mailbox_%s", act),
			    "/mailboxes");
	}
	if (rc > 0)
		send_page(r, w, &p);
}
