/*
 * Resolution of recipients; see resolve.h.  Asks the directory, changes the
 * envelope, does no other I/O.  Runs on the claiming threads; an envelope
 * belongs to one of them.
 *
 * One accepted recipient is followed depth first.  What it leads to is
 * collected apart and put into the envelope only when all of it is known:
 * first in its own place, the rest behind.  Without an answer from the
 * directory the recipient is left for the next attempt.
 */
#include "queue/resolve.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "mail/address.h"

#include "maildir/maildir.h"

enum {
	PATH_SIZE = 512
};

/* What one accepted recipient led to. */
struct outcome_list {
	struct envelope_recipient *items;
	size_t count, alloc;
};

struct walk {
	const struct resolve_context *c;
	struct pool *pool;    /* of the envelope */
	struct pool *scratch; /* of this resolution */
	json_t *finals; /* mailboxes and remote addresses of the message */
	json_t *seen;   /* addresses followed for this recipient */
	struct outcome_list out;
	const struct envelope_recipient *origin;
	bool followed; /* more than the address itself */
	bool doubled;  /* something was left out, being there already */
	bool looped;
	size_t room;                /* recipients the message may still get */
	const char *status, *reply; /* why nothing came out */
	struct err err;
};

/* True if it was not in yet; a set is the keys of an object. */
static bool
set_add(json_t *set, const char *key)
{
	return json_object_get(set, key) == NULL &&
	    json_object_set_new_nocheck(set, key, json_true()) == 0;
}

static const char *
folded(struct pool *pool, const char *s)
{
	char *copy = pool_strdup(pool, s);

	ascii_lower_str(copy);
	return copy;
}

/* The key of a resolved recipient in the set of finals. */
static const char *
final_key(struct pool *pool, const struct envelope_recipient *r)
{
	if (r->kind == RECIPIENT_LOCAL)
		return pool_printf(pool, "/%s", r->target);
	return folded(pool, r->address);
}

/* A final destination was found. */
static void
add_final(struct walk *w, const char *address, enum recipient_kind kind,
    const char *target)
{
	struct envelope_recipient *r;

	if (w->out.count >= w->room) {
		w->status = "5.2.4";
		w->reply = "the list has too many members";
		return;
	}
	w->out.items = mem_grow(w->out.items, &w->out.alloc, w->out.count + 1,
	    sizeof(*w->out.items));
	r = &w->out.items[w->out.count];
	*r = *w->origin;
	r->address = pool_strdup(w->pool, address);
	r->kind = (uint8_t)kind;
	r->target = pool_strdup(w->pool, target);
	if (w->followed) {
		r->flags |= RECIPIENT_FORWARDED;
		if (r->delivered_to == NULL)
			r->delivered_to = w->origin->address;
	}
	if (!set_add(w->finals, final_key(w->scratch, r))) {
		w->doubled = true;
		return;
	}
	w->out.count++;
}

static void
add_mailbox(struct walk *w, const struct dir_account *a)
{
	char path[PATH_SIZE];

	if (!maildir_path(slice_str(a->local), slice_str(a->domain), path,
		sizeof(path))) {
		w->status = "5.1.3";
		w->reply = "the mailbox name is too long";
		return;
	}
	if (a->disabled &&
	    settings_choice(w->c->settings, SET_ACCOUNT_DISABLED_MAIL) == 0) {
		w->status = "5.2.1";
		w->reply = "the mailbox is disabled";
		return;
	}
	add_final(w, a->address, RECIPIENT_LOCAL, path);
}

static int follow(struct walk *w, const char *address, unsigned depth);

static int
follow_all(struct walk *w, const char *at, char **targets, size_t count,
    unsigned depth)
{
	size_t i;

	if (w->c->was_at != NULL && w->c->was_at(w->c->arg, at)) {
		w->looped = true;
		return 0;
	}
	w->followed = true;
	for (i = 0; i < count; i++)
		if (follow(w, targets[i], depth + 1) != 0)
			return -1;
	return 0;
}

/* A whole domain forwarded: to an address, or "@other" keeping the local part. */
static int
follow_domain(struct walk *w, const struct address *a, const char *at,
    const struct dir_target *t, unsigned depth)
{
	struct address moved = *a;
	char *target = t->targets[0];

	if (target[0] == '@') {
		moved.domain = target + 1;
		target = address_format(&moved, w->scratch);
	}
	return follow_all(w, at, &target, 1, depth);
}

static int
follow_account(struct walk *w, const struct dir_target *t, unsigned depth)
{
	const struct dir_account *a = &t->account;

	if (a->forward_count == 0 || a->forward_keep)
		add_mailbox(w, a);
	if (a->forward_count == 0 || a->disabled)
		return 0;
	return follow_all(w, a->address, a->forward, a->forward_count, depth);
}

