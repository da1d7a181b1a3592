/*
 * The verdicts.  Each rule is one `if` with its name; the first that fits
 * decides, so the order below is the documented order.  Nothing is looked up
 * here and nothing remembered.
 *
 * A client never learns more than the text: whether a mailbox exists (by
 * design, no backscatter), never why somebody is trusted.
 *
 * Pure functions; any thread.
 */
#include "policy/policy.h"

#include <string.h>

static struct policy_verdict
accept_as(const char *rule, enum policy_next next, const char *text)
{
	return (struct policy_verdict){ .action = POLICY_ACCEPT,
		.code = 250,
		.enhanced = "2.1.0",
		.text = text,
		.rule = rule,
		.reason = "",
		.next = next };
}

static struct policy_verdict
refuse(int code, const char *enhanced, const char *text, const char *rule,
    const char *reason)
{
	return (struct policy_verdict){ .action = code < 500 ? POLICY_DEFER
							     : POLICY_REJECT,
		.code = code,
		.enhanced = enhanced,
		.text = text,
		.rule = rule,
		.reason = reason,
		.next = POLICY_LOCAL };
}

static bool
is_signed_in(const struct policy_input *in)
{
	return in->user[0] != '\0';
}

static struct policy_verdict
must_sign_in(const char *rule, const char *reason)
{
	return refuse(530, "5.7.0", "Authentication required", rule, reason);
}

struct policy_verdict
policy_connect(const struct policy_input *in)
{
	if (in->queue_full)
		return refuse(421, "4.3.1", "Service Unavailable", "queue.full",
		    "too many messages in the queue");
	if (in->no_delivery && in->no_relay && !in->trusted &&
	    !in->auth_offered)
		return refuse(554, "5.7.1", "Access denied",
		    "access.disallowed", "address is disallowed");
	return accept_as("connect", POLICY_LOCAL, "");
}

struct policy_verdict
policy_command(const struct policy_input *in)
{
	if (is_signed_in(in))
		return accept_as("signed-in", POLICY_LOCAL, "");
	if (in->trusted)
		return accept_as("relay.trusted", POLICY_LOCAL, "");
	if (in->no_delivery && in->no_relay)
		return must_sign_in(
		    "access.disallowed", "address is disallowed");
	return accept_as("stranger", POLICY_LOCAL, "");
}

/* What MAIL and RCPT ask first. */
static struct policy_verdict
judge_client(const struct policy_input *in)
{
	struct policy_verdict v = policy_command(in);

	if (v.action == POLICY_ACCEPT && in->listener == POLICY_SUBMISSION &&
	    !is_signed_in(in) && !in->trusted)
		return must_sign_in(
		    "submission.auth", "submission without signing in");
	return v;
}

bool
policy_needs_sender(const struct policy_input *in)
{
	return is_signed_in(in) || in->verify_domain ||
	    in->relay_rule != POLICY_SENDER_ANY ||
	    in->relay_mode == POLICY_RELAY_LOCAL_HOSTS ||
	    in->relay_mode == POLICY_RELAY_LOCAL_USERS;
}

/* A signed-in user sends as somebody. */
static struct policy_verdict
judge_send_as(const struct policy_input *in)
{
	if (in->sender[0] == '\0')
		return accept_as("send-as.null", POLICY_LOCAL, "Sender ok");
	if (in->send_as == POLICY_SEND_ANYONE)
		return accept_as("send-as.anyone", POLICY_LOCAL, "Sender ok");
	if (in->sender_unknown)
		return refuse(451, "4.3.0", "Try again later",
		    "directory.unavailable", "send-as cannot be checked");
	if (in->sender_own)
		return accept_as("send-as.own", POLICY_LOCAL, "Sender ok");
	if (in->send_as == POLICY_SEND_DOMAIN && in->sender_own_domain)
		return accept_as("send-as.domain", POLICY_LOCAL, "Sender ok");
	return refuse(553, "5.7.1", "Sender address is not yours",
	    "send-as.own", "not the user's own address");
}

static struct policy_verdict
judge_sender_dns(const struct policy_input *in)
{
	switch (in->sender_dns) {
	case POLICY_DNS_NO_DOMAIN:
		return refuse(550, "5.1.8", "Sender's domain does not exist",
		    "sender.domain", "no MX, A or AAAA");
	case POLICY_DNS_NULL_MX:
		return refuse(550, "5.7.27",
		    "Sender's domain does not accept mail", "sender.null-mx",
		    "null MX");
	case POLICY_DNS_FAILED:
		if (in->dns_error == POLICY_DNS_DEFER)
			return refuse(451, "4.4.3",
			    "Sender's domain cannot be looked up now",
			    "sender.dns-error", "DNS failure");
		if (in->dns_error == POLICY_DNS_REJECT)
			return refuse(550, "5.1.8",
			    "Sender's domain cannot be looked up",
			    "sender.dns-error", "DNS failure");
		break;
	case POLICY_DNS_NOT_ASKED:
	case POLICY_DNS_GOOD:
		break;
	}
	return accept_as("sender", POLICY_LOCAL, "Sender ok");
}

