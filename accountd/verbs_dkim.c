/*
 * DKIM keys: making, rotating and signing by them.  A domain has keys under
 * its own name, an alias domain too, since the signing domain has to be the
 * one in From.
 *
 * Rotation: `dkim add` makes a pair to be published, `dkim activate` uses it
 * and retires what was used before, `dkim delete` is refused while mail signed
 * with a key may still be under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/id.h"
#include "directory/settings.h"
#include "mail/address.h"

#include "dkim.h"
#include "password.h"
#include "request.h"

enum {
	SIGNATURE_TEXT_MAX = 1024,
	SIGN_HASHES_MAX = 64, /* in one question; fits a packet */
};

/* The domain as named, which target.domain is not for an alias. */
static int
named_domain(struct request *q, const char **out, struct err *e)
{
	char *name = pool_alloc(&q->pool, ADDRESS_DOMAIN_MAX + 1);
	const char *text;

	if (req_string(q, "domain", &text, e) != 0)
		return -1;
	if (domain_normalise(slice_str(text), name, e) != 0)
		return refuse(q, e, "bad-domain", "not a domain: %s", text);
	q->target.domain = name;
	*out = name;
	return 0;
}

int
prepare_dkim(struct request *q, struct err *e)
{
	q->dkim = mem_zalloc(DKIM_ALGORITHMS * sizeof(*q->dkim));
	for (int a = 0; a < DKIM_ALGORITHMS; a++)
		if (dkim_make_key((enum dkim_algorithm)a, &q->dkim[a], e) != 0)
			return -1;
	return 0;
}

int
prepare_init(struct request *q, struct err *e)
{
	return prepare_password(q, e) != 0 ? -1 : prepare_dkim(q, e);
}

/* --- Adding --------------------------------------------------------------------- */

static const char *
selector_of(struct request *q, const char *base, int algorithm)
{
	return pool_printf(&q->pool, "%s-%s", base,
	    dkim_key_type((enum dkim_algorithm)algorithm));
}

static int
add_pair(struct request *q, const char *domain, const char *base,
    const char *state, struct err *e)
{
	for (int a = 0; a < DKIM_ALGORITHMS; a++) {
		const char *selector = selector_of(q, base, a);

		if (secrets_dkim_add(q->core->secrets, domain, selector, state,
			&q->dkim[a], e) == 0)
			continue;
		if (e->kind == ERR_PERM)
			return refuse(q, e, "exists",
			    "there is a selector %s already", selector);
		return -1;
	}
	return 0;
}

/* "s20261120", or with a letter behind when that is taken. */
static int
free_base(
    struct request *q, const char *domain, const char **out, struct err *e)
{
	char day[CLOCK_DAY_SIZE];
	const char *base;
	int got = 1;

	clock_day(clock_wall_ms(), day);
	base = pool_printf(&q->pool, "s%.4s%.2s%.2s", day, day + 5, day + 8);
	*out = base;
	for (int c = 'b'; c <= 'z'; c++) {
		got = secrets_dkim_has(
		    q->core->secrets, domain, selector_of(q, *out, 0), e);
		if (got != 1)
			break;
		*out = pool_printf(&q->pool, "%s%c", base, (char)c);
	}
	return got < 0 ? -1 : 0;
}

int
dkim_add_first(struct request *q, const char *domain, struct err *e)
{
	const char *base;

	/* what a failed commit may have left */
	dkim_keys_forget(q->core->dkim);
	if (secrets_dkim_delete(q->core->secrets, domain, NULL, e) < 0 ||
	    free_base(q, domain, &base, e) != 0)
		return -1;
	return add_pair(q, domain, base, "active", e);
}

int
verb_dkim_add(struct request *q, struct err *e)
{
	struct dkim_row *rows =
	    pool_alloc(&q->pool, DKIM_KEYS_MAX * sizeof(*rows));
	const char *domain = "", *base = NULL;
	int count;

	if (named_domain(q, &domain, e) != 0 ||
	    req_optional(q, "selector", &base, e) != 0)
		return -1;
	count = secrets_dkim_list(q->core->secrets, domain, rows, e);
	if (count < 0 || (base == NULL && free_base(q, domain, &base, e) != 0))
		return -1;
	if (count + DKIM_ALGORITHMS > DKIM_KEYS_MAX)
		return refuse(
		    q, e, "too-many", "too many keys: delete old ones first");
	if (!dkim_selector_is_valid(
		slice_str(selector_of(q, base, DKIM_ED25519_SHA256))))
		return refuse(q, e, "bad-value",
		    "a selector is short and of a-z, 0-9, '-', '_' and '.'");
	if (add_pair(q, domain, base, count == 0 ? "active" : "new", e) != 0)
		return -1;
	q->after = json_pack("{ss,ss}", "selector", base, "state",
	    count == 0 ? "active" : "new");
	return 0;
}

