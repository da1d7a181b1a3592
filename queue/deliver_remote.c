/*
 * Remote delivery; see deliver_remote.h.
 *
 * A thread takes a slot in a lane, a connection (idle from an earlier slot,
 * or new to the first host that answers) and sends what waits.  A reused
 * connection that turns out closed costs a new one, not an attempt.  When no
 * host answers, all that waits in the lane is put off together.
 *
 * Each recipient's outcome is marked as soon as the remote server has spoken
 * (I2); just before the final dot they are marked prepared, so that a runner
 * that dies there knows that the message may have been taken.
 */
#include "queue/deliver_remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/sock.h"
#include "net/tls.h"

#include "queue/client.h"
#include "queue/lanes.h"
#include "queue/route.h"
#include "queue/sign.h"

enum {
	BULK_RECIPIENTS = 200, /* a message for more of them is not a letter */
	FULL_MS = 500,         /* then a full lane is tried again */
	SENDS_MAX = ROUTE_ADDRESSES_MAX + 1,
};

/* How much is lost when a thread's connection is cut. */
enum stake {
	STAKE_NONE,    /* nothing was sent yet */
	STAKE_TRAFFIC, /* the transfer has to be made again */
	STAKE_ANSWER,  /* the peer may have the message */
};

/* A thread, as others see it. */
struct seat {
	struct seat *next;
	struct runner *runner;
	struct sock_cut cut;
	atomic_int stake; /* enum stake */
};

/* What a thread holds while it works in a lane. */
struct slot {
	struct seat *seat;
	struct runner *runner;
	struct lane *lane;
	struct route route;
	struct settings *settings;
	struct client client;
	bool connected, reused;
	struct route_host hosts[ROUTE_ADDRESSES_MAX];
	size_t host_count, next_host;
	bool looked_up;
	char user[256], password[256];
};

/* --- Into the lanes --------------------------------------------------------- */

static const char *
copy_of(const struct envelope_recipient *r)
{
	return (r->flags & RECIPIENT_FORWARDED) != 0 && r->delivered_to != NULL
	    ? r->delivered_to
	    : "";
}

/* A comparison key: what may not share a transfer differs in it. */
struct waiting {
	uint32_t index;
	uint32_t attempts;
	const char *target, *copy;
};

static int
compare(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;
	int c = strcmp(x->target, y->target);

	if (c == 0)
		c = strcmp(x->copy, y->copy);
	if (c == 0)
		c = (x->attempts > y->attempts) - (x->attempts < y->attempts);
	if (c == 0)
		c = (x->index > y->index) - (x->index < y->index);
	return c;
}

static void
put_off_all(struct delivery *d, const struct outcome *o)
{
	size_t i;

	for (i = 0; i < d->count; i++)
		job_record(d->job, d->recipients[i], o);
	job_unref(d->job);
	free(d);
}

/* One transfer: recipients that share destination and copy. */
static void
enqueue(struct job *j, const struct waiting *w, size_t count, bool bulk)
{
	struct delivery *d =
	    mem_zalloc(sizeof(*d) + count * sizeof(d->recipients[0]));
	struct outcome dead;
	const char *sender = j->item->envelope.sender;
	struct route route;
	bool known = true;
	size_t i;

	if (w[0].copy[0] != '\0')
		known =
		    sign_return_domain(j, w[0].copy, &d->return_domain) == 0;
	d->job = j;
	d->bulk = bulk;
	d->extra = "";
	d->count = count;
	for (i = 0; i < count; i++)
		d->recipients[i] = w[i].index;
	pthread_mutex_lock(&j->lock);
	if (w[0].copy[0] != '\0')
		d->extra = pool_printf(
		    &j->item->pool, "Delivered-To: %s\n", w[0].copy);
	if (d->return_domain != NULL) /* a route asks for the domain only */
		sender = pool_printf(&j->item->pool, "@%s", d->return_domain);
	pthread_mutex_unlock(&j->lock);
	job_ref(j);
	if (!known) {
		memset(&dead, 0, sizeof(dead));
		outcome_set(&dead, OUTCOME_TEMP, "4.3.0",
		    "the directory cannot tell whose mail this is");
		put_off_all(d, &dead);
		return;
	}
	route_plan(j->settings, sender, w[0].target, w[0].attempts, &route);
	switch (lanes_add(j->runner->lanes, &route, d, &dead)) {
	case LANES_QUEUED:
		break;
	case LANES_DEAD:
		put_off_all(d, &dead);
		break;
	case LANES_FULL:
		job_release(j, FULL_MS + random_below(3 * FULL_MS));
		job_unref(j);
		free(d);
		break;
	}
}

