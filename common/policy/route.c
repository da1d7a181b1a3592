/*
 * Asking policy about an imagined message; see route.h.
 *
 * With a user the message comes over submission, else from a stranger's
 * server to port 25.
 */
#include "policy/route.h"

#include <string.h>

#include "mail/srs.h"
#include "policy/gather.h"

static bool
is_signed_in(const struct policy_question *q)
{
	return q->user != NULL && q->user[0] != '\0';
}

/* What the answers live in. */
struct route {
	struct directory *directory;
	struct settings *settings;
	struct pool pool;
	struct policy_input in;
	struct dir_account user;
	struct address sender, recipient;
};

static int
find_user(struct route *r, const char *login, struct err *e)
{
	if (login == NULL || login[0] == '\0')
		return 0;
	switch (dir_find_login(
	    r->directory, slice_str(login), &r->pool, &r->user, e)) {
	case DIR_FOUND:
		r->in.user = r->user.address;
		return 0;
	case DIR_NONE:
		return err_set(e, ERR_PERM, "no such user: %s", login);
	case DIR_TEMP:
		break;
	}
	return -1;
}

static int
parse_question(struct route *r, const struct policy_question *q, struct err *e)
{
	struct ip ip;

	if (!ip_parse(slice_str(q->ip), &ip))
		return err_set(e, ERR_PERM, "not an address: %s", q->ip);
	if (address_parse(slice_str(strcmp(q->from, "<>") == 0 ? "" : q->from),
		ADDRESS_NULL | ADDRESS_UTF8, &r->pool, &r->sender, e) != 0 ||
	    address_parse(slice_str(q->to), ADDRESS_NO_DOMAIN | ADDRESS_UTF8,
		&r->pool, &r->recipient, e) != 0)
		return -1;
	policy_gather_client(&r->in, r->settings, &ip,
	    is_signed_in(q) ? POLICY_SUBMISSION : POLICY_MX);
	r->in.client_ip = q->ip;
	r->in.auth_offered = is_signed_in(q);
	r->in.sender = address_format(&r->sender, &r->pool);
	r->in.recipient = address_format(&r->recipient, &r->pool);
	return find_user(r, q->user, e);
}

static bool
is_own_literal(const struct route *r)
{
	const struct ip *ip = &r->recipient.literal;

	return r->recipient.is_literal &&
	    (settings_has_ip(r->settings, SET_NAT_ADDRESSES, ip) ||
		settings_has_ip(r->settings, SET_LISTEN, ip) ||
		settings_has_ip(r->settings, SET_SMTP_LISTEN, ip));
}

/* Is the recipient a return path of ours, and a good one? */
static void
judge_return_path(const struct policy_question *q, struct route *r,
    const struct dir_target *target)
{
	uint8_t key[SRS_KEY_SIZE];
	char *original;
	bool have;

	if (!policy_is_return_path(&r->in, &r->recipient, target))
		return;
	have = q->srs_key(q->arg, key);
	policy_gather_return_path(&r->in, r->settings, have ? key : NULL,
	    &r->recipient, &r->pool, &original);
	mem_wipe(key, sizeof(key));
}

/* In the order of a session: connect, MAIL, RCPT. */
static struct policy_verdict
judge(const struct policy_question *q, struct route *r, struct err *e)
{
	const struct policy_addresses a = { .recipient = &r->recipient,
		.sender = &r->sender,
		.literal_is_own = is_own_literal(r) };
	struct policy_verdict v = policy_connect(&r->in);
	struct dir_target target;

	if (v.action != POLICY_ACCEPT)
		return v;
	/* what cannot be looked up is a fact, and makes a 451 */
	(void)!policy_gather_sender(&r->in, r->directory,
	    r->in.user[0] != '\0' ? &r->user : NULL, &r->sender, &r->pool, e);
	policy_gather_dns(&r->in, r->settings, &r->sender, &r->pool);
	v = policy_sender(&r->in);
	if (v.action != POLICY_ACCEPT)
		return v;
	(void)!policy_gather_recipient(
	    &r->in, r->directory, &a, &r->pool, &target, e);
	judge_return_path(q, r, &target);
	return policy_recipient(&r->in);
}

int
policy_route(struct directory *d, const struct policy_question *q, json_t **out,
    struct err *e)
{
	struct route r = { .directory = d };
	struct policy_verdict v;
	int rc;

	r.settings = directory_settings(d);
	rc = parse_question(&r, q, e);
	if (rc == 0) {
		v = judge(q, &r, e);
		*out = json_pack("{ss,so,ss,ss,ss}", "verdict",
		    policy_action_name(v.action), "reply",
		    json_sprintf("%d %s %s", v.code, v.enhanced, v.text),
		    "rule", v.rule, "next", policy_next_name(v.next), "reason",
		    v.reason);
	}
	settings_free(r.settings);
	pool_release(&r.pool);
	return rc;
}
