/*
 * Bans: the list, what would happen to an address or a user, lifting one, and
 * those of whoever goes on beyond a limit.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "directory/settings.h"
#include "proc/limits.h"

#include "auth.h"
#include "request.h"

int
verb_ban_list(struct request *q, struct err *e)
{
	json_t *all = bans_list(q->core->bans, clock_wall_ms()), *item;
	const char *after;
	struct page p;
	size_t i, skip = 0;

	if (req_optional(q, "after", &after, e) != 0) {
		json_decref(all);
		return -1;
	}
	page_init(&p, q);
	json_array_foreach(all, i, item) {
		const char *at =
		    json_string_value(json_object_get(item, "address"));

		if (after != NULL && skip == 0) {
			skip = slice_eq_str(slice_str(at), after);
			continue;
		}
		if (!page_add(&p, json_incref(item))) {
			json_object_set(q->out, "next",
			    json_object_get(
				json_array_get(all, i - 1), "address"));
			break;
		}
	}
	json_decref(all);
	return 0;
}

/* "ip" of the request: an address, or, where `user_too`, a user. */
static int
read_who(struct request *q, bool user_too, struct ip *ip_out,
    char out[BAN_WHO_SIZE], struct err *e)
{
	const char *text;

	*ip_out = (struct ip){ 0 };
	if (req_string(q, "ip", &text, e) != 0)
		return -1;
	if (user_too && strchr(text, '@') != NULL) {
		ban_who_user(text, out);
		return 0;
	}
	if (!ip_parse(slice_trim(slice_str(text)), ip_out)) {
		q->field = "ip";
		return refuse(q, e, "bad-address", "not an address: %s", text);
	}
	ban_who_ip(ip_out, out);
	return 0;
}

/* What an address has against it besides a ban. */
static const char *
judge(struct request *q, const struct ip *ip)
{
	struct settings *s = directory_settings(q->core->directory);
	const struct throttle_policy policy = { settings_int(
						    s, SET_AUTH_DELAY_AFTER),
		settings_int(s, SET_AUTH_DELAY_MAX) };
	int64_t limit = settings_int(s, SET_BAN_FAILURES);
	bool never = limit == 0 || settings_has_ip(s, SET_BAN_NEVER, ip);
	int64_t wait = throttle_wait(
	    q->core->throttle, policy, ip, "", false, clock_mono_ms());

	settings_free(s);
	json_object_update_new(q->out,
	    json_pack("{s:I,s:I,s:I}", "failures",
		(json_int_t)throttle_failures(
		    q->core->throttle, ip, clock_mono_ms()),
		"limit", (json_int_t)limit, "wait_s", (json_int_t)wait));
	if (never)
		return "never";
	return wait > 0 ? "wait" : "allow";
}

/* {"verdict": allow|wait|ban|never|no-sending, ..., "until"?} */
int
verb_ban_check(struct request *q, struct err *e)
{
	char who[BAN_WHO_SIZE], text[CLOCK_RFC3339_SIZE];
	const char *verdict = "allow";
	struct ban ban;
	struct ip ip;
	bool is_user;

	if (read_who(q, true, &ip, who, e) != 0)
		return -1;
	is_user = strchr(who, '@') != NULL;
	if (!is_user)
		verdict = judge(q, &ip);
	if (bans_find(q->core->bans, who, clock_wall_ms(), &ban)) {
		verdict = is_user ? "no-sending" : "ban";
		clock_rfc3339(ban.until_ms, text);
		json_object_set_new(q->out, "until", json_string(text));
	}
	json_object_set_new(q->out, "verdict", json_string(verdict));
	return 0;
}

int
verb_ban_lift(struct request *q, struct err *e)
{
	char who[BAN_WHO_SIZE];
	struct ip ip;

	if (read_who(q, true, &ip, who, e) != 0)
		return -1;
	if (!bans_lift(q->core->bans, who, clock_wall_ms()))
		return refuse(q, e, "not-found", "%s is not banned", who);
	if (strchr(who, '@') == NULL)
		throttle_forget(q->core->throttle, &ip);
	q->before = json_pack("{s:s}", "banned", who);
	return 0;
}

/* --- Beyond a limit ------------------------------------------------------------------ */

/* May strangers' mail come from there? */
int
verb_ban_delivery(struct request *q, struct err *e)
{
	char who[BAN_WHO_SIZE];
	struct ban ban;
	struct ip ip;

	if (read_who(q, false, &ip, who, e) != 0)
		return -1;
	json_object_set_new(q->out, "banned",
	    json_boolean(bans_find(q->core->bans, who, clock_wall_ms(), &ban) &&
		ban.by_limit));
	return 0;
}

int
verb_ban_limit(struct request *q, struct err *e)
{
	struct settings *s = directory_settings(q->core->directory);
	struct ban ban = { .service = "smtp", .by_limit = true };
	const char *log_id = NULL;
	bool never = true;
	struct ip ip;
	int rc = read_who(q, false, &ip, ban.who, e);

	if (rc == 0)
		rc = req_optional(q, "log_id", &log_id, e);
	if (rc == 0) {
		ban.failures = settings_int(s, SET_BAN_LIMIT_REFUSALS);
		never = settings_has_ip(s, SET_BAN_NEVER, &ip);
	}
	settings_free(s);
	if (rc == 0 && !never && ban.failures > 0)
		auth_ban(q->core, &ban, log_id);
	return rc;
}

bool
ban_user_sends(struct request *q, const char *address, bool refused)
{
	struct settings *s = directory_settings(q->core->directory);
	struct limits *l = q->core->sent;
	struct ban ban = { .by_limit = true,
		.failures = settings_int(s, SET_BAN_LIMIT_REFUSALS) };
	struct ban old;

	settings_free(s);
	ban_who_user(address, ban.who);
	if (ban.failures == 0)
		return false;
	if (bans_find(q->core->bans, ban.who, clock_wall_ms(), &old))
		return true;
	if (!refused ||
	    !limits_refused(l, limits_key_user(l, address),
		(unsigned)ban.failures, clock_mono_ms()))
		return false;
	(void)snprintf(ban.service, sizeof(ban.service), "%s",
	    q->caller->program == FROM_WEBMAIL ? "web" : "smtp");
	auth_ban(q->core, &ban, NULL);
	return true;
}