/* --- From a backup ---------------------------------------------------------------- */

static bool
take_blob(const json_t *text, uint8_t *out, size_t size, size_t *len_out)
{
	struct buf b;
	bool good;

	buf_init(&b, size + 1);
	good = base64_decode(
		   slice_of(json_string_value(text), json_string_length(text)),
		   &b) &&
	    b.len > 0 && b.len <= size;
	if (good)
		memcpy(out, b.data, b.len);
	*len_out = b.len;
	mem_wipe(b.data, b.len);
	buf_release(&b);
	return good;
}

/* What a copy's secrets.db had: one key, as it was; looked at, or stored. */
static int
restore_key(struct request *q, const char *domain, json_t *one, bool store,
    struct err *e)
{
	static const char *const states[] = { "new", "active", "retired" };
	struct dkim_new_key key = { 0 };
	const char *selector = "", *algorithm = "", *state = "";
	const json_t *secret = json_object_get(one, "private_key");
	const json_t *shown = json_object_get(one, "public_key");
	bool good = json_unpack(one, "{s:s,s:s,s:s}", "selector", &selector,
			"algorithm", &algorithm, "state", &state) == 0;
	int a = dkim_algorithm_find(slice_str(algorithm)), known = 0, r = 0;

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		known += strcmp(states[i], state) == 0;
	key.algorithm = (enum dkim_algorithm)a;
	good = good && a >= 0 && known == 1 &&
	    dkim_selector_is_valid(slice_str(selector)) &&
	    take_blob(secret, key.private_key, sizeof(key.private_key),
		&key.private_len) &&
	    take_blob(
		shown, key.public_key, sizeof(key.public_key), &key.public_len);
	if (good && store)
		r = secrets_dkim_add(
		    q->core->secrets, domain, selector, state, &key, e);
	mem_wipe(&key, sizeof(key));
	return good ? r : refuse(q, e, "bad-value", "a key is damaged");
}

/*
 * "keys" become the keys of the domain, in place of those it has.  What they
 * were retired counts from now: that is the safe side.
 */
int
verb_dkim_restore(struct request *q, struct err *e)
{
	json_t *keys = json_object_get(q->in, "keys"), *one;
	const char *domain = "";
	size_t i;

	if (named_domain(q, &domain, e) != 0)
		return -1;
	if (json_array_size(keys) == 0 || json_array_size(keys) > DKIM_KEYS_MAX)
		return refuse(q, e, "missing", "keys are missing");
	json_array_foreach(keys, i, one)
		if (restore_key(q, domain, one, false, e) != 0)
			return -1;
	dkim_keys_forget(q->core->dkim);
	if (secrets_dkim_delete(q->core->secrets, domain, NULL, e) < 0)
		return -1;
	json_array_foreach(keys, i, one)
		if (restore_key(q, domain, one, true, e) != 0)
			return -1;
	q->after = json_pack("{si}", "keys", (int)i);
	return 0;
}

/* --- Showing -------------------------------------------------------------------- */

static json_t *
time_json(int64_t wall_ms)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(wall_ms, text);
	return json_string(text);
}

/* Until when mail signed with a key retired now may be under way. */
static int64_t
needed_ms(struct request *q, const struct dkim_row *r)
{
	struct settings *s = directory_settings(q->core->directory);
	int64_t expire_s = settings_int(s, SET_QUEUE_EXPIRE);

	settings_free(s);
	return r->changed_ms + expire_s * 1000;
}

static json_t *
row_json(struct request *q, const char *domain, const struct dkim_row *r)
{
	struct buf value;
	json_t *item;

	buf_init(&value, 4096);
	dkim_record(r->algorithm,
	    slice_of((const char *)r->public_key, r->public_len), &value);
	item = json_pack("{ss,ss,ss,so,so,s:{ss,ss,ss}}", "selector",
	    r->selector, "algorithm", dkim_key_type(r->algorithm), "state",
	    r->state, "created_at", time_json(r->created_ms), "changed_at",
	    time_json(r->changed_ms), "record", "type", "TXT", "name",
	    pool_printf(&q->pool, "%s._domainkey.%s", r->selector, domain),
	    "value", value.data);
	if (strcmp(r->state, "retired") == 0)
		json_object_set_new(
		    item, "needed_until", time_json(needed_ms(q, r)));
	buf_release(&value);
	return item;
}