static int
follow_local(struct walk *w, const struct address *a, const char *at,
    const struct dir_target *t, unsigned depth)
{
	if (t->domain.disabled &&
	    settings_choice(w->c->settings, SET_ACCOUNT_DISABLED_MAIL) == 0) {
		w->status = "5.2.1";
		w->reply = "the domain is disabled";
		return 0;
	}
	switch (t->kind) {
	case TARGET_ACCOUNT:
		return follow_account(w, t, depth);
	case TARGET_FORWARD:
		return follow_domain(w, a, at, t, depth);
	case TARGET_ALIAS:
	case TARGET_LIST:
	case TARGET_CATCH_ALL:
		break;
	}
	return follow_all(w, at, t->targets, t->target_count, depth);
}

/* Follow one address to its ends.  -1: the directory cannot tell. */
static int
follow(struct walk *w, const char *address, unsigned depth)
{
	struct dir_target t = { 0 };
	struct address a;

	if (depth > RESOLVE_DEPTH_MAX ||
	    !set_add(w->seen, folded(w->scratch, address))) {
		w->looped = true;
		return 0;
	}
	if (address_parse(slice_str(address), ADDRESS_NO_DOMAIN | ADDRESS_UTF8,
		w->scratch, &a, &w->err) != 0) {
		w->status = "5.1.3";
		w->reply = "not a mail address";
		return 0;
	}
	switch (dir_resolve(w->c->directory, slice_str(a.local), a.domain,
	    w->scratch, &t, &w->err)) {
	case DIR_TEMP:
		return -1;
	case DIR_FOUND:
		return follow_local(w, &a, address, &t, depth);
	case DIR_NONE:
		break;
	}
	if (t.domain.name != NULL || a.domain[0] == '\0') {
		w->status = "5.1.1";
		w->reply = "no such user here";
		return 0;
	}
	add_final(w, address, RECIPIENT_REMOTE, a.domain);
	return 0;
}

/* Put what was found into the envelope, recipient `index` first. */
static void
store(struct walk *w, struct envelope *v, size_t index)
{
	struct envelope_recipient *r = &v->recipients[index];
	size_t i;

	if (w->out.count > 0) {
		*r = w->out.items[0];
		for (i = 1; i < w->out.count; i++)
			*envelope_add(v) = w->out.items[i];
		return;
	}
	if (w->doubled) { /* another recipient's delivery is this one's, too */
		r->state = RECIPIENT_DONE;
		r->code = 250;
		r->status = pool_strdup(w->pool, "2.1.5");
		r->reply = pool_strdup(w->pool, "the same as another one");
		return;
	}
	if (w->status == NULL) {
		w->status = w->looped ? "5.4.6" : "5.1.1";
		w->reply = w->looped ? "forwarding leads in a circle"
				     : "the address leads nowhere";
	}
	r->state = RECIPIENT_FAILED;
	r->code = 550;
	r->status = pool_strdup(w->pool, w->status);
	r->reply = pool_strdup(w->pool, w->reply);
}

/* True if something was followed. */
static bool
resolve_one(const struct resolve_context *c, struct envelope *v, size_t index,
    json_t *finals, struct pool *pool)
{
	struct walk w = {
		.c = c,
		.pool = pool,
		.scratch = c->scratch,
		.finals = finals,
		.seen = json_object(),
		.origin = &v->recipients[index],
		.room = ENVELOPE_RECIPIENTS_MAX - v->recipient_count + 1,
	};

	if (follow(&w, w.origin->address, 0) == 0) {
		store(&w, v, index);
	} else {
		struct envelope_recipient *r = &v->recipients[index];

		r->code = 451;
		r->status = pool_strdup(pool, "4.3.0");
		r->reply = pool_strdup(pool, w.err.text);
	}
	json_decref(w.seen);
	free(w.out.items);
	return w.followed;
}

bool
resolve_recipients(
    const struct resolve_context *c, struct envelope *v, struct pool *pool)
{
	size_t i, count = v->recipient_count;
	bool followed = false, any = false;
	json_t *finals;

	for (i = 0; i < count; i++)
		any |= v->recipients[i].kind == RECIPIENT_UNRESOLVED &&
		    v->recipients[i].state == RECIPIENT_WAITING;
	if (!any)
		return false;
	finals = json_object();
	for (i = 0; i < count; i++)
		if (v->recipients[i].kind != RECIPIENT_UNRESOLVED)
			(void)set_add(
			    finals, final_key(c->scratch, &v->recipients[i]));
	for (i = 0; i < count; i++)
		if (v->recipients[i].kind == RECIPIENT_UNRESOLVED &&
		    v->recipients[i].state == RECIPIENT_WAITING)
			followed |= resolve_one(c, v, i, finals, pool);
	json_decref(finals);
	pool_reset(c->scratch);
	return followed;
}
