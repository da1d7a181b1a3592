/*
 * `mailstead check domain`: what the DNS should say of a domain and says.
 *
 * `mailstead check route`: gathers the facts of an imagined message and asks
 * the same functions as the SMTP server (common/policy).  Nothing is sent and
 * nothing changed; DNS is asked where the settings want it.
 *
 * With --user the message comes over submission, else from a stranger's
 * server to port 25.
 */
#include "mailstead/check.h"

#include <stdio.h>
#include <string.h>

#include "directory/accountd.h"
#include "directory/domain_check.h"
#include "mail/srs.h"
#include "policy/gather.h"

struct route_question {
	const char *from, *to, *ip, *user;
};

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
	if (login == NULL)
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
parse_question(struct route *r, const struct route_question *q, struct err *e)
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
	    q->user != NULL ? POLICY_SUBMISSION : POLICY_MX);
	r->in.client_ip = q->ip;
	r->in.auth_offered = q->user != NULL;
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
judge_return_path(
    struct cli *c, struct route *r, const struct dir_target *target)
{
	uint8_t key[SRS_KEY_SIZE];
	json_t *reply = NULL;
	char *original;
	bool have;
	struct err e;

	if (!policy_is_return_path(&r->in, &r->recipient, target))
		return;
	have = cli_call(c, json_pack("{ss}", "verb", "srs key"), &reply, &e) ==
		0 &&
	    accountd_read_srs_key(reply, key, &e) == 0;
	policy_gather_return_path(&r->in, r->settings, have ? key : NULL,
	    &r->recipient, &r->pool, &original);
	mem_wipe(key, sizeof(key));
	json_decref(reply);
}

/* In the order of a session: connect, MAIL, RCPT. */
static struct policy_verdict
judge(struct cli *c, struct route *r, struct err *e)
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
	judge_return_path(c, r, &target);
	return policy_recipient(&r->in);
}

static void
print_verdict(struct cli *c, const struct policy_verdict *v)
{
	json_t *out;

	if (!c->json) {
		(void)printf("%s: %d %s %s\nrule: %s\nnext: %s\n",
		    policy_action_name(v->action), v->code, v->enhanced,
		    v->text, v->rule, policy_next_name(v->next));
		if (v->reason[0] != '\0')
			(void)printf("reason: %s\n", v->reason);
		return;
	}
	out = json_pack("{ss,so,ss,ss,ss}", "verdict",
	    policy_action_name(v->action), "reply",
	    json_sprintf("%d %s %s", v->code, v->enhanced, v->text), "rule",
	    v->rule, "next", policy_next_name(v->next), "reason", v->reason);
	cli_print_json(out);
	json_decref(out);
}

static int
check_route(struct cli *c)
{
	struct route_question q = { .ip = cli_option(c, "--ip"),
		.user = cli_option(c, "--user") };
	struct route r = { 0 };
	struct policy_verdict v;
	struct err e;
	int rc = 0;

	q.from = cli_argument(c);
	q.to = cli_argument(c);
	if (q.from == NULL || q.to == NULL || q.ip == NULL)
		return cli_usage("check route FROM TO --ip A [--user U]");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (directory_open(c->config.state_dir, &r.directory, &e) != 0)
		return cli_fail(&e);
	r.settings = directory_settings(r.directory);
	if (parse_question(&r, &q, &e) != 0) {
		rc = cli_fail(&e);
	} else {
		v = judge(c, &r, &e);
		print_verdict(c, &v);
	}
	settings_free(r.settings);
	pool_release(&r.pool);
	directory_close(r.directory);
	return rc;
}

/* --- check domain ------------------------------------------------------------- */

static void
print_domain(json_t *result)
{
	static const char *const checks[] = { "state", "id", "text", NULL };
	json_t *record, *part;
	size_t i, k;

	json_array_foreach(json_object_get(result, "records"), i, record) {
		const char *type, *name, *value, *state, *relative;

		if (json_unpack(record, "{ss,ss,ss,ss,ss}", "type", &type,
			"name", &name, "value", &value, "state", &state,
			"short_name", &relative) != 0)
			continue;
		(void)printf("%s: %s %s\n", state, type, name);
		if (strcmp(name, relative) != 0)
			(void)printf("    in the zone: %s\n", relative);
		(void)printf("    publish:");
		json_array_foreach(json_object_get(record, "strings"), k, part)
			(void)printf(
			    strcmp(type, "TXT") == 0 ? " \"%s\"" : " %s",
			    json_string_value(part));
		putchar('\n');
		json_array_foreach(json_object_get(record, "found"), k, part)
			(void)printf(
			    "    found: %s\n", json_string_value(part));
	}
	putchar('\n');
	cli_print_table(json_object_get(result, "checks"), checks);
}

static int
ask_keys(struct cli *c, const char *domain, json_t **out, struct err *e)
{
	return cli_call(c,
	    json_pack(
		"{ss,ss,sb}", "verb", "dkim list", "domain", domain, "test", 1),
	    out, e);
}

static int
check_domain(struct cli *c)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	const char *text = cli_argument(c);
	struct domain_check q = { .domain = name };
	json_t *reply = NULL, *result = NULL;
	struct settings *s = NULL;
	struct err e;
	int rc = -1;

	if (text == NULL)
		return cli_usage("check domain DOMAIN");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (domain_normalise(slice_str(text), name, &e) == 0 &&
	    ask_keys(c, name, &reply, &e) == 0 &&
	    directory_read_settings(c->config.state_dir, &s, &e) == 0) {
		q.settings = s;
		q.keys = json_object_get(reply, "items");
		rc = domain_check(&q, &result, &e);
	}
	if (rc == 0 && c->json)
		cli_print_json(result);
	else if (rc == 0)
		print_domain(result);
	json_decref(result);
	json_decref(reply);
	settings_free(s);
	return rc == 0 ? CLI_DONE : cli_fail(&e);
}

int
command_check(struct cli *c)
{
	const char *verb = cli_argument(c);

	if (verb != NULL && strcmp(verb, "route") == 0)
		return check_route(c);
	if (verb != NULL && strcmp(verb, "domain") == 0)
		return check_domain(c);
	return cli_usage("check route FROM TO --ip A [--user U]; "
			 "check domain DOMAIN");
}