void
deliver_remote(struct job *j)
{
	const struct envelope *v = &j->item->envelope;
	size_t most = (size_t)settings_int(j->settings, SET_REMOTE_RECIPIENTS);
	bool suspended = settings_choice(j->settings, SET_QUEUE_SUSPENDED) != 0;
	struct outcome unanswered = { .maybe_twice = true };
	struct waiting *w = NULL;
	size_t count = 0, alloc = 0, i, n;

	outcome_set(&unanswered, OUTCOME_TEMP, "4.4.2",
	    "stopped before the answer to the end of the message");
	for (i = 0; i < v->recipient_count; i++) {
		const struct envelope_recipient *r = &v->recipients[i];

		/* local ones are being published: look at nothing more */
		if (r->kind != RECIPIENT_REMOTE || !job_is_due(j, i))
			continue;
		if (spool_mark_get(j->item, i, NULL) == SPOOL_MARK_PREPARED)
			job_record(j, i, &unanswered);
		if (suspended) {
			job_put_off(j, i, ENVELOPE_SUSPENDED);
			continue;
		}
		w = mem_grow(w, &alloc, count + 1, sizeof(*w));
		w[count].index = (uint32_t)i;
		w[count].attempts = r->attempts;
		w[count].target = r->target;
		w[count++].copy = copy_of(r);
	}
	if (count > 1)
		qsort(w, count, sizeof(*w), compare);
	for (i = 0; i < count; i += n) {
		for (n = 1; i + n < count && n < most &&
		     strcmp(w[i].target, w[i + n].target) == 0 &&
		     strcmp(w[i].copy, w[i + n].copy) == 0 &&
		     w[i].attempts == w[i + n].attempts;
		     n++)
			;
		enqueue(j, w + i, n, count > BULK_RECIPIENTS);
	}
	free(w);
}

/* --- Out of the lanes -------------------------------------------------------- */

static int
load_credential(struct slot *s, struct outcome *o)
{
	const char *user = NULL, *password = NULL;
	json_t *reply = NULL;
	struct err e;
	int rc = -1;

	if (s->route.credential[0] == '\0' || s->user[0] != '\0')
		return 0;
	if (accountd_call(s->runner->accountd,
		json_pack("{s:s, s:s}", "verb", "credential get", "name",
		    s->route.credential),
		10000, &reply, &e) != 0) {
		outcome_set(o, OUTCOME_TEMP, "4.3.0", "credential %s: %s",
		    s->route.credential, e.text);
		return -1;
	}
	if (json_unpack(reply, "{s:s, s:s}", "user", &user, "password",
		&password) == 0 &&
	    slice_copy(slice_str(user), s->user, sizeof(s->user)) &&
	    slice_copy(slice_str(password), s->password, sizeof(s->password)))
		rc = 0;
	else
		outcome_set(o, OUTCOME_TEMP, "4.3.0",
		    "credential %s is not usable", s->route.credential);
	json_decref(reply);
	return rc;
}

static void
client_settings(const struct slot *s, struct client_config *c)
{
	const struct settings *set = s->settings;

	memset(c, 0, sizeof(*c));
	c->tls_any = s->runner->tls_any;
	c->tls_verified = s->runner->tls_verified;
	c->connect_ms = settings_int(set, SET_REMOTE_CONNECT_TIMEOUT) * 1000;
	c->step_cap_ms = settings_int(set, SET_REMOTE_TIMEOUT) * 1000;
	c->transfer_ms = settings_int(set, SET_REMOTE_TRANSFER_TIMEOUT) * 1000;
	c->eight_bit_as_is = settings_choice(set, SET_REMOTE_8BIT) != 0;
	c->cut = &s->seat->cut;
}

static void
log_attempt(const struct slot *s, const struct outcome *o)
{
	struct log_line l;

	log_begin(&l, "attempt", NULL, NULL);
	log_str(&l, "destination", s->route.domain);
	log_str(&l, "remote", o->remote);
	log_str(&l, "status", o->status);
	log_str(&l, "reply", o->text);
	log_end(&l);
}

/* A new connection to the first host that takes us.  -1: none does. */
static int
connect_next(struct slot *s, struct outcome *o)
{
	struct client_config config;
	struct client_host h;

	if (!s->looked_up) {
		s->looked_up = true;
		s->next_host = s->host_count = 0;
		if (route_hosts(&s->route, s->settings, s->hosts,
			&s->host_count, o) != 0)
			return -1;
	}
	if (load_credential(s, o) != 0)
		return -1;
	client_settings(s, &config);
	while (s->next_host < s->host_count && !service_stopping()) {
		memset(&h, 0, sizeof(h));
		h.name = s->hosts[s->next_host].name;
		h.ip = s->hosts[s->next_host++].ip;
		h.port = s->route.port;
		h.source = s->route.has_source ? &s->route.source : NULL;
		h.helo = s->route.helo;
		h.tls = s->route.tls;
		h.user = s->user[0] != '\0' ? s->user : NULL;
		h.password = s->password;
		if (client_open(&s->client, &config, &h, o) == 0) {
			s->connected = true;
			s->reused = false;
			return 0;
		}
		log_attempt(s, o);
	}
	return -1;
}

