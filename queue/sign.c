/*
 * DKIM and SRS at the moment of sending; see sign.h.
 *
 * accountd is asked once a message, for several at once (sign_batch.h): which
 * keys are active is remembered for a
 * minute, and asked again when accountd says that one is not.  A signature is
 * kept with the job, since all its transfers carry the same text.
 *
 * No lock is held while accountd is asked: two transfers of one job may both
 * sign, and the first one's result stands.  Remote delivery threads.
 */
#include "queue/sign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "directory/accountd.h"
#include "directory/directory.h"
#include "mail/dkim.h"
#include "mail/srs.h"
#include "policy/policy.h"

#include "queue/selfcheck.h"
#include "queue/sign_batch.h"

enum {
	ASK_MS = 10000,
	KEPT = 64, /* domains whose keys are remembered */
	KEPT_MS = 60000,
	CHUNK = 65536,
	FIELD_MAX = 65536,
	FIELDS_MAX = DKIM_ALGORITHMS * FIELD_MAX,
	SIGNATURE_MAX = 4096,
};

/* The active keys of a domain: at most one of each algorithm. */
struct keys {
	char domain[ADDRESS_DOMAIN_MAX + 1];
	int64_t until_ms;
	char selectors[DKIM_ALGORITHMS][DKIM_SELECTOR_MAX + 1]; /* or "" */
};

struct sign {
	pthread_mutex_t lock;
	struct keys kept[KEPT];
	size_t next;
	struct sign_batch *batch;
};

struct sign *
sign_new(struct accountd *a)
{
	struct sign *s = mem_zalloc(sizeof(*s));

	s->batch = sign_batch_new(a);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

/* --- Whose message ---------------------------------------------------------------- */

/* d=: the domain of From, or the one above it that is ours (alignment). */
static enum dir_result
signing_domain(struct directory *d, const char *from, struct pool *pool,
    struct dir_domain *out, struct err *e)
{
	enum dir_result r = DIR_NONE;

	for (; r == DIR_NONE && from != NULL && strchr(from, '.') != NULL;
	     from = strchr(from, '.')) {
		from += *from == '.';
		r = dir_find_domain(d, from, pool, out, e);
	}
	return r;
}

static bool
speaks_for(
    struct job *j, const char *address, int64_t domain_id, struct pool *pool)
{
	const char *at = strrchr(address, '@');
	struct dir_domain d;
	struct err e;

	return at != NULL &&
	    dir_find_domain(j->runner->directory, at + 1, pool, &d, &e) ==
	    DIR_FOUND &&
	    d.id == domain_id;
}

static bool
is_ours(const struct job *j)
{
	const struct envelope *v = &j->item->envelope;
	struct ip ip;

	if ((v->flags & (ENVELOPE_GENERATED | ENVELOPE_SUBMITTED)) != 0)
		return true;
	return settings_bool(j->settings, SET_RELAY_TRUSTED_ENABLED) &&
	    ip_parse(slice_str(v->client_ip), &ip) &&
	    settings_has_ip(j->settings, SET_RELAY_TRUSTED, &ip);
}

/*
 * A user signed in speaks for the domain of the account and for that of the
 * sender address, which was judged when it came in.
 */
static bool
may_sign(struct job *j, int64_t domain_id, struct pool *pool)
{
	const struct envelope *v = &j->item->envelope;

	return v->auth_user[0] == '\0' ||
	    settings_choice(j->settings, SET_SENDER_SEND_AS) ==
	    POLICY_SEND_ANYONE ||
	    speaks_for(j, v->auth_user, domain_id, pool) ||
	    speaks_for(j, v->sender, domain_id, pool);
}

/* --- Keys ------------------------------------------------------------------------------ */

static bool
find_keys(struct sign *s, const char *domain, struct keys *out)
{
	int64_t now = clock_mono_ms();
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < KEPT && !found; i++) {
		found = now < s->kept[i].until_ms &&
		    strcmp(s->kept[i].domain, domain) == 0;
		if (found)
			*out = s->kept[i];
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void
keep_keys(struct sign *s, const struct keys *k)
{
	size_t i;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < KEPT && strcmp(s->kept[i].domain, k->domain) != 0; i++)
		;
	if (i == KEPT)
		i = s->next++ % KEPT;
	s->kept[i] = *k;
	pthread_mutex_unlock(&s->lock);
}

/* accountd lists the oldest first: of several the newest is taken. */
static void
take_keys(json_t *reply, struct keys *out)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(reply, "items"), i, item) {
		const char *selector, *algorithm, *state;
		int a;

		if (json_unpack(item, "{s:s, s:s, s:s}", "selector", &selector,
			"algorithm", &algorithm, "state", &state) != 0 ||
		    strcmp(state, "active") != 0)
			continue;
		a = dkim_algorithm_find(slice_str(algorithm));
		if (a >= 0 &&
		    !slice_copy(slice_str(selector), out->selectors[a],
			sizeof(out->selectors[a])))
			out->selectors[a][0] = '\0';
	}
}

