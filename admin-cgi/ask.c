/*
 * Questions to accountd as who is signed in.
 */
#include "base/log.h"

#include "admin-cgi/admin.h"

int
admin_ask(
    struct web_request *r, json_t *request, json_t **reply_out, struct err *e)
{
	json_object_set_new(
	    request, "session", json_string(session_of(r)->token));
	return accountd_call(
	    admin_of(r)->accountd, request, ASK_TIMEOUT_MS, reply_out, e);
}

void
admin_refuse(struct web_request *r, struct web_response *w, const struct err *e)
{
	if (e->kind == ERR_PERM) {
		web_error(w, 404, e->text);
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
