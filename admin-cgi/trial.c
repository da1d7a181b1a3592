/*
 * Settings on trial, as the pages that change settings show and end them.
 * What a trial is stands in accountd/DESIGN.md.
 */
#include "admin-cgi/ops.h"

void
trial_put(struct web_request *r, json_t *page)
{
	json_t *reply;
	struct err e;

	/* without an answer the page is shown as it is */
	if (admin_ask(r, json_pack("{s:s}", "verb", "setting trial"), &reply,
		&e) != 0)
		return;
	if (json_array_size(json_object_get(reply, "items")) > 0) {
		json_object_set_new(reply, "at", json_string(r->path));
		json_object_set(page, "trial", reply);
	}
	json_decref(reply);
}

bool
trial_post(struct web_request *r, struct web_response *w, struct problem *p)
{
	const char *act = web_form(r, "trial");
	bool keep = act != NULL && strcmp(act, "keep") == 0;
	int rc;

	if (!keep && (act == NULL || strcmp(act, "undo") != 0))
		return false;
	rc = admin_write(r, w,
	    json_pack("{s:s}", "verb", keep ? "setting keep" : "setting undo"),
	    NULL, p);
	if (rc > 0 && p->code != NULL && strcmp(p->code, "no-trial") == 0)
		p->text = page_text(r, "trial.over");
	if (rc == 0)
		admin_done(r, w, keep ? "kept" : "undone", "%s", r->path);
	return true;
}
