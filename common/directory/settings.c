/*
 * The settings registry: checking a text, and an immutable, reference-counted
 * set of parsed values.  No files and no database here (store.c reads the
 * rows); any thread may use a set it holds a reference to.
 *
 * Invariant: every value of a set has passed setting_check(), so the getters
 * cannot fail.
 */
#include "directory/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/setting_form.h"
#include "mail/address.h"

const struct setting setting_table[SETTING_COUNT] = {
#define SETTING(id, name, type, def, min, max, choices, scope, restart, help) \
	[id] = { name, type, def, min, max, choices, scope, restart, help },
#include "directory/settings.def"
#undef SETTING
};

struct value {
	char *text; /* canonical */
	int64_t number;
	char **items;
	int64_t *item_numbers;
	struct ip_set *sets;
	size_t count;
};

struct settings {
	atomic_int refs;
	struct pool pool;
	struct value values[SETTING_COUNT];
};

const struct setting *
setting_find(const char *name)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (strcmp(setting_table[i].name, name) == 0)
			return &setting_table[i];
	return NULL;
}

enum setting_id
setting_id_of(const struct setting *s)
{
	return (enum setting_id)(s - setting_table);
}

bool
setting_is_secret(const struct setting *s)
{
	return setting_id_of(s) == SET_SIGNUP_CODE;
}

bool
setting_is_risky(const struct setting *s)
{
	static const enum setting_id risky[] = {
		/* services and where they listen */
		SET_ADMIN_ENABLED, SET_WEB_GROUP, SET_LISTEN, SET_PORT_OFFSET,
		SET_SMTP_LISTEN, SET_SMTP_PORT, SET_SMTP_SUBMISSION_PORT,
		SET_SMTP_SUBMISSIONS_PORT, SET_SMTP_PROXY_FROM, SET_POPD_LISTEN,
		SET_POPD_PORT, SET_POPD_TLS_PORT,
		/* who may come and send */
		SET_RELAY_MODE, SET_RELAY_TRUSTED, SET_RELAY_TRUSTED_ENABLED,
		SET_RELAY_ADDRESSES, SET_ACCESS_DISALLOWED,
		SET_ACCESS_NO_DELIVERY, SET_ACCESS_NO_RELAY,
		/* with or without TLS */
		SET_AUTH_PLAINTEXT_NETWORKS, SET_REMOTE_TLS,
		SET_REMOTE_TLS_POLICY
	};

	for (size_t i = 0; i < ARRAY_LEN(risky); i++)
		if (risky[i] == setting_id_of(s))
			return true;
	return false;
}

/* --- Checking ------------------------------------------------------------- */

static int
check_bool(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (slice_ieq_str(v, yes[i])) {
			buf_addstr(out, "yes");
			return 0;
		}
		if (slice_ieq_str(v, no[i])) {
			buf_addstr(out, "no");
			return 0;
		}
	}
	return err_set(e, ERR_PERM, "%s must be yes or no", s->name);
}

static int
check_number(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	const char *what = "a number";
	uint64_t u = 0;
	int64_t n = 0;
	bool good;

	if (s->type == SETTING_SIZE) {
		what = "a size such as 50M";
		good = num_parse_size(v, INT64_MAX, &u);
		n = (int64_t)u;
	} else if (s->type == SETTING_INT) {
		good = num_parse_signed(v, INT64_MIN, INT64_MAX, &n);
	} else {
		what = "a duration such as 20m or 5d";
		good = num_parse_duration(v, INT64_MAX, &u);
		n = (int64_t)u;
	}
	if (!good)
		return err_set(e, ERR_PERM, "%s must be %s", s->name, what);
	if (n < s->min || n > s->max)
		return err_set(e, ERR_PERM,
		    "%s must be from %" PRId64 " to %" PRId64, s->name, s->min,
		    s->max);
	buf_addf(out, "%" PRId64, n);
	return 0;
}

static int
check_choice(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	struct slice rest = slice_str(s->choices), word;

	while (rest.data != NULL) {
		rest = slice_cut(rest, '|', &word);
		if (!slice_ieq(word, v))
			continue;
		buf_addslice(out, word);
		return 0;
	}
	return err_set(
	    e, ERR_PERM, "%s must be one of %s", s->name, s->choices);
}

/* The value or an item of it, in the form that settings.def asks for. */
static int
put_form(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	const char *like;

	if (s->choices[0] == '\0')
		buf_addslice(out, v);
	else if (!setting_form_check(s->choices, v, out, &like))
		return err_set(e, ERR_PERM,
		    "%s: \"%.*s\" is not of the form %s", s->name,
		    SLICE_ARGS(v), like);
	return 0;
}

static int
check_text(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	if ((int64_t)v.len < s->min || (int64_t)v.len > s->max)
		return err_set(e, ERR_PERM,
		    "%s must have from %" PRId64 " to %" PRId64 " bytes",
		    s->name, s->min, s->max);
	if (!utf8_is_valid(v))
		return err_set(e, ERR_PERM, "%s must be UTF-8", s->name);
	if (!utf8_is_plain(v))
		return err_set(e, ERR_PERM,
		    "%s must be one line without control characters", s->name);
	if (v.len > 0)
		return put_form(s, v, out, e);
	return 0;
}

