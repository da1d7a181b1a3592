/* The verdicts: who may do what, and in which order the rules count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

static struct policy_input
stranger(void)
{
	return (struct policy_input){ .client_ip = "192.0.2.1",
		.user = "",
		.sender = "x@remote.test",
		.recipient = "y@elsewhere.test",
		.blank_sender = true,
		.dns_error = POLICY_DNS_DEFER };
}

static int
rcpt(struct policy_input in, enum policy_recipient kind)
{
	in.kind = kind;
	return policy_recipient(&in).code;
}

static void
test_stranger(void **state)
{
	struct policy_input in = stranger();

	(void)state;
	assert_int_equal(policy_connect(&in).code, 250);
	assert_int_equal(policy_sender(&in).code, 250);
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 550);
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 250);
	assert_int_equal(rcpt(in, POLICY_RCPT_ALIAS), 250);
	assert_int_equal(rcpt(in, POLICY_RCPT_UNKNOWN), 550);
	assert_int_equal(rcpt(in, POLICY_RCPT_TEMP), 451);
}

static void
test_relay_modes(void **state)
{
	struct policy_input in = stranger();

	(void)state;
	in.relay_mode = POLICY_RELAY_ADDRESSES;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 550);
	in.relay_address = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 250);
	in.relay_mode = POLICY_RELAY_NONE;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 550);
	in.relay_mode = POLICY_RELAY_LOCAL_HOSTS;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 550);
	in.sender_domain_local = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 250);
	in.relay_mode = POLICY_RELAY_LOCAL_USERS;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 550);
	in.sender_account = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 250);
	in = stranger();
	in.relay_mode = POLICY_RELAY_ANYONE;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 250);
	in.relay_rule = POLICY_SENDER_LOCAL_DOMAIN;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 550);
	in.sender_unknown = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 451);
	in.relay_rule = POLICY_SENDER_ANY;
	in.sender_unknown = false;
	in.no_relay = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 550);
	in.trusted = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 250);
	in.smarthost_always = true;
	in.kind = POLICY_RCPT_REMOTE;
	assert_int_equal(policy_recipient(&in).next, POLICY_SMARTHOST);
}

static void
test_disallowed(void **state)
{
	struct policy_input in = stranger();

	(void)state;
	in.no_delivery = true;
	assert_int_equal(policy_connect(&in).code, 250);
	assert_int_equal(policy_command(&in).code, 250);
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 550);
	in.no_relay = true;
	assert_int_equal(policy_connect(&in).code, 554);
	assert_int_equal(policy_command(&in).code, 530);
	in.auth_offered = true;
	assert_int_equal(policy_connect(&in).code, 250);
	assert_int_equal(policy_sender(&in).code, 530);
	in.user = "joe@local";
	in.sender_own = true;
	assert_int_equal(policy_sender(&in).code, 250);
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 250);
	assert_int_equal(rcpt(in, POLICY_RCPT_REMOTE), 250);
	in.user = "";
	in.trusted = true;
	assert_int_equal(policy_connect(&in).code, 250);
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 250);
}

static void
test_submission(void **state)
{
	struct policy_input in = stranger();

	(void)state;
	in.listener = POLICY_SUBMISSION;
	in.auth_offered = true;
	assert_int_equal(policy_command(&in).code, 250);
	assert_int_equal(policy_sender(&in).code, 530);
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 530);
	in.trusted = true;
	assert_int_equal(policy_sender(&in).code, 250);
}

static void
test_send_as(void **state)
{
	struct policy_input in = stranger();

	(void)state;
	in.user = "joe@local";
	assert_int_equal(policy_sender(&in).code, 553);
	in.sender_unknown = true;
	assert_int_equal(policy_sender(&in).code, 451);
	in.sender_unknown = false;
	in.sender_own = true;
	assert_int_equal(policy_sender(&in).code, 250);
	in.sender_own = false;
	in.sender_own_domain = true;
	assert_int_equal(policy_sender(&in).code, 553);
	in.send_as = POLICY_SEND_DOMAIN;
	assert_int_equal(policy_sender(&in).code, 250);
	in.sender_own_domain = false;
	in.send_as = POLICY_SEND_ANYONE;
	assert_int_equal(policy_sender(&in).code, 250);
	in.send_as = POLICY_SEND_OWN;
	in.sender = "";
	assert_int_equal(policy_sender(&in).code, 250);
}

static void
test_sender(void **state)
{
	struct policy_input in = stranger();

	(void)state;
	in.sender_dns = POLICY_DNS_NO_DOMAIN;
	assert_int_equal(policy_sender(&in).code, 550);
	in.sender_dns = POLICY_DNS_NULL_MX;
	assert_int_equal(policy_sender(&in).code, 550);
	in.sender_dns = POLICY_DNS_FAILED;
	assert_int_equal(policy_sender(&in).code, 451);
	in.dns_error = POLICY_DNS_REJECT;
	assert_int_equal(policy_sender(&in).code, 550);
	in.dns_error = POLICY_DNS_ACCEPT;
	assert_int_equal(policy_sender(&in).code, 250);
	in.sender = "";
	in.blank_sender = false;
	assert_int_equal(policy_sender(&in).code, 550);
	in = stranger();
	in.queue_full = true;
	assert_int_equal(policy_connect(&in).code, 421);
	assert_int_equal(policy_sender(&in).code, 421);
	in.queue_full = false;
	in.over_rate = true;
	assert_int_equal(policy_sender(&in).code, 451);
}

static void
test_mailbox(void **state)
{
	struct policy_input in = stranger();

	(void)state;
	in.quota_full = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 452);
	in.quota_reject = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 552);
	in.quota_full = false;
	in.account_disabled = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 550);
	in.account_disabled = false;
	in.domain_disabled = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 550);
	in = stranger();
	in.recipient_no_domain = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 550);
	in.trusted = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_MAILBOX), 250);
	in = stranger();
	in.list_members_only = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_LIST), 550);
	in.list_member = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_LIST), 250);
	in.list_auth_required = true;
	assert_int_equal(rcpt(in, POLICY_RCPT_LIST), 550);
	in.user = "a@b";
	assert_int_equal(rcpt(in, POLICY_RCPT_LIST), 250);
}

/*
 * Over all combinations of the facts that speak of trust: a stranger relays
 * only where a rule says so, and nothing makes a refusal of strangers
 * disappear but signing in, trust, or a mode.
 */