/* A signature of something nobody chose, to be tried on the published key. */
static int
add_test(struct request *q, const char *domain, const struct dkim_row *r,
    json_t *item, struct err *e)
{
	uint8_t hash[DKIM_HASH_SIZE];
	struct buf signature, text;
	int got;

	random_bytes(hash, sizeof(hash));
	buf_init(&signature, DKIM_SIGNATURE_MAX);
	buf_init(&text, 2048);
	got = dkim_sign(q->core->dkim, q->core->secrets, domain, r->selector,
	    hash, &signature, e);
	if (got == 1) {
		base64_encode(hash, sizeof(hash), &text);
		json_object_set_new(item, "test_hash", json_string(text.data));
		buf_reset(&text);
		base64_encode(signature.data, signature.len, &text);
		json_object_set_new(
		    item, "test_signature", json_string(text.data));
	}
	buf_release(&signature);
	buf_release(&text);
	return got < 0 ? -1 : 0;
}

int
verb_dkim_list(struct request *q, struct err *e)
{
	struct dkim_row *rows =
	    pool_alloc(&q->pool, DKIM_KEYS_MAX * sizeof(*rows));
	json_t *items = json_array();
	const char *domain = "";
	int count;

	json_object_set_new(q->out, "items", items);
	if (named_domain(q, &domain, e) != 0)
		return -1;
	count = secrets_dkim_list(q->core->secrets, domain, rows, e);
	for (int i = 0; i < count; i++) {
		json_t *item = row_json(q, domain, &rows[i]);

		json_array_append_new(items, item);
		if (req_bool(q, "test") &&
		    add_test(q, domain, &rows[i], item, e) != 0)
			return -1;
	}
	return count < 0 ? -1 : 0;
}

/* --- Rotating ----------------------------------------------------------- */

/* The keys of the domain, and the one with the selector of the request. */
struct rows {
	const char *domain;
	struct dkim_row *items;
	int count;
	struct dkim_row *named; /* or NULL */
};

static struct dkim_row *
find_row(const struct rows *rows, const char *selector)
{
	for (int i = 0; i < rows->count; i++)
		if (ascii_casecmp(rows->items[i].selector, selector) == 0)
			return &rows->items[i];
	return NULL;
}

static int
load_rows(struct request *q, struct rows *rows, struct err *e)
{
	const char *selector = NULL;

	*rows = (struct rows){ .domain = "" };
	rows->items =
	    pool_alloc(&q->pool, DKIM_KEYS_MAX * sizeof(*rows->items));
	if (named_domain(q, &rows->domain, e) != 0 ||
	    req_optional(q, "selector", &selector, e) != 0)
		return -1;
	rows->count =
	    secrets_dkim_list(q->core->secrets, rows->domain, rows->items, e);
	if (rows->count < 0)
		return -1;
	if (selector == NULL)
		return 0;
	rows->named = find_row(rows, selector);
	if (rows->named == NULL)
		return refuse(
		    q, e, "not-found", "no such selector: %s", selector);
	q->before =
	    json_pack("{ss}", rows->named->selector, rows->named->state);
	return 0;
}

static int
set_state(struct request *q, const struct rows *rows, struct dkim_row *row,
    const char *state, struct err *e)
{
	if (secrets_dkim_set_state(
		q->core->secrets, rows->domain, row->selector, state, e) < 0)
		return -1;
	dkim_keys_forget(q->core->dkim);
	(void)snprintf(row->state, sizeof(row->state), "%s", state);
	json_object_set_new(q->after, row->selector, json_string(state));
	return 0;
}

/* In place of the active ones of its algorithm. */
static int
activate(struct request *q, const struct rows *rows, struct dkim_row *next,
    struct err *e)
{
	for (int i = 0; i < rows->count; i++) {
		struct dkim_row *row = &rows->items[i];

		if (row != next && row->algorithm == next->algorithm &&
		    strcmp(row->state, "active") == 0 &&
		    set_state(q, rows, row, "retired", e) != 0)
			return -1;
	}
	return set_state(q, rows, next, "active", e);
}

/* One key, or without a selector all that are new. */
int
verb_dkim_activate(struct request *q, struct err *e)
{
	struct rows rows;
	int done = 0;

	if (load_rows(q, &rows, e) != 0)
		return -1;
	q->after = json_object();
	for (int i = 0; i < rows.count; i++) {
		struct dkim_row *row = &rows.items[i];

		if (rows.named != NULL ? row != rows.named
				       : strcmp(row->state, "new") != 0)
			continue;
		if (activate(q, &rows, row, e) != 0)
			return -1;
		done++;
	}
	if (done == 0)
		return refuse(q, e, "not-found", "there is no new key");
	return 0;
}