static int
load_keys(struct runner *r, const char *domain, struct keys *out, struct err *e)
{
	json_t *reply = NULL;

	memset(out, 0, sizeof(*out));
	snprintf(out->domain, sizeof(out->domain), "%s", domain);
	if (accountd_call(r->accountd,
		json_pack("{s:s, s:s}", "verb", "dkim keys", "domain", domain),
		ASK_MS, &reply, e) != 0)
		return -1;
	take_keys(reply, out);
	json_decref(reply);
	out->until_ms = clock_mono_ms() + KEPT_MS;
	keep_keys(r->sign, out);
	return 0;
}

/* --- The text -------------------------------------------------------------------------- */

static int
read_at(const struct spool_body *b, char *out, size_t want, uint64_t at,
    size_t *got_out, struct err *e)
{
	ssize_t n;

	do {
		n = pread(b->fd, out, want, (off_t)at);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(e, "reading the message");
	if (n == 0 && want > 0)
		return err_set(e, ERR_TEMP, "the message file is too short");
	*got_out = (size_t)n;
	return 0;
}

/* The header block, in memory for messages that are in files. */
static int
scan_header(struct job *j, const struct spool_body *b, struct dkim_message *m,
    uint64_t *body_at_out, struct err *e)
{
	const struct envelope *v = &j->item->envelope;
	uint64_t start = v->local_prefix, len = v->body_size - start;
	size_t want = len < DKIM_HEADER_MAX ? (size_t)len : DKIM_HEADER_MAX;
	size_t got = 0, n, at;
	char *memory = NULL;
	struct slice text;
	int rc = 0;

	if (b->data == NULL) {
		memory = mem_alloc(want);
		while (rc == 0 && got < want) {
			rc = read_at(
			    b, memory + got, want - got, start + got, &n, e);
			got += rc == 0 ? n : 0;
		}
	}
	text = slice_of(memory != NULL ? memory : b->data + start, want);
	if (rc == 0) {
		at = dkim_scan(m, text);
		if (at == want && want < len)
			rc = err_set(e, ERR_PERM, "its header is too large");
		*body_at_out = start + at;
	}
	free(memory);
	return rc;
}

static int
hash_body(struct job *j, const struct spool_body *b, uint64_t at,
    struct dkim_message *m, struct err *e)
{
	uint64_t end = j->item->envelope.body_size;
	struct dkim_body hash;
	char *chunk = NULL;
	size_t n = 0;
	int rc = 0;

	dkim_body_start(&hash);
	if (b->data != NULL) {
		dkim_body_push(
		    &hash, slice_of(b->data + at, (size_t)(end - at)));
		at = end;
	} else {
		chunk = mem_alloc(CHUNK);
	}
	for (; rc == 0 && at < end; at += n) {
		rc = read_at(b, chunk,
		    end - at < CHUNK ? (size_t)(end - at) : CHUNK, at, &n, e);
		if (rc == 0)
			dkim_body_push(&hash, slice_of(chunk, n));
	}
	dkim_body_end(&hash, m->body_hash);
	free(chunk);
	return rc;
}

/* --- Signing --------------------------------------------------------------------------- */

/* `out` stays empty when the domain has no active key. */
static int
sign_with(struct runner *r, const struct dkim_message *m, struct keys *k,
    struct buf *out, struct err *e)
{
	struct sign_ask ask = { .domain = k->domain };
	struct buf fields[DKIM_ALGORITHMS];
	int64_t time_s = clock_wall_ms() / 1000;
	bool any = false;
	int rc = 0;

	for (int a = 0; a < DKIM_ALGORITHMS; a++) {
		const struct dkim_signature s = { (enum dkim_algorithm)a,
			k->domain, k->selectors[a], time_s };

		buf_init(&fields[a], FIELD_MAX);
		buf_init(&ask.signatures[a], SIGNATURE_MAX);
		ask.selectors[a] = k->selectors[a];
		if (k->selectors[a][0] == '\0')
			continue;
		dkim_field(m, &s, &fields[a], ask.hashes[a]);
		any = true;
	}
	if (any)
		rc = sign_batch_ask(r->sign->batch, &ask, e);
	for (int a = 0; a < DKIM_ALGORITHMS; a++) {
		if (rc == 0 && fields[a].len > 0) {
			dkim_field_finish(
			    buf_slice(&ask.signatures[a]), &fields[a]);
			buf_addslice(out, buf_slice(&fields[a]));
		}
		buf_release(&fields[a]);
		buf_release(&ask.signatures[a]);
	}
	return rc;
}

static int
sign_as(struct runner *r, const struct dkim_message *m, const char *domain,
    struct buf *out, struct err *e)
{
	struct keys k;
	bool remembered = find_keys(r->sign, domain, &k);

	if (!remembered && load_keys(r, domain, &k, e) != 0)
		return -1;
	if (sign_with(r, m, &k, out, e) == 0)
		return 0;
	/* a key that is not active any more */
	if (e->kind != ERR_PERM || !remembered)
		return -1;
	buf_reset(out);
	return load_keys(r, domain, &k, e) != 0 ? -1
						: sign_with(r, m, &k, out, e);
}

static int
sign_text(struct job *j, const struct spool_body *body, struct buf *out,
    struct err *e)
{
	struct dir_domain domain;
	struct dkim_message m;
	struct pool pool = { 0 };
	uint64_t body_at = 0;
	int rc;

	dkim_message_init(&m);
	rc = scan_header(j, body, &m, &body_at, e);
	if (rc == 0 && m.from_domain[0] != '\0') {
		switch (signing_domain(
		    j->runner->directory, m.from_domain, &pool, &domain, e)) {
		case DIR_TEMP:
			rc = -1;
			break;
		case DIR_NONE:
			break;
		case DIR_FOUND:
			if (!may_sign(j, domain.id, &pool))
				break;
			selfcheck_note(j->runner->selfcheck, domain.asked);
			rc = hash_body(j, body, body_at, &m, e);
			if (rc == 0)
				rc = sign_as(
				    j->runner, &m, domain.asked, out, e);
			break;
		}
	}
	dkim_message_release(&m);
	pool_release(&pool);
	return rc;
}

/* What cannot ever be signed goes without; the rest as the setting says. */
static bool
goes_unsigned(const struct job *j, const struct err *e)
{
	if (e->kind != ERR_PERM &&
	    settings_choice(j->settings, SET_DKIM_UNAVAILABLE) == 0)
		return false;
	log_warning("message %s goes unsigned: %s", j->item->id, e->text);
	return true;
}

int
sign_message(struct job *j, const struct spool_body *body,
    const char **fields_out, struct outcome *o)
{
	const char *fields;
	struct buf out;
	struct err e;
	int rc = 0;

	pthread_mutex_lock(&j->lock);
	fields = j->signature;
	pthread_mutex_unlock(&j->lock);
	*fields_out = fields != NULL ? fields : "";
	if (fields != NULL || !settings_bool(j->settings, SET_DKIM_ENABLED) ||
	    !is_ours(j))
		return 0;
	buf_init(&out, FIELDS_MAX);
	if (sign_text(j, body, &out, &e) != 0) {
		buf_reset(&out);
		if (!goes_unsigned(j, &e)) {
			outcome_set(o, OUTCOME_TEMP, "4.3.0",
			    "cannot be signed now: %s", e.text);
			rc = -1;
		}
	}
	if (rc == 0) {
		pthread_mutex_lock(&j->lock);
		if (j->signature == NULL)
			j->signature = pool_strdup(&j->item->pool, out.data);
		*fields_out = j->signature;
		pthread_mutex_unlock(&j->lock);
	}
	buf_release(&out);
	return rc;
}

/* --- Return paths ------------------------------------------------------------------------ */

int
sign_return_domain(
    struct job *j, const char *delivered_to, const char **domain_out)
{
	const char *sender = j->item->envelope.sender, *at;
	struct directory *directory = j->runner->directory;
	struct pool pool = { 0 };
	struct dir_domain d;
	enum dir_result r = DIR_FOUND;
	struct err e;

	*domain_out = NULL;
	at = strrchr(sender, '@');
	if (at != NULL && settings_bool(j->settings, SET_SRS_ENABLED))
		r = dir_find_domain(directory, at + 1, &pool, &d, &e);
	at = strrchr(delivered_to, '@');
	if (r == DIR_NONE) {
		r = dir_find_domain(
		    directory, at != NULL ? at + 1 : "", &pool, &d, &e);
		pthread_mutex_lock(&j->lock);
		if (r == DIR_FOUND)
			*domain_out = pool_strdup(&j->item->pool, d.asked);
		pthread_mutex_unlock(&j->lock);
	}
	pool_release(&pool);
	return r == DIR_TEMP ? -1 : 0;
}

int
sign_return_path(struct job *j, const char *domain, const char **sender_out,
    struct outcome *o)
{
	struct pool pool = { 0 };
	struct address sender;
	uint8_t key[SRS_KEY_SIZE];
	char *path = NULL;
	struct err e;

	if (accountd_srs_key(j->runner->accountd, ASK_MS, key, &e) != 0) {
		outcome_set(o, OUTCOME_TEMP, "4.3.0",
		    "no return path for forwarding: %s", e.text);
		return -1;
	}
	*sender_out = j->item->envelope.sender;
	if (address_parse(slice_str(*sender_out), ADDRESS_UTF8, &pool, &sender,
		&e) == 0 &&
	    srs_forward(
		key, &sender, domain, clock_wall_ms(), &pool, &path, &e) == 0) {
		pthread_mutex_lock(&j->lock);
		*sender_out = pool_strdup(&j->item->pool, path);
		pthread_mutex_unlock(&j->lock);
	} else {
		log_warning("message %s keeps its return path: %s", j->item->id,
		    e.text);
	}
	mem_wipe(key, sizeof(key));
	pool_release(&pool);
	return 0;
}