static int
check_host(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];

	if (domain_normalise(v, name, e) != 0) {
		e->kind = ERR_PERM;
		return err_prefix(e, "%s", s->name);
	}
	buf_addstr(out, name);
	return 0;
}

/* "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53". */
static bool
is_server(struct slice v)
{
	struct ip ip;
	uint64_t port;
	ptrdiff_t colon = slice_rchr(v, ':');
	struct slice host;

	if (ip_parse(v, &ip))
		return true;
	if (colon < 0)
		return false;
	host = slice_of(v.data, (size_t)colon);
	if (slice_starts(host, "[") && slice_ends(host, "]"))
		host = slice_of(host.data + 1, host.len - 2);
	return ip_parse(host, &ip) &&
	    num_parse(slice_skip(v, (size_t)colon + 1), 65535, &port) &&
	    port > 0;
}

static int
check_item(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	struct ip_set set;

	switch (s->type) {
	case SETTING_DURATIONS:
		return check_number(s, v, out, e);
	case SETTING_IP_LIST:
		if (ip_set_parse(v, &set, e) != 0) {
			e->kind = ERR_PERM;
			return err_prefix(e, "%s", s->name);
		}
		return put_form(s, v, out, e);
	case SETTING_SERVER_LIST:
		if (!is_server(v))
			return err_set(e, ERR_PERM,
			    "%s must have forms like 192.0.2.1 or "
			    "127.0.0.1:5353",
			    s->name);
		break;
	case SETTING_LIST:
	case SETTING_BOOL:
	case SETTING_INT:
	case SETTING_SIZE:
	case SETTING_DURATION:
	case SETTING_CHOICE:
	case SETTING_TEXT:
	case SETTING_HOST:
		return check_text(s, v, out, e);
	}
	buf_addslice(out, v);
	return 0;
}

/* The next item of a list; false at the end. */
static bool
next_item(struct slice *rest, struct slice *item_out)
{
	static const char separators[] = ", \t\r\n";
	size_t n = 0;

	while (rest->len > 0 && strchr(separators, rest->data[0]) != NULL)
		*rest = slice_skip(*rest, 1);
	while (n < rest->len && strchr(separators, rest->data[n]) == NULL)
		n++;
	*item_out = slice_of(rest->data, n);
	*rest = slice_skip(*rest, n);
	return n > 0;
}

static int
check_list(
    const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	struct slice item;

	while (next_item(&v, &item)) {
		if (out->len > 0)
			buf_addc(out, ' ');
		if (check_item(s, item, out, e) != 0)
			return -1;
	}
	if (out->len == 0 && s->type == SETTING_DURATIONS)
		return err_set(
		    e, ERR_PERM, "%s needs at least one duration", s->name);
	return 0;
}

static int
check(const struct setting *s, struct slice v, struct buf *out, struct err *e)
{
	switch (s->type) {
	case SETTING_BOOL:
		return check_bool(s, v, out, e);
	case SETTING_INT:
	case SETTING_SIZE:
	case SETTING_DURATION:
		return check_number(s, v, out, e);
	case SETTING_CHOICE:
		return check_choice(s, v, out, e);
	case SETTING_TEXT:
		return check_text(s, v, out, e);
	case SETTING_HOST:
		return check_host(s, v, out, e);
	case SETTING_LIST:
	case SETTING_IP_LIST:
	case SETTING_SERVER_LIST:
	case SETTING_DURATIONS:
		return check_list(s, v, out, e);
	}
	return err_set(e, ERR_PERM, "%s: unknown type", s->name);
}

int
setting_check(const struct setting *s, const char *text, char *out, size_t size,
    struct err *e)
{
	struct buf b;
	int r;

	assert(size > 0);
	buf_init(&b, size - 1);
	r = check(s, slice_trim(slice_str(text)), &b, e);
	if (r == 0 && buf_overflowed(&b))
		r = err_set(e, ERR_PERM, "%s: value too long", s->name);
	if (r == 0)
		memcpy(out, b.data, b.len + 1);
	buf_release(&b);
	return r;
}

/* --- A set of values ------------------------------------------------------ */

static size_t
count_items(struct slice v)
{
	struct slice item;
	size_t n = 0;

	while (next_item(&v, &item))
		n++;
	return n;
}

