/*
 * Facts for the verdicts, from settings and the directory.  Decides nothing.
 *
 * A directory that cannot answer is never taken for "no": every look-up has
 * three results and the third becomes a fact of its own.
 *
 * Thread-safe as far as the directory is.
 */
#include "policy/gather.h"

#include <string.h>

#include "base/clock.h"
#include "mail/srs.h"
#include "net/dns.h"

enum {
	ONLY_TARGET_STEPS = 5 /* from alias to alias; a circle ends too */
};

void
policy_gather_client(struct policy_input *in, const struct settings *set,
    const struct ip *client, enum policy_listener listener)
{
	bool disallowed = settings_has_ip(set, SET_ACCESS_DISALLOWED, client);

	*in = (struct policy_input){
		.listener = listener,
		.client_ip = "",
		.user = "",
		.sender = "",
		.recipient = "",
		.trusted = settings_bool(set, SET_RELAY_TRUSTED_ENABLED) &&
		    settings_has_ip(set, SET_RELAY_TRUSTED, client),
		.relay_address =
		    settings_has_ip(set, SET_RELAY_ADDRESSES, client),
		.no_delivery = disallowed ||
		    settings_has_ip(set, SET_ACCESS_NO_DELIVERY, client),
		.no_relay = disallowed ||
		    settings_has_ip(set, SET_ACCESS_NO_RELAY, client),
		.relay_mode =
		    (enum policy_relay)settings_choice(set, SET_RELAY_MODE),
		.relay_rule = (enum policy_relay_rule)settings_choice(
		    set, SET_SENDER_RELAY_RULE),
		.send_as = (enum policy_send_as)settings_choice(
		    set, SET_SENDER_SEND_AS),
		.dns_error = (enum policy_dns_error)settings_choice(
		    set, SET_SENDER_DNS_ERROR),
		.verify_domain = settings_bool(set, SET_SENDER_VERIFY_DOMAIN),
		.blank_sender = settings_bool(set, SET_SENDER_BLANK),
		.quota_reject = settings_choice(set, SET_QUOTA_FULL) == 1,
		.disabled_deliver =
		    settings_choice(set, SET_ACCOUNT_DISABLED_MAIL) == 1,
		.smarthost_always =
		    settings_choice(set, SET_SMARTHOST_MODE) == 1,
	};
}

/* The sender of somebody signed in: is it theirs? */
static enum dir_result
gather_own(struct policy_input *in, struct directory *d,
    const struct dir_account *user, const struct address *sender, struct err *e)
{
	enum dir_result r = dir_may_send_as(
	    d, user, slice_str(sender->local), sender->domain, e);

	in->sender_own = r == DIR_FOUND;
	in->sender_own_domain = strcmp(sender->domain, user->domain) == 0;
	return r;
}

int
policy_gather_sender(struct policy_input *in, struct directory *d,
    const struct dir_account *user, const struct address *sender,
    struct pool *pool, struct err *e)
{
	struct dir_domain domain;
	struct dir_target target = { 0 };
	enum dir_result r;

	if (sender->local[0] == '\0' || !policy_needs_sender(in))
		return 0;
	if (user != NULL) {
		if (in->send_as == POLICY_SEND_ANYONE ||
		    gather_own(in, d, user, sender, e) != DIR_TEMP)
			return 0;
		in->sender_unknown = true;
		return -1;
	}
	r = dir_find_domain(d, sender->domain, pool, &domain, e);
	in->sender_domain_local = r == DIR_FOUND;
	if (r == DIR_FOUND)
		r = dir_resolve(d, slice_str(sender->local), sender->domain,
		    pool, &target, e);
	in->sender_account = r == DIR_FOUND &&
	    (target.kind == TARGET_ACCOUNT || target.kind == TARGET_ALIAS);
	in->sender_unknown = r == DIR_TEMP;
	return r == DIR_TEMP ? -1 : 0;
}

void
policy_gather_dns(struct policy_input *in, const struct settings *set,
    const struct address *sender, struct pool *pool)
{
	static const enum policy_sender_dns facts[] = {
		[DNS_MAIL_UNKNOWN] = POLICY_DNS_FAILED,
		[DNS_MAIL_GOOD] = POLICY_DNS_GOOD,
		[DNS_MAIL_NO_DOMAIN] = POLICY_DNS_NO_DOMAIN,
		[DNS_MAIL_NO_HOST] = POLICY_DNS_NO_DOMAIN,
		[DNS_MAIL_NULL_MX] = POLICY_DNS_NULL_MX,
	};
	struct dns_config dns;
	struct err e;

	if (!in->verify_domain || in->user[0] != '\0' || in->trusted ||
	    in->sender_domain_local || sender->is_literal ||
	    sender->domain[0] == '\0')
		return;
	in->sender_dns =
	    dns_config_parse(settings_text(set, SET_DNS_SERVERS), &dns, &e) == 0
	    ? facts[dns_takes_mail(&dns, sender->domain, pool)]
	    : POLICY_DNS_FAILED;
}

