/*
 * Bans: the list, what would happen to an address, and lifting one.
 */
#include "base/clock.h"
#include "directory/settings.h"

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

static int
read_ip(struct request *q, struct ip *out, struct err *e)
{
	const char *text;

	if (req_string(q, "ip", &text, e) != 0)
		return -1;
	if (!ip_parse(slice_trim(slice_str(text)), out)) {
		q->field = "ip";
		return refuse(q, e, "bad-address", "not an address: %s", text);
	}
	return 0;
}

/* {"verdict": allow|wait|ban|never, "failures", "limit", "wait_s", "until"?} */
int
verb_ban_check(struct request *q, struct err *e)
{
	struct settings *s = directory_settings(q->core->directory);
	const struct throttle_policy policy = { settings_int(
						    s, SET_AUTH_DELAY_AFTER),
		settings_int(s, SET_AUTH_DELAY_MAX) };
	int64_t limit = settings_int(s, SET_BAN_FAILURES), wait, until;
	char text[CLOCK_RFC3339_SIZE];
	bool never;
	struct ip ip;

	if (read_ip(q, &ip, e) != 0) {
		settings_free(s);
		return -1;
	}
	never = limit == 0 || settings_has_ip(s, SET_BAN_NEVER, &ip);
	settings_free(s);
	until = bans_until(q->core->bans, &ip, clock_wall_ms());
	wait = throttle_wait(
	    q->core->throttle, policy, &ip, "", false, clock_mono_ms());
	json_object_update_new(q->out,
	    json_pack("{s:s,s:I,s:I,s:I}", "verdict",
		until != 0     ? "ban"
		    : never    ? "never"
		    : wait > 0 ? "wait"
			       : "allow",
		"failures",
		(json_int_t)throttle_failures(
		    q->core->throttle, &ip, clock_mono_ms()),
		"limit", (json_int_t)limit, "wait_s", (json_int_t)wait));
	if (until != 0) {
		clock_rfc3339(until, text);
		json_object_set_new(q->out, "until", json_string(text));
	}
	return 0;
}

int
verb_ban_lift(struct request *q, struct err *e)
{
	char text[IP_TEXT_SIZE];
	struct ip ip;

	if (read_ip(q, &ip, e) != 0)
		return -1;
	ip_format(&ip, text);
	if (!bans_lift(q->core->bans, &ip, clock_wall_ms()))
		return refuse(q, e, "not-found", "%s is not banned", text);
	throttle_forget(q->core->throttle, &ip);
	q->before = json_pack("{s:s}", "banned", text);
	return 0;
}
