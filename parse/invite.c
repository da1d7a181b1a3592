/*
 * Invitations: what is planned, when, where and by whom, out of an iCalendar
 * file.  Only what is said in words; rules of repetition and of time zones are
 * not worked out here.
 */
#include "parse/invite.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "mail/content_line.h"

#include "parse/charset.h"

enum {
	LINE_BYTES_MAX = 64 * 1024,
	LINES_MAX = 20000,
	TEXT_MAX = 500,
	ZONE_MAX = 64,
	PEOPLE_MAX = 50,
	DAY_S = 86400,
	DURATION_MAX_S = 10 * 366 * DAY_S,
};

struct reading {
	json_t *out;
	unsigned depth, event_depth; /* of open components; 0: none */
	unsigned events;
	int64_t duration_s;
};

/* --- Values --------------------------------------------------------------------- */

/* On one line, without what could turn the page around. */
static json_t *
clean_json(struct slice value, size_t max)
{
	struct buf text, clean;
	json_t *out;

	buf_init(&text, LINE_BYTES_MAX);
	buf_init(&clean, (size_t)LINE_BYTES_MAX * 3);
	(void)content_text(value, '\0', false, &text);
	charset_scrub(slice_trim(buf_slice(&text)), true, &clean);
	buf_cut_utf8(&clean, max);
	out = json_stringn(clean.data, clean.len);
	buf_release(&text);
	buf_release(&clean);
	return out;
}

/* The word if it is one of ours, else "". */
static const char *
known_word(struct slice value, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_ieq_str(slice_trim(value), words[i]))
			return words[i];
	}
	return "";
}

/* RFC 5545 3.3.3: a URI, nearly always mailto: */
static json_t *
person_json(const struct content_line *l)
{
	static const char *const states[] = { "accepted", "declined",
		"tentative" };
	struct slice address = slice_trim(l->value);

	if (slice_istarts(address, "mailto:"))
		address = slice_skip(address, 7);
	return json_pack("{so,so,ss}", "name",
	    clean_json(content_param(l, "CN"), TEXT_MAX), "address",
	    clean_json(address, TEXT_MAX), "state",
	    known_word(
		content_param(l, "PARTSTAT"), states, ARRAY_LEN(states)));
}

/* RFC 5545 3.3.4 and RFC 5545 3.3.5: 20261120, 20261120T183000Z */
static json_t *
time_json(const struct content_line *l)
{
	struct slice v = slice_trim(l->value);
	bool is_day = v.len == 8, is_utc = v.len == 16 && slice_ends(v, "Z");
	char iso[CLOCK_RFC3339_SIZE];
	int64_t ms;

	if (!is_day && !is_utc && v.len != 15)
		return NULL;
	(void)snprintf(iso, sizeof(iso), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ",
	    v.data, v.data + 4, v.data + 6, is_day ? "00" : v.data + 9,
	    is_day ? "00" : v.data + 11, is_day ? "00" : v.data + 13);
	if (!clock_parse_rfc3339(slice_str(iso), &ms))
		return NULL;
	return json_pack("{sI,sb,so}", "at", (json_int_t)(ms / 1000), "day",
	    is_day, "zone",
	    is_utc ? json_string("UTC")
		   : clean_json(content_param(l, "TZID"), ZONE_MAX));
}

/* RFC 5545 3.3.6: P1W, P1DT2H30M; 0: none, or nonsense. */
static int64_t
duration_of(struct slice v)
{
	static const struct {
		char letter;
		int seconds;
	} units[] = { { 'W', 7 * DAY_S }, { 'D', DAY_S }, { 'H', 3600 },
		{ 'M', 60 }, { 'S', 1 } };

	int64_t sum = 0, n = 0;

	for (size_t i = 0; i < v.len; i++) {
		if (ascii_is_digit(v.data[i])) {
			n = n * 10 + (v.data[i] - '0');
			if (n > DURATION_MAX_S)
				return 0;
			continue;
		}
		for (size_t u = 0; u < ARRAY_LEN(units); u++) {
			if (v.data[i] == units[u].letter)
				sum += n * units[u].seconds;
		}
		n = 0;
	}
	return slice_starts(v, "-") || sum > DURATION_MAX_S ? 0 : sum;
}

/* --- Properties ------------------------------------------------------------------ */

static void
take_person(struct reading *k, const struct content_line *l)
{
	json_t *people = json_object_get(k->out, "people");

	if (json_array_size(people) < PEOPLE_MAX)
		json_array_append_new(people, person_json(l));
	else
		json_object_set_new(k->out, "more_people",
		    json_integer(json_integer_value(
				     json_object_get(k->out, "more_people")) +
			1));
}