int
verb_dkim_retire(struct request *q, struct err *e)
{
	struct rows rows;

	if (load_rows(q, &rows, e) != 0)
		return -1;
	if (rows.named == NULL)
		return refuse(q, e, "missing", "selector is missing");
	if (strcmp(rows.named->state, "retired") == 0)
		return 0;
	q->after = json_object();
	return set_state(q, &rows, rows.named, "retired", e);
}

int
verb_dkim_delete(struct request *q, struct err *e)
{
	char until[CLOCK_RFC3339_SIZE];
	struct rows rows;

	if (load_rows(q, &rows, e) != 0)
		return -1;
	if (rows.named == NULL)
		return refuse(q, e, "missing", "selector is missing");
	if (strcmp(rows.named->state, "active") == 0)
		return refuse(q, e, "in-use",
		    "mail is signed with it: activate another or retire it");
	clock_rfc3339(needed_ms(q, rows.named), until);
	if (strcmp(rows.named->state, "retired") == 0 &&
	    !req_bool(q, "force") && clock_wall_ms() < needed_ms(q, rows.named))
		return refuse(q, e, "still-needed",
		    "mail signed with it may be under way until %s", until);
	return secrets_dkim_delete(
		   q->core->secrets, rows.domain, rows.named->selector, e) < 0
	    ? -1
	    : 0;
}

/* --- For the queue runner ---------------------------------------------- */

/* A signature, or null where the key is not an active one. */
static int
sign_hash(struct request *q, const char *domain, const char *selector,
    const uint8_t *hash, json_t *out, struct err *e)
{
	struct buf signature, text;
	int r;

	buf_init(&signature, DKIM_SIGNATURE_MAX);
	buf_init(&text, SIGNATURE_TEXT_MAX);
	r = dkim_sign(q->core->dkim, q->core->secrets, domain, selector, hash,
	    &signature, e);
	base64_encode(signature.data, signature.len, &text);
	if (r >= 0)
		json_array_append_new(
		    out, r == 1 ? json_string(text.data) : json_null());
	buf_release(&signature);
	buf_release(&text);
	return r < 0 ? -1 : 0;
}

static int
sign_item(struct request *q, json_t *item, json_t *out, struct err *e)
{
	const char *domain, *selector, *hash;
	struct buf raw;
	int r;

	buf_init(&raw, DKIM_HASH_SIZE);
	if (json_unpack(item, "[s,s,s]", &domain, &selector, &hash) != 0 ||
	    !base64_decode(slice_str(hash), &raw) || raw.len != DKIM_HASH_SIZE)
		r = refuse(
		    q, e, "bad-value", "a domain, selector and hash each");
	else
		r = sign_hash(
		    q, domain, selector, (const uint8_t *)raw.data, out, e);
	buf_release(&raw);
	return r;
}

/* {hashes: [[domain, selector, hash]]} -> {signatures: [base64 or null]} */
int
verb_dkim_sign(struct request *q, struct err *e)
{
	json_t *hashes = json_object_get(q->in, "hashes");
	json_t *out = json_array(), *item;
	size_t i;

	json_object_set_new(q->out, "signatures", out);
	if (!json_is_array(hashes) || json_array_size(hashes) == 0 ||
	    json_array_size(hashes) > SIGN_HASHES_MAX)
		return refuse(q, e, "bad-value", "not a list of 1 to %d hashes",
		    SIGN_HASHES_MAX);
	json_array_foreach(hashes, i, item)
		if (sign_item(q, item, out, e) != 0)
			return -1;
	return 0;
}

/*
 * What return paths of forwarded mail are sealed with (mail/srs.h).  It seals
 * nothing else, so those who have it learn nothing of the server's key.
 */
int
verb_srs_key(struct request *q, struct err *e)
{
	static const char label[] = "srs";
	uint8_t key[SECRET_KEY_LEN];
	struct buf text;

	if (q->caller->program == FROM_MAILSTEAD && !q->caller->is_operator)
		return refuse(q, e, "forbidden", "not allowed");
	keyed_hash(
	    secrets_server_key(q->core->secrets), label, sizeof(label), key);
	buf_init(&text, 64);
	base64_encode(key, sizeof(key), &text);
	mem_wipe(key, sizeof(key));
	json_object_set_new(q->out, "key", json_string(text.data));
	mem_wipe(text.data, text.len);
	buf_release(&text);
	return 0;
}