struct policy_verdict
policy_sender(const struct policy_input *in)
{
	struct policy_verdict gate = judge_client(in);

	if (gate.action != POLICY_ACCEPT)
		return gate;
	if (in->queue_full)
		return refuse(421, "4.3.1", "Service Unavailable", "queue.full",
		    "too many messages in the queue");
	if (in->over_rate)
		return refuse(451, "4.7.1", "Too many messages, slow down",
		    "limit.messages", "hourly limit reached");
	if (is_signed_in(in))
		return judge_send_as(in);
	if (in->sender[0] == '\0' && !in->blank_sender)
		return refuse(550, "5.7.1", "Empty sender is not accepted",
		    "sender.blank", "empty sender");
	if (in->trusted)
		return accept_as("relay.trusted", POLICY_LOCAL, "Sender ok");
	return judge_sender_dns(in);
}

/* The mailbox's own reasons; they hold for everybody. */
static struct policy_verdict
judge_local(const struct policy_input *in)
{
	if (in->domain_disabled && !in->disabled_deliver)
		return refuse(550, "5.2.1", "Domain is disabled",
		    "recipient.domain-disabled", "domain is disabled");
	if (in->kind == POLICY_RCPT_UNKNOWN)
		return refuse(550, "5.1.1", "Mailbox does not exist",
		    "recipient.unknown", "no such mailbox");
	if (in->account_disabled && !in->disabled_deliver)
		return refuse(550, "5.2.1", "Mailbox is disabled",
		    "recipient.disabled", "account is disabled");
	if (in->quota_full && in->quota_reject)
		return refuse(552, "5.2.2", "Mailbox is full",
		    "recipient.quota", "over quota");
	if (in->quota_full)
		return refuse(452, "4.2.2", "Mailbox is full",
		    "recipient.quota", "over quota");
	if (in->kind == POLICY_RCPT_LIST && in->list_auth_required &&
	    !is_signed_in(in))
		return refuse(550, "5.7.1", "Sign in to write to this list",
		    "list.auth", "not signed in");
	if (in->kind == POLICY_RCPT_LIST && in->list_members_only &&
	    !in->list_member)
		return refuse(550, "5.7.1",
		    "Only members may write to this list", "list.members",
		    "sender is not a member");
	return accept_as("local", POLICY_LOCAL, "Recipient ok");
}

static struct policy_verdict
relay_denied(const char *rule, const char *reason)
{
	return refuse(550, "5.7.1", "Relaying denied", rule, reason);
}

/* The guard that sender.relay_rule adds for those who are not signed in. */
static bool
sender_rule_holds(const struct policy_input *in)
{
	switch (in->relay_rule) {
	case POLICY_SENDER_LOCAL_DOMAIN:
		return in->sender_domain_local;
	case POLICY_SENDER_ACCOUNT:
		return in->sender_account;
	case POLICY_SENDER_ANY:
		break;
	}
	return true;
}

static struct policy_verdict
judge_relay_mode(const struct policy_input *in, enum policy_next next)
{
	switch (in->relay_mode) {
	case POLICY_RELAY_ADDRESSES:
		if (in->relay_address)
			return accept_as(
			    "relay.addresses", next, "Recipient ok");
		break;
	case POLICY_RELAY_LOCAL_HOSTS:
		if (in->sender_domain_local)
			return accept_as(
			    "relay.local-hosts", next, "Recipient ok");
		break;
	case POLICY_RELAY_LOCAL_USERS:
		if (in->sender_account)
			return accept_as(
			    "relay.local-users", next, "Recipient ok");
		break;
	case POLICY_RELAY_ANYONE:
		return accept_as("relay.anyone", next, "Recipient ok");
	case POLICY_RELAY_NONE:
		break;
	}
	return relay_denied("relay.mode", "not allowed to relay");
}

static enum policy_next
remote_way(const struct policy_input *in)
{
	return in->smarthost_always ? POLICY_SMARTHOST : POLICY_REMOTE;
}

static struct policy_verdict
judge_remote(const struct policy_input *in)
{
	enum policy_next next = remote_way(in);

	if (is_signed_in(in))
		return accept_as("signed-in", next, "Recipient ok");
	if (!in->trusted && in->no_relay)
		return relay_denied("access.no_relay", "address is disallowed");
	if (in->sender_unknown)
		return refuse(451, "4.3.0", "Try again later",
		    "directory.unavailable", "sender cannot be checked");
	if (!sender_rule_holds(in))
		return relay_denied("sender.relay_rule", "sender is not ours");
	if (in->trusted)
		return accept_as("relay.trusted", next, "Recipient ok");
	return judge_relay_mode(in, next);
}

