/*
 * An invitation in words: what mailstead-parse found in a message's calendar,
 * at the reader's own hours.
 */
#include <string.h>
#include <time.h>

#include "webmail-cgi/read.h"
#include "webmail-cgi/user.h"

enum {
	DAY_S = 86400,
	NOON_S = 43200,
	NAMES_MAX = 32 * 1024,
};

static const char *
name_of(const json_t *person)
{
	const char *name = json_text(person, "name");

	return name[0] != '\0' ? name : json_text(person, "address");
}

/*
 * When that is.  Of a zone nobody here knows, and of a whole day, the clock as
 * it was written: it is told as an hour of the reader's.
 */
static int64_t
time_ms(struct web_request *r, const json_t *time)
{
	const char *own = user_prefs(r)->value[PREF_ZONE];
	const char *zone = json_text(time, "zone");
	int64_t at = json_integer_value(json_object_get(time, "at"));

	if (json_is_true(json_object_get(time, "day")))
		return template_zone_utc(own, at + NOON_S) * 1000;
	return template_zone_utc(template_has_zone(zone) ? zone : own, at) *
	    1000;
}

static struct tm
local_day(struct web_request *r, int64_t ms)
{
	const char *own = user_prefs(r)->value[PREF_ZONE];
	time_t local = ms / 1000 + template_zone_offset(own, ms / 1000);
	struct tm tm;

	if (gmtime_r(&local, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	return tm;
}

static void
add_when(struct web_request *r, const json_t *invite, json_t *out)
{
	const json_t *start = json_object_get(invite, "start");
	const json_t *end = json_object_get(invite, "end");
	const char *zone = json_text(start, "zone");
	int64_t from_ms, to_ms;
	struct tm from, to;
	const char *month, *weekday;

	if (start == NULL)
		return;
	from_ms = time_ms(r, start);
	from = local_day(r, from_ms);
	month = pool_printf(&r->pool, "month.%d", from.tm_mon + 1);
	weekday = pool_printf(&r->pool, "weekday.%d", from.tm_wday);
	json_object_update_new(out,
	    json_pack("{sI,sb,s{ss,si,ss}}", "start", (json_int_t)from_ms,
		"whole_day", json_is_true(json_object_get(start, "day")),
		"badge", "month", page_text(r, month), "d", from.tm_mday,
		"weekday", page_text(r, weekday)));
	if (zone[0] != '\0' && !template_has_zone(zone))
		json_object_set_new(out, "zone", json_string(zone));
	if (end == NULL)
		return;
	to_ms = time_ms(r, end);
	to = local_day(r, to_ms);
	if (to_ms > from_ms)
		json_object_update_new(out,
		    json_pack("{sI,sb}", "end", (json_int_t)to_ms, "same_day",
			from.tm_year == to.tm_year &&
			    from.tm_yday == to.tm_yday));
}

/* "Ann (accepted), Bob, ..." */
static void
add_people(struct web_request *r, const json_t *invite, json_t *out)
{
	const json_t *people = json_object_get(invite, "people");
	struct buf names;

	buf_init(&names, NAMES_MAX);
	for (size_t i = 0; i < json_array_size(people); i++) {
		const json_t *person = json_array_get(people, i);
		const char *state = json_text(person, "state");

		buf_addstr(&names, i > 0 ? ", " : "");
		buf_addstr(&names, name_of(person));
		if (state[0] != '\0')
			buf_addf(&names, " (%s)",
			    page_text(r,
				pool_printf(
				    &r->pool, "read.invite.is.%s", state)));
	}
	if (json_object_get(invite, "more_people") != NULL)
		buf_addstr(&names, ", …");
	if (!buf_overflowed(&names))
		json_object_set_new(
		    out, "people", json_stringn(names.data, names.len));
	buf_release(&names);
}

/* What it is: the catalogue's key behind "read.invite.". */
static const char *
kind_of(const json_t *invite)
{
	const char *method = json_text(invite, "method");

	if (json_is_true(json_object_get(invite, "cancelled")) ||
	    strcmp(method, "cancel") == 0)
		return "cancel";
	if (strcmp(method, "request") == 0)
		return json_is_true(json_object_get(invite, "changed"))
		    ? "change"
		    : "request";
	return strcmp(method, "counter") == 0 ? "counter" : "event";
}

/* RFC 5546 3.2.3: an answer has the one who answers, and nobody else. */
static void
add_title(const json_t *invite, json_t *out)
{
	const json_t *who =
	    json_array_get(json_object_get(invite, "people"), 0);
	const char *state = json_text(who, "state"), *kind = kind_of(invite);

	if (strcmp(json_text(invite, "method"), "reply") != 0) {
		json_object_set_new(out, kind, json_true());
	} else {
		kind = state[0] != '\0' ? state : "reply";
		json_object_set_new(out, kind, json_string(name_of(who)));
	}
}

json_t *
invite_value(struct web_request *r, const json_t *invite)
{
	const json_t *organizer = json_object_get(invite, "organizer");
	const char *repeats = json_text(invite, "repeats");
	json_t *out;

	if (invite == NULL)
		return NULL;
	out =
	    json_pack("{ss,ss,ss,sO}", "summary", json_text(invite, "summary"),
		"location", json_text(invite, "location"), "comment",
		json_text(invite, "comment"), "others",
		json_object_get(invite, "others"));
	add_title(invite, out);
	add_when(r, invite, out);
	if (repeats[0] != '\0')
		json_object_set_new(out, "repeats",
		    json_string(page_text(
			r, pool_printf(&r->pool, "read.invite.%s", repeats))));
	if (organizer != NULL)
		json_object_set_new(
		    out, "organizer", json_string(name_of(organizer)));
	if (strcmp(json_text(invite, "method"), "reply") != 0)
		add_people(r, invite, out);
	return out;
}