static bool
is_member(
    const struct dir_target *t, const struct address *sender, struct pool *pool)
{
	for (size_t i = 0; i < t->target_count; i++) {
		struct address member;
		struct err e;

		if (address_parse(slice_str(t->targets[i]), ADDRESS_UTF8, pool,
			&member, &e) == 0 &&
		    address_same(&member, sender))
			return true;
	}
	return false;
}

static void
gather_account(struct policy_input *in, const struct dir_account *a)
{
	in->account_disabled = a->disabled;
	/* who forwards everything fills no mailbox */
	in->quota_full =
	    a->quota_full && (a->forward_count == 0 || a->forward_keep);
}

/*
 * Of an alias or catch-all with one target: what that one cannot take is
 * refused in the session too, or it would go back to a stranger later.
 */
static void
gather_only_target(struct policy_input *in, struct directory *d,
    const struct dir_target *first, struct pool *pool)
{
	struct dir_target t = *first;
	struct address to;
	struct err e;

	for (int step = 0; step < ONLY_TARGET_STEPS; step++) {
		if (t.kind == TARGET_LIST || t.target_count != 1 ||
		    address_parse(slice_str(t.targets[0]), ADDRESS_UTF8, pool,
			&to, &e) != 0 ||
		    to.is_literal ||
		    dir_resolve(d, slice_str(to.local), to.domain, pool, &t,
			&e) != DIR_FOUND)
			return;
		in->domain_disabled = in->domain_disabled || t.domain.disabled;
		if (t.kind == TARGET_ACCOUNT) {
			gather_account(in, &t.account);
			return;
		}
	}
}

static void
gather_target(struct policy_input *in, struct directory *d,
    const struct dir_target *t, const struct address *sender, struct pool *pool)
{
	in->domain_disabled = t->domain.disabled;
	switch (t->kind) {
	case TARGET_ACCOUNT:
		in->kind = POLICY_RCPT_MAILBOX;
		gather_account(in, &t->account);
		break;
	case TARGET_LIST:
		in->kind = POLICY_RCPT_LIST;
		in->list_auth_required = t->list_auth_required;
		in->list_members_only = t->list_members_only;
		in->list_member =
		    t->list_members_only && is_member(t, sender, pool);
		break;
	case TARGET_ALIAS:
	case TARGET_CATCH_ALL:
	case TARGET_FORWARD:
		in->kind = POLICY_RCPT_ALIAS;
		gather_only_target(in, d, t, pool);
		break;
	}
}

int
policy_gather_recipient(struct policy_input *in, struct directory *d,
    const struct policy_addresses *a, struct pool *pool,
    struct dir_target *target_out, struct err *e)
{
	const struct address *recipient = a->recipient;
	const char *domain = recipient->domain;

	*target_out = (struct dir_target){ 0 };
	in->recipient_no_domain = domain[0] == '\0' &&
	    ascii_casecmp(recipient->local, "postmaster") != 0;
	in->domain_disabled = in->account_disabled = in->quota_full = false;
	in->list_auth_required = in->list_members_only = false;
	in->list_member = false;
	if (recipient->is_literal) {
		if (!a->literal_is_own) {
			in->kind = POLICY_RCPT_REMOTE;
			return 0;
		}
		domain = "";
	}
	switch (dir_resolve(
	    d, slice_str(recipient->local), domain, pool, target_out, e)) {
	case DIR_TEMP:
		in->kind = POLICY_RCPT_TEMP;
		return -1;
	case DIR_NONE:
		in->kind = target_out->domain.name != NULL ? POLICY_RCPT_UNKNOWN
							   : POLICY_RCPT_REMOTE;
		in->domain_disabled = target_out->domain.name != NULL &&
		    target_out->domain.disabled;
		break;
	case DIR_FOUND:
		gather_target(in, d, target_out, a->sender, pool);
		break;
	}
	return 0;
}

bool
policy_is_return_path(const struct policy_input *in,
    const struct address *recipient, const struct dir_target *target)
{
	return srs_is(slice_str(recipient->local)) &&
	    target->domain.name != NULL &&
	    (in->kind == POLICY_RCPT_UNKNOWN ||
		target->kind == TARGET_CATCH_ALL ||
		target->kind == TARGET_FORWARD);
}

void
policy_gather_return_path(struct policy_input *in, const struct settings *set,
    const uint8_t *key, const struct address *recipient, struct pool *pool,
    char **original_out)
{
	int64_t days = settings_int(set, SET_SRS_DAYS);

	in->return_path = POLICY_RETURN_TEMP;
	if (key == NULL)
		return;
	switch (srs_reverse(key, slice_str(recipient->local), clock_wall_ms(),
	    (unsigned)days, pool, original_out)) {
	case SRS_GOOD:
		in->return_path = POLICY_RETURN_GOOD;
		break;
	case SRS_EXPIRED:
		in->return_path = POLICY_RETURN_EXPIRED;
		break;
	case SRS_FORGED:
		in->return_path = POLICY_RETURN_FORGED;
		break;
	}
}