static void
disconnect(struct slot *s)
{
	if (s->connected)
		client_close(&s->client);
	s->connected = false;
}

struct dot {
	struct seat *seat;
	const struct delivery *d;
	const struct client_recipient *rcpts;
	const uint32_t *index;
	size_t count;
};

static void
before_dot(void *arg)
{
	const struct dot *dot = arg;
	size_t i;

	atomic_store(&dot->seat->stake, STAKE_ANSWER);
	for (i = 0; i < dot->count; i++)
		if (dot->rcpts[i].accepted)
			spool_mark(dot->d->job->item, dot->index[i],
			    SPOOL_MARK_PREPARED, 0);
}

static void
fill_message(const struct delivery *d, const struct spool_body *b,
    struct client_message *m)
{
	const struct envelope *v = &d->job->item->envelope;

	memset(m, 0, sizeof(*m));
	m->sender = v->sender;
	m->envid = v->envid;
	m->flags = v->flags;
	m->data = b->data;
	m->fd = b->fd;
	m->offset = v->local_prefix;
	m->len = v->body_size - v->local_prefix;
}

/*
 * What the transfer carries beyond the message as it came: signatures, header
 * line, return path.  *extra_out is to be freed.
 */
static int
complete_message(const struct delivery *d, const struct spool_body *b,
    struct client_message *m, char **extra_out, struct outcome *o)
{
	const char *signature;

	if (sign_message(d->job, b, &signature, o) != 0 ||
	    (d->return_domain != NULL &&
		sign_return_path(d->job, d->return_domain, &m->sender, o) != 0))
		return -1;
	*extra_out = mem_printf("%s%s", signature, d->extra);
	m->extra = *extra_out;
	m->wire_size = m->len + d->job->item->envelope.body_lines;
	for (const char *c = m->extra; *c != '\0'; c++)
		m->wire_size += *c == '\n' ? 2 : 1;
	return 0;
}

/*
 * Send to those in rcpts[0..*count] over the slot's connection; outcomes are
 * recorded, but of those another host may serve better, which are left in
 * front.
 */
static void
send_once(struct slot *s, struct delivery *d, const struct client_message *m,
    struct client_recipient *rcpts, uint32_t *index, size_t *count)
{
	struct dot dot = { s->seat, d, rcpts, index, *count };
	size_t i, left = 0;

	s->client.config.eight_bit_as_is =
	    settings_choice(s->settings, SET_REMOTE_8BIT) != 0 ||
	    (m->flags & ENVELOPE_GENERATED) != 0;
	atomic_store(&s->seat->stake, STAKE_TRAFFIC);
	client_send(&s->client, m, rcpts, *count, before_dot, &dot);
	atomic_store(&s->seat->stake, STAKE_NONE);
	for (i = 0; i < *count; i++) {
		if (rcpts[i].outcome.host_failed &&
		    (s->reused || s->next_host < s->host_count)) {
			index[left] = index[i];
			rcpts[left++] = rcpts[i];
			continue;
		}
		job_record(d->job, index[i], &rcpts[i].outcome);
	}
	*count = left;
	if (!s->client.usable)
		disconnect(s);
}

/* No host took us: what the lane's dead, and all in it, get. */
static bool
lane_failed(struct slot *s, struct delivery *d, const struct outcome *o)
{
	struct delivery *rest, *next;
	int64_t dead_ms =
	    o->kind == OUTCOME_PERM ? 0 : job_retry_ms(s->settings, 1);

	if (lanes_bad(s->runner->lanes, s->lane, d, o, dead_ms, &rest))
		return false;
	for (; rest != NULL; rest = next) {
		next = rest->next;
		put_off_all(rest, o);
	}
	return true;
}

/*
 * One delivery.  False: it went back into the lane, and the slot must be
 * given up.
 */