static void
take_rule(struct reading *k, struct slice rule)
{
	static const char *const often[] = { "daily", "weekly", "monthly",
		"yearly" };
	struct slice part, name, value;

	while (rule.len > 0) {
		rule = slice_cut(rule, ';', &part);
		value = slice_cut(part, '=', &name);
		if (slice_ieq_str(slice_trim(name), "FREQ"))
			json_object_set_new(k->out, "repeats",
			    json_string(
				known_word(value, often, ARRAY_LEN(often))));
	}
}

/* The value behind `name`, in one word of the JSON; false: another property. */
static bool
take_text(struct reading *k, const struct content_line *l)
{
	static const struct {
		const char *name, *key;
	} texts[] = { { "SUMMARY", "summary" }, { "LOCATION", "location" },
		{ "COMMENT", "comment" } };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (!slice_ieq_str(l->name, texts[i].name))
			continue;
		json_object_set_new(
		    k->out, texts[i].key, clean_json(l->value, TEXT_MAX));
		return true;
	}
	return false;
}

static void
take_property(struct reading *k, const struct content_line *l)
{
	if (take_text(k, l))
		return;
	if (slice_ieq_str(l->name, "DTSTART"))
		json_object_set_new(k->out, "start", time_json(l));
	else if (slice_ieq_str(l->name, "DTEND"))
		json_object_set_new(k->out, "end", time_json(l));
	else if (slice_ieq_str(l->name, "DURATION"))
		k->duration_s = duration_of(slice_trim(l->value));
	else if (slice_ieq_str(l->name, "ORGANIZER"))
		json_object_set_new(k->out, "organizer", person_json(l));
	else if (slice_ieq_str(l->name, "ATTENDEE"))
		take_person(k, l);
	else if (slice_ieq_str(l->name, "RRULE"))
		take_rule(k, l->value);
	else if (slice_ieq_str(l->name, "SEQUENCE"))
		json_object_set_new(k->out, "changed",
		    json_boolean(!slice_eq_str(slice_trim(l->value), "0")));
	else if (slice_ieq_str(l->name, "STATUS") &&
	    slice_ieq_str(slice_trim(l->value), "CANCELLED"))
		json_object_set_new(k->out, "cancelled", json_true());
}

/* --- The file --------------------------------------------------------------------- */

/* What is inside an event (an alarm) has texts of its own: not ours. */
static void
take_line(struct reading *k, const struct content_line *l)
{
	static const char *const methods[] = { "request", "cancel", "reply",
		"counter", "publish" };

	if (slice_ieq_str(l->name, "BEGIN")) {
		k->depth++;
		if (slice_ieq_str(slice_trim(l->value), "VEVENT") &&
		    k->event_depth == 0 && k->events++ == 0)
			k->event_depth = k->depth;
	} else if (slice_ieq_str(l->name, "END")) {
		if (k->depth == k->event_depth)
			k->event_depth = 0;
		k->depth -= k->depth > 0;
	} else if (k->depth == 1 && slice_ieq_str(l->name, "METHOD")) {
		json_object_set_new(k->out, "method",
		    json_string(
			known_word(l->value, methods, ARRAY_LEN(methods))));
	} else if (k->event_depth > 0 && k->depth == k->event_depth) {
		take_property(k, l);
	}
}

/* Its end from what it lasts; of days the last one, not the one behind it. */
static void
finish(struct reading *k)
{
	json_t *start = json_object_get(k->out, "start");
	json_t *end = json_object_get(k->out, "end");
	json_int_t at;

	if (end == NULL && start != NULL && k->duration_s > 0) {
		end = json_copy(start);
		json_object_set_new(end, "at",
		    json_integer(
			json_integer_value(json_object_get(start, "at")) +
			k->duration_s));
		json_object_set_new(k->out, "end", end);
	}
	if (end == NULL || !json_is_true(json_object_get(end, "day")))
		return;
	at = json_integer_value(json_object_get(end, "at")) - DAY_S;
	if (at > json_integer_value(json_object_get(start, "at")))
		json_object_set_new(end, "at", json_integer(at));
	else
		json_object_del(k->out, "end");
}

json_t *
invite_read(struct slice text)
{
	struct reading k = { .out = json_pack("{ss,ss,ss,s[]}", "method", "",
				 "summary", "", "location", "", "people") };
	struct content_scan scan = { text, 1 };
	struct content_line l;
	struct buf line;

	buf_init(&line, LINE_BYTES_MAX);
	while (scan.line < LINES_MAX && content_next(&scan, &line)) {
		if (!buf_overflowed(&line) &&
		    content_split(buf_slice(&line), &l))
			take_line(&k, &l);
	}
	buf_release(&line);
	if (k.events == 0) {
		json_decref(k.out);
		return NULL;
	}
	json_object_set_new(
	    k.out, "others", json_integer((json_int_t)k.events - 1));
	finish(&k);
	return k.out;
}
