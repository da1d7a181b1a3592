/*
 * The signed-in user's file for the length of a request; see user.h.
 */
#include "webmail-cgi/user.h"

#include <string.h>

#include "base/log.h"

#include "webmail-cgi/mailbox.h"

enum {
	WARN_PERCENT = 80,
	FULL_PERCENT = 95,
};

/* web_request.own */
struct own {
	struct sql *store;
	bool prefs_known;
	struct prefs prefs;
};

static struct own *
own_of(struct web_request *r)
{
	if (r->own == NULL)
		r->own = pool_zalloc(&r->pool, sizeof(struct own));
	return r->own;
}

int
user_store(struct web_request *r, bool create, struct sql **out, struct err *e)
{
	const struct session *s = session_of(r);
	struct own *own = own_of(r);

	if (own->store == NULL &&
	    store_user_open(webmail_of(r)->users_dir, slice_str(s->local),
		slice_str(s->domain), create, &own->store, e) != 0)
		return -1;
	*out = own->store;
	return 0;
}

/* What the account says, until the user says something. */
static void
begin_with(struct web_request *r, struct prefs *prefs, enum pref p)
{
	const char *preset = json_string_value(
	    json_object_get(session_of(r)->user, store_pref_name(p)));

	if (preset != NULL && !store_pref_is_chosen(prefs, p))
		prefs->value[p] = preset;
}

const struct prefs *
user_prefs(struct web_request *r)
{
	struct own *own = own_of(r);
	struct sql *db = NULL;
	struct err e;

	if (own->prefs_known)
		return &own->prefs;
	own->prefs_known = true;
	store_prefs_default(&own->prefs);
	if (session_of(r) != NULL &&
	    (user_store(r, false, &db, &e) != 0 ||
		store_prefs(db, &r->pool, &own->prefs, &e) != 0))
		log_warning(
		    "preferences of %s: %s", session_of(r)->address, e.text);
	if (session_of(r) != NULL) {
		begin_with(r, &own->prefs, PREF_LANG);
		begin_with(r, &own->prefs, PREF_ZONE);
	}
	return &own->prefs;
}

json_t *
user_labels(struct web_request *r)
{
	json_t *array = json_array();
	struct labels labels;
	struct sql *db;
	struct err e;

	if (user_store(r, false, &db, &e) != 0 ||
	    store_labels(db, &r->pool, &labels, &e) != 0) {
		log_warning("labels of %s: %s", session_of(r)->address, e.text);
		return array;
	}
	for (size_t i = 0; i < labels.count; i++)
		json_array_append_new(array,
		    json_pack("{sI,ss,si,ss}", "id",
			(json_int_t)labels.list[i].id, "name",
			labels.list[i].name, "hue", labels.list[i].hue,
			"keyword", labels.list[i].keyword));
	return array;
}

/* --- Identities ------------------------------------------------------------------ */

static int
add_identity(struct web_request *r, struct sql *db, const char *address,
    struct identities *all, struct err *e)
{
	struct identity i = { .address = address,
		.name = session_of(r)->name,
		.reply_to = "",
		.signature = "" };

	if (all->count == IDENTITIES_MAX)
		return 0;
	if (store_identity_find(db, address, &r->pool, &i, e) < 0)
		return -1;
	i.address = address;
	if (i.is_default)
		all->preset = all->count;
	all->list[all->count++] = i;
	return 0;
}

int
user_identities(struct web_request *r, struct identities *out, struct err *e)
{
	const struct session *s = session_of(r);
	json_t *aliases = json_object_get(s->user, "aliases"), *alias;
	struct sql *db;
	size_t n;

	*out = (struct identities){ .list = pool_alloc(&r->pool,
					IDENTITIES_MAX * sizeof(*out->list)) };
	if (user_store(r, false, &db, e) != 0 ||
	    add_identity(r, db, s->address, out, e) != 0)
		return -1;
	json_array_foreach(aliases, n, alias) {
		const char *address = json_string_value(alias);

		if (address != NULL &&
		    add_identity(
			r, db, pool_strdup(&r->pool, address), out, e) != 0)
			return -1;
	}
	return 0;
}

/* Without +tag: length of the local part, and where the domain begins. */
static bool
same_mailbox(const char *a, const char *b)
{
	size_t na = strcspn(a, "+@"), nb = strcspn(b, "+@");
	const char *da = strrchr(a, '@'), *db = strrchr(b, '@');

	return da != NULL && db != NULL && ascii_casecmp(da, db) == 0 &&
	    slice_ieq(slice_of(a, na), slice_of(b, nb));
}

bool
identities_has(const struct identities *own, const char *address)
{
	for (size_t i = 0; i < own->count; i++)
		if (same_mailbox(own->list[i].address, address))
			return true;
	return false;
}

const struct identity *
identities_for(const struct identities *own, const char *address)
{
	for (size_t i = 0; i < own->count; i++)
		if (same_mailbox(own->list[i].address, address))
			return &own->list[i];
	return &own->list[own->preset];
}

const char *
user_text(struct pool *pool, const char *text, bool lines)
{
	size_t n = 0;
	char *out = pool_alloc(pool, strlen(text) + 1);

	for (; *text != '\0'; text++) {
		if (*text == '\r' && text[1] == '\n')
			continue;
		if (lines && (*text == '\n' || *text == '\r'))
			out[n++] = '\n';
		else
			out[n++] = (unsigned char)*text < ' ' && *text != '\t'
			    ? ' '
			    : *text;
	}
	out[n] = '\0';
	return out;
}

/* --- The mailbox ------------------------------------------------------------------- */

void
user_count_usage(const struct web_request *r, int64_t bytes, int64_t messages)
{
	struct maildir root;
	struct err e;

	if (mailbox_open_folder(r, "", false, &root, &e) != 0)
		return;
	if (maildir_usage_add(&root, bytes, messages, &e) != 0)
		log_warning("%s", e.text);
	maildir_close(&root);
}

/* --- Quota -------------------------------------------------------------------------- */

json_t *
user_quota(const struct web_request *r)
{
	const json_t *user = session_of(r)->user;
	json_int_t used =
	    json_integer_value(json_object_get(user, "used_bytes"));
	json_int_t max =
	    json_integer_value(json_object_get(user, "quota_bytes"));
	json_int_t percent;

	if (max <= 0)
		return NULL;
	percent = used >= max ? 100 : used * 100 / max;
	return json_pack("{sI,sI,sI,sb,sb}", "used", used, "max", max,
	    "percent", percent, "warn", percent >= WARN_PERCENT, "full",
	    percent >= FULL_PERCENT);
}

void
user_done(struct web_request *r)
{
	struct own *own = r->own;

	if (own != NULL)
		sql_close(own->store);
	login_done(r);
}
