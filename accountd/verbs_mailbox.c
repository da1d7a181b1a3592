/*
 * Mailboxes, which accountd itself never touches: who may look into one, and
 * what becomes of those of deleted accounts.  Whoever may touch them asks
 * before the deed, so the line in the audit log comes first.
 */
#include "request.h"

/*
 * An administrator is about to look into the mailbox; "what": "list" or the
 * id of a message.  All that happens is the line in the audit log.
 */
int
verb_mailbox_view(struct request *q, struct err *e)
{
	const char *what;

	if (req_string(q, "what", &what, e) != 0)
		return -1;
	q->after = json_pack("{s:s}", "what", what);
	return secrets_note_view(
	    q->core->secrets, q->target.account_id, q->actor.name, what, e);
}

int
verb_mailbox_views(struct request *q, struct err *e)
{
	struct page p;

	page_init(&p, q);
	return secrets_list_views(
	    q->core->secrets, q->target.account_id, p.items, e);
}

/* --- Of deleted accounts ------------------------------------------------------------ */

/* 1: there is an account at the request's "address"; 0: there is none. */
static int
is_account(struct request *q, const char *text, struct err *e)
{
	if (req_address(q, text, e) != 0) {
		/* of a domain that is no more */
		q->target = (struct target){ .address = text };
		return e->kind == ERR_TEMP ? -1 : 0;
	}
	return sql_get_int(q->core->db, e, NULL,
	    "SELECT 1 FROM account WHERE domain_id = ?1 AND local = ?2", "is",
	    q->target.domain_id, q->target.local);
}

static void
put_address(struct request *q)
{
	json_object_set_new(q->out, "address", json_string(q->target.address));
}

/* What an address left is about to be put aside. */
int
verb_mailbox_aside(struct request *q, struct err *e)
{
	const char *text;
	int got;

	if (req_string(q, "address", &text, e) != 0 ||
	    (got = is_account(q, text, e)) < 0)
		return -1;
	q->code = NULL;
	if (got == 1)
		return refuse(
		    q, e, "is-account", "%s is an account", q->target.address);
	put_address(q);
	return 0;
}

/* It was. */
int
verb_mailbox_settled(struct request *q, struct err *e)
{
	const char *address;

	return req_string(q, "address", &address, e) == 0
	    ? secrets_settle(q->core->secrets, address, e)
	    : -1;
}

/* The account is about to get what was put aside of its name. */
int
verb_mailbox_back(struct request *q, struct err *e)
{
	(void)e;
	put_address(q);
	return 0;
}

/* What was put aside is about to be removed: "address" or all, "days" old. */
int
verb_mailbox_purge(struct request *q, struct err *e)
{
	json_int_t days = json_integer_value(json_object_get(q->in, "days"));
	const char *address;

	if (req_optional(q, "address", &address, e) != 0)
		return -1;
	q->target.address = address;
	q->after = json_pack("{sI}", "days", days);
	return 0;
}

/* Names whose mailbox may still be where it was. */
int
verb_mailbox_left(struct request *q, struct err *e)
{
	const char *after, *last = NULL;
	json_t *all, *item;
	struct page p;
	size_t i;
	int r;

	if (req_optional(q, "after", &after, e) != 0)
		return -1;
	page_init(&p, q);
	all = json_array();
	r = secrets_list_left(q->core->secrets, after ? after : "", all, e);
	json_array_foreach(all, i, item) {
		if (!page_add(&p, json_incref(item))) {
			json_object_set_new(q->out, "next", json_string(last));
			break;
		}
		last = json_string_value(json_object_get(item, "address"));
	}
	json_decref(all);
	return r;
}