static bool
transfer(struct slot *s, struct delivery *d, struct client_recipient *rcpts)
{
	uint32_t index[CLIENT_RECIPIENTS_MAX];
	struct outcome o = { 0 };
	struct client_message m;
	size_t count = d->count, i, sends;
	bool unreachable = false, incomplete = false;
	struct spool_body body;
	char *extra = NULL;
	struct err e;

	memcpy(index, d->recipients, count * sizeof(index[0]));
	for (i = 0; i < count; i++) {
		const struct envelope_recipient *r =
		    &d->job->item->envelope.recipients[index[i]];

		memset(&rcpts[i], 0, sizeof(rcpts[i]));
		rcpts[i].address = r->address;
		rcpts[i].original = r->original;
		rcpts[i].notify = r->notify;
	}
	if (spool_body_open(d->job->item, &body, &e) != 0) {
		outcome_from_err(&o, &e);
		put_off_all(d, &o);
		return true;
	}
	fill_message(d, &body, &m);
	for (sends = 0; count > 0 && sends < SENDS_MAX; sends++) {
		unreachable = !s->connected && connect_next(s, &o) != 0;
		if (unreachable)
			break;
		incomplete = extra == NULL &&
		    complete_message(d, &body, &m, &extra, &o) != 0;
		if (incomplete)
			break;
		send_once(s, d, &m, rcpts, index, &count);
	}
	spool_body_close(&body);
	free(extra);
	if (s->connected)
		lanes_good(s->runner->lanes, s->lane,
		    (unsigned)settings_int(
			s->settings, SET_REMOTE_PER_DESTINATION));
	if (unreachable && service_stopping()) {
		job_release(d->job, 0);
		count = 0;
	} else if (unreachable && count == d->count && !lane_failed(s, d, &o))
		return false;
	for (i = 0; i < count; i++)
		job_record(d->job, index[i],
		    unreachable || incomplete ? &o : &rcpts[i].outcome);
	job_unref(d->job);
	free(d);
	return true;
}

static void
suspend(struct delivery *d)
{
	size_t i;

	for (i = 0; i < d->count; i++)
		job_put_off(d->job, d->recipients[i], ENVELOPE_SUSPENDED);
	job_unref(d->job);
	free(d);
}

/* Everything a taken slot does. */
static void
serve(struct slot *s, struct client_recipient *rcpts)
{
	struct lanes *lanes = s->runner->lanes;
	struct delivery *d;

	lanes_route(lanes, s->lane, &s->route);
	while ((d = lanes_next(lanes, s->lane)) != NULL) {
		settings_free(s->settings);
		s->settings = directory_settings(s->runner->directory);
		if (settings_choice(s->settings, SET_QUEUE_SUSPENDED) != 0) {
			suspend(d);
			continue;
		}
		if (!s->connected &&
		    lanes_take_idle(lanes, s->lane, &s->client)) {
			s->connected = s->reused = true;
			s->client.config.cut = &s->seat->cut;
			sock_cut_watch(&s->seat->cut, s->client.stream.fd);
		}
		s->looked_up = false;
		if (!transfer(s, d, rcpts))
			break;
		s->reused = true;
		if (s->connected &&
		    (int64_t)s->client.sent >=
			settings_int(s->settings, SET_REMOTE_MESSAGES))
			disconnect(s);
	}
	sock_cut_watch(&s->seat->cut, -1);
	s->client.config.cut = NULL;
	lanes_give(lanes, s->lane, s->connected ? &s->client : NULL);
	if (s->connected && s->client.peer[0] != '\0')
		client_close(&s->client); /* no room among the idle ones */
}

static void
run(struct worker *w, void *arg)
{
	struct client_recipient *rcpts =
	    mem_alloc(CLIENT_RECIPIENTS_MAX * sizeof(*rcpts));
	struct seat *seat = arg;
	struct runner *r = seat->runner;
	struct slot *s = mem_alloc(sizeof(*s));
	struct lane *lane;

	(void)w;
	while ((lane = lanes_take(r->lanes)) != NULL) {
		memset(s, 0, sizeof(*s));
		s->seat = seat;
		s->runner = r;
		s->lane = lane;
		serve(s, rcpts);
		settings_free(s->settings);
		mem_wipe(s->password, sizeof(s->password));
	}
	free(s);
	free(rcpts);
}

int
deliver_remote_start(struct runner *r, unsigned threads, struct err *e)
{
	for (unsigned i = 0; i < threads; i++) {
		struct seat *seat = mem_zalloc(sizeof(*seat));

		seat->runner = r;
		seat->next = r->seats;
		sock_cut_init(&seat->cut);
		r->seats = seat;
		if (worker_thread(r->worker, "remote", 0, run, seat, e) != 0)
			return -1;
	}
	return 0;
}

/* Cut the connections with no more than this at stake. */
static void
cut(struct runner *r, enum stake most)
{
	for (struct seat *seat = r->seats; seat != NULL; seat = seat->next)
		if (atomic_load(&seat->stake) <= (int)most)
			sock_cut(&seat->cut);
}

void
deliver_remote_stop(struct runner *r)
{
	struct delivery *d, *next;

	for (d = lanes_stop(r->lanes); d != NULL; d = next) {
		next = d->next;
		job_release(d->job, 0);
		job_unref(d->job);
		free(d);
	}
	cut(r, STAKE_NONE);
}

void
deliver_remote_hurry(struct runner *r, bool last)
{
	cut(r, last ? STAKE_ANSWER : STAKE_TRAFFIC);
}