/* Reports only, or it would be a relay for whoever was once written to. */
static struct policy_verdict
judge_return_path(const struct policy_input *in)
{
	switch (in->return_path) {
	case POLICY_RETURN_FORGED:
		return refuse(550, "5.1.1", "Not a return path of ours",
		    "return-path.forged", "forged return path");
	case POLICY_RETURN_EXPIRED:
		return refuse(550, "5.1.1", "Return path has expired",
		    "return-path.expired", "expired return path");
	case POLICY_RETURN_TEMP:
		return refuse(451, "4.3.0", "Try again later",
		    "return-path.unavailable", "return path cannot be checked");
	case POLICY_RETURN_GOOD:
	case POLICY_RETURN_NONE:
		break;
	}
	if (in->sender[0] != '\0')
		return refuse(550, "5.7.1", "Takes reports only",
		    "return-path.sender", "sender is not empty");
	return accept_as("return-path", remote_way(in), "Recipient ok");
}

struct policy_verdict
policy_recipient(const struct policy_input *in)
{
	struct policy_verdict v = judge_client(in);

	if (v.action != POLICY_ACCEPT)
		return v;
	if (in->recipient_no_domain && !is_signed_in(in) && !in->trusted)
		return refuse(550, "5.1.2", "Recipient address needs a domain",
		    "recipient.no-domain", "bare name from a stranger");
	if (in->kind == POLICY_RCPT_TEMP)
		return refuse(451, "4.3.0", "Try again later",
		    "directory.unavailable", "recipient cannot be checked");
	if (in->kind == POLICY_RCPT_REMOTE) {
		v = judge_remote(in);
		v.next = remote_way(in); /* also where it would have gone */
	} else if (in->no_delivery && !in->trusted && !is_signed_in(in)) {
		v = refuse(550, "5.7.1", "Access denied", "access.no_delivery",
		    "address is disallowed");
	} else if (in->return_path != POLICY_RETURN_NONE) {
		v = judge_return_path(in);
	} else {
		v = judge_local(in);
	}
	if (v.action == POLICY_ACCEPT)
		v.enhanced = "2.1.5";
	return v;
}

static void
describe_flag(struct buf *out, const char *name, bool value)
{
	if (value)
		buf_addf(out, ",%s=1", name);
}

static void
describe_number(struct buf *out, const char *name, unsigned value)
{
	if (value != 0)
		buf_addf(out, ",%s=%u", name, value);
}

void
policy_describe(const struct policy_input *in, struct buf *out)
{
	buf_addf(out, "listener=%s",
	    in->listener == POLICY_MX ? "mx" : "submission");
	describe_flag(out, "signed_in", is_signed_in(in));
	describe_flag(out, "trusted", in->trusted);
	describe_flag(out, "relay_address", in->relay_address);
	describe_flag(out, "no_delivery", in->no_delivery);
	describe_flag(out, "no_relay", in->no_relay);
	describe_flag(out, "auth_offered", in->auth_offered);
	describe_number(out, "relay_mode", in->relay_mode);
	describe_number(out, "relay_rule", in->relay_rule);
	describe_number(out, "send_as", in->send_as);
	describe_number(out, "dns_error", in->dns_error);
	describe_flag(out, "verify_domain", in->verify_domain);
	describe_flag(out, "blank_sender", in->blank_sender);
	describe_flag(out, "quota_reject", in->quota_reject);
	describe_flag(out, "disabled_deliver", in->disabled_deliver);
	describe_flag(out, "smarthost_always", in->smarthost_always);
	describe_flag(out, "queue_full", in->queue_full);
	describe_flag(out, "over_rate", in->over_rate);
	describe_flag(out, "sender_null", in->sender[0] == '\0');
	describe_flag(out, "sender_domain_local", in->sender_domain_local);
	describe_flag(out, "sender_account", in->sender_account);
	describe_flag(out, "sender_own", in->sender_own);
	describe_flag(out, "sender_own_domain", in->sender_own_domain);
	describe_flag(out, "sender_unknown", in->sender_unknown);
	describe_number(out, "sender_dns", in->sender_dns);
	describe_number(out, "kind", in->kind);
	describe_number(out, "return_path", in->return_path);
	describe_flag(out, "recipient_no_domain", in->recipient_no_domain);
	describe_flag(out, "domain_disabled", in->domain_disabled);
	describe_flag(out, "account_disabled", in->account_disabled);
	describe_flag(out, "quota_full", in->quota_full);
	describe_flag(out, "list_auth_required", in->list_auth_required);
	describe_flag(out, "list_members_only", in->list_members_only);
	describe_flag(out, "list_member", in->list_member);
}

const char *
policy_action_name(enum policy_action a)
{
	static const char *const names[] = { "accept", "defer", "reject" };

	return names[a];
}

const char *
policy_next_name(enum policy_next n)
{
	static const char *const names[] = { "local", "remote", "smarthost" };

	return names[n];
}