static void
test_no_open_relay(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 1U << 10; bits++) {
		struct policy_input in = stranger();
		struct policy_verdict v;
		bool may;

		in.kind = POLICY_RCPT_REMOTE;
		in.listener = bits & 1 ? POLICY_SUBMISSION : POLICY_MX;
		in.no_delivery = bits & 2;
		in.relay_address = bits & 4;
		in.sender_domain_local = bits & 8;
		in.sender_account = bits & 16;
		in.sender_own = bits & 32;
		in.smarthost_always = bits & 64;
		in.auth_offered = bits & 128;
		in.list_member = bits & 256;
		in.sender = bits & 512 ? "" : "x@y";
		v = policy_recipient(&in);
		assert_int_not_equal(v.action, POLICY_ACCEPT);
		in.relay_mode = POLICY_RELAY_LOCAL_USERS;
		v = policy_recipient(&in);
		may = in.sender_account && in.listener == POLICY_MX;
		assert_int_equal(v.action == POLICY_ACCEPT, may);
	}
}

static void
test_describe(void **state)
{
	struct policy_input in = stranger();
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	in.trusted = true;
	policy_describe(&in, &out);
	assert_string_equal(
	    out.data, "listener=mx,trusted=1,dns_error=1,blank_sender=1");
	buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_relay_modes),
		cmocka_unit_test(test_disallowed),
		cmocka_unit_test(test_submission),
		cmocka_unit_test(test_send_as),
		cmocka_unit_test(test_sender),
		cmocka_unit_test(test_mailbox),
		cmocka_unit_test(test_no_open_relay),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