static void
split(struct settings *set, const struct setting *s, struct value *v)
{
	struct slice rest = slice_str(v->text), item;
	struct err e;
	size_t n = count_items(rest);

	v->items = pool_zalloc(&set->pool, (n + 1) * sizeof(char *));
	v->item_numbers = pool_zalloc(&set->pool, (n + 1) * sizeof(int64_t));
	v->sets = pool_zalloc(&set->pool, (n + 1) * sizeof(struct ip_set));
	for (v->count = 0; next_item(&rest, &item); v->count++) {
		v->items[v->count] =
		    pool_strndup(&set->pool, item.data, item.len);
		if (s->type == SETTING_DURATIONS &&
		    !num_parse_signed(
			item, s->min, s->max, &v->item_numbers[v->count]))
			assert(!"canonical duration");
		if (s->type == SETTING_IP_LIST &&
		    ip_set_parse(item, &v->sets[v->count], &e) != 0)
			assert(!"canonical address");
	}
}

static int
choice_index(const struct setting *s, const char *text)
{
	struct slice rest = slice_str(s->choices), word;
	int i = 0;

	while (rest.data != NULL) {
		rest = slice_cut(rest, '|', &word);
		if (slice_eq_str(word, text))
			return i;
		i++;
	}
	assert(!"canonical choice");
	return 0;
}

/* `text` is canonical. */
static void
assign(struct settings *set, enum setting_id id, const char *text)
{
	const struct setting *s = &setting_table[id];
	struct value *v = &set->values[id];

	*v = (struct value){ .text = pool_strdup(&set->pool, text) };
	switch (s->type) {
	case SETTING_BOOL:
		v->number = strcmp(text, "yes") == 0;
		break;
	case SETTING_INT:
	case SETTING_SIZE:
	case SETTING_DURATION:
		if (!num_parse_signed(
			slice_str(text), s->min, s->max, &v->number))
			assert(!"canonical number");
		break;
	case SETTING_CHOICE:
		v->number = choice_index(s, text);
		break;
	case SETTING_LIST:
	case SETTING_IP_LIST:
	case SETTING_SERVER_LIST:
	case SETTING_DURATIONS:
		split(set, s, v);
		break;
	case SETTING_TEXT:
	case SETTING_HOST:
		break;
	}
}

struct settings *
settings_build(
    const char *const *names, const char *const *values, size_t count)
{
	struct settings *set = mem_zalloc(sizeof(*set));
	char *text = mem_alloc(SETTING_VALUE_SIZE);
	struct err e;

	atomic_init(&set->refs, 1);
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		if (setting_check(&setting_table[i], setting_table[i].fallback,
			text, SETTING_VALUE_SIZE, &e) != 0)
			assert(!"default of settings.def");
		assign(set, (enum setting_id)i, text);
	}
	for (size_t i = 0; i < count; i++) {
		const struct setting *s = setting_find(names[i]);

		if (s == NULL)
			log_warning("unknown setting %s ignored", names[i]);
		else if (setting_check(
			     s, values[i], text, SETTING_VALUE_SIZE, &e) != 0)
			log_warning("setting left at its default: %s", e.text);
		else
			assign(set, setting_id_of(s), text);
	}
	free(text);
	return set;
}

struct settings *
settings_ref(struct settings *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void
settings_free(struct settings *s)
{
	if (s == NULL ||
	    atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return;
	pool_release(&s->pool);
	free(s);
}

bool
settings_bool(const struct settings *s, enum setting_id id)
{
	assert(setting_table[id].type == SETTING_BOOL);
	return s->values[id].number != 0;
}

int64_t
settings_int(const struct settings *s, enum setting_id id)
{
	return s->values[id].number;
}

const char *
settings_text(const struct settings *s, enum setting_id id)
{
	return s->values[id].text;
}

int
settings_choice(const struct settings *s, enum setting_id id)
{
	assert(setting_table[id].type == SETTING_CHOICE);
	return (int)s->values[id].number;
}

size_t
settings_count(const struct settings *s, enum setting_id id)
{
	return s->values[id].count;
}

const char *
settings_item(const struct settings *s, enum setting_id id, size_t i)
{
	assert(i < s->values[id].count);
	return s->values[id].items[i];
}

int64_t
settings_item_int(const struct settings *s, enum setting_id id, size_t i)
{
	assert(i < s->values[id].count);
	return s->values[id].item_numbers[i];
}

bool
settings_has_ip(
    const struct settings *s, enum setting_id id, const struct ip *ip)
{
	const struct value *v = &s->values[id];

	assert(setting_table[id].type == SETTING_IP_LIST);
	for (size_t i = 0; i < v->count; i++)
		if (ip_set_has(&v->sets[i], ip))
			return true;
	return false;
}

const char *
settings_for_ip(
    const struct settings *s, enum setting_id id, const struct ip *ip)
{
	for (size_t i = 0; i < settings_count(s, id); i++) {
		struct slice address, value;
		struct ip own;

		value = slice_cut(
		    slice_str(settings_item(s, id, i)), '=', &address);
		if (value.len > 0 && ip_parse(address, &own) && ip_eq(&own, ip))
			return value.data;
	}
	return NULL;
}

const char *
settings_own_name(const struct settings *s, const struct ip *ip)
{
	const char *name = settings_for_ip(s, SET_SMTP_NAMES, ip);

	return name != NULL ? name : settings_text(s, SET_HOSTNAME);
}
