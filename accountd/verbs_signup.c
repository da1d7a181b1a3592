/*
 * Self sign-up: accounts that people make themselves in webmail.  Off unless
 * both the server (signup.enabled) and the domain (signup.mode) allow it;
 * bounded by the domain's max_accounts and by the throttle, which makes an
 * address wait longer with each attempt, whatever came of it: so neither
 * codes nor names can be tried out.
 */
#include <string.h>

#include "base/clock.h"
#include "base/num.h"

#include "password.h"
#include "request.h"
#include "throttle.h"

/*
 * Names that a stranger must not have: mail for them is meant for who runs the
 * domain, and some can get certificates for it.
 */
static const char *const reserved[] = { "abuse", "admin", "administrator",
	"billing", "ftp", "help", "hostmaster", "info", "legal",
	"mailer-daemon", "marketing", "mailstead", "news", "noc", "noreply",
	"no-reply", "office", "postmaster", "privacy", "root", "sales",
	"security", "ssladmin", "support", "sysadmin", "trouble", "usenet",
	"uucp", "webmaster", "www" };

static int
read_mode(struct request *q, const char **out, struct err *e)
{
	struct settings *s = directory_settings(q->core->directory);
	bool enabled = settings_bool(s, SET_SIGNUP_ENABLED);

	settings_free(s);
	*out = "no";
	return enabled
	    ? setting_value(q, "signup.mode", q->target.domain_id, out, e)
	    : 0;
}

int
verb_signup_offer(struct request *q, struct err *e)
{
	const char *mode;

	if (read_mode(q, &mode, e) != 0)
		return -1;
	json_object_set_new(q->out, "mode", json_string(mode));
	json_object_set_new(q->out, "domain", json_string(q->target.domain));
	return 0;
}

static int
check_code(struct request *q, struct err *e)
{
	const char *wanted, *given;

	if (req_optional(q, "code", &given, e) != 0 ||
	    setting_value(q, "signup.code", q->target.domain_id, &wanted, e) !=
		0)
		return -1;
	if (wanted[0] == '\0' || given == NULL || strcmp(wanted, given) != 0)
		return refuse(q, e, "bad-code", "the code is wrong");
	return 0;
}

int
local_check(struct request *q, const char *local, struct err *e)
{
	size_t len = strlen(local);

	if (len == 0 || len > 64 || !ascii_is_alnum((unsigned char)local[0]) ||
	    strspn(local,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789._-") != len)
		return refuse(q, e, "bad-address", "not a name: %s", local);
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (ascii_casecmp(local, reserved[i]) == 0)
			return refuse(q, e, "exists", "%s is reserved", local);
	return 0;
}

/* Everything but the password and whether there is room. */
static int
check_offer(struct request *q, const char **mode_out, struct err *e)
{
	if (read_mode(q, mode_out, e) != 0)
		return -1;
	if (strcmp(*mode_out, "no") == 0)
		return refuse(q, e, "closed", "nobody may sign up here");
	if (strcmp(*mode_out, "code") == 0 && check_code(q, e) != 0)
		return -1;
	return local_check(q, q->target.local, e);
}

/* Before the costly password: may this address go on? */
static int
wait_its_turn(struct request *q, struct err *e)
{
	static const struct throttle_policy policy = { .after = 5,
		.max_s = 300 };
	static const char name[] = " signup"; /* of no account */
	struct throttle *t = q->core->throttle;
	const char *text;
	struct ip ip;

	if (req_string(q, "ip", &text, e) != 0)
		return -1;
	if (!ip_parse(slice_str(text), &ip))
		return refuse(q, e, "bad-ip", "ip is not an address");
	if (throttle_wait(t, policy, &ip, name, false, clock_mono_ms()) > 0) {
		q->code = "busy";
		return err_set(e, ERR_TEMP, "too many tries: wait a moment");
	}
	throttle_failed(t, policy, &ip, name, clock_mono_ms());
	return 0;
}

int
prepare_signup(struct request *q, struct err *e)
{
	const char *mode;
	int r;

	if (wait_its_turn(q, e) != 0)
		return -1;
	pthread_mutex_lock(&q->core->write_lock);
	r = check_offer(q, &mode, e);
	pthread_mutex_unlock(&q->core->write_lock);
	return r == 0 ? prepare_password(q, e) : -1;
}

int
verb_signup(struct request *q, struct err *e)
{
	const char *name, *mode, *quota;
	uint64_t bytes = 0;

	if (req_optional(q, "name", &name, e) != 0 ||
	    check_offer(q, &mode, e) != 0 ||
	    setting_value(
		q, "signup.quota_bytes", q->target.domain_id, &quota, e) != 0 ||
	    user_create(q, name ? name : "", e) != 0)
		return -1;
	if (!num_parse(slice_str(quota), INT64_MAX, &bytes))
		return err_set(e, ERR_TEMP, "signup.quota_bytes: %s", quota);
	if (sql_run(q->core->db, e,
		"UPDATE account SET quota_bytes = ?1, disabled = ?2,"
		" waiting = ?2"
		" WHERE id = ?3",
		"iii", (int64_t)bytes, (int64_t)(strcmp(mode, "approval") == 0),
		q->target.account_id) < 0)
		return -1;
	return user_put_new(q, e);
}
