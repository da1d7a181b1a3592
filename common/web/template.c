/*
 * The set of templates: which file counts for whom, and compiled ones kept.
 *
 * A kept entry is for one (domain, language, name); at most once a second the
 * four places are looked at, and if one of them changed it is compiled again.
 * Readers hold references, so a page in the making keeps what it began with.
 * The lock is held while a file is compiled: that is rare, and once for all.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "web/template_internal.h"

enum {
	ENTRIES_MAX = 4096,
	PLACES = 4,
	LOOK_MS = 1000,
	PATH_SIZE = 512,
};

struct entry {
	struct entry *next;
	char *domain, *lang, *name;
	struct template *compiled; /* NULL: there is none */
	uint64_t stamp;
	int64_t looked_ms;
};

struct template_set {
	int state_fd;
	const struct web_assets *assets;
	struct lang_set *langs;
	pthread_mutex_t lock;
	struct entry *entries;
	size_t count;
};

struct template_set *
template_set_new(const char *state_dir, const struct web_assets *assets)
{
	struct template_set *s = mem_zalloc(sizeof(*s));

	s->state_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	s->assets = assets;
	s->langs = lang_set_new(assets);
	(void)pthread_mutex_init(&s->lock, NULL);
	return s;
}

static void
drop(struct template *t)
{
	if (t != NULL && --t->refs == 0)
		template_free(t);
}

static void
forget_all(struct template_set *s)
{
	while (s->entries != NULL) {
		struct entry *entry = s->entries;

		s->entries = entry->next;
		drop(entry->compiled);
		free(entry->domain);
		free(entry->lang);
		free(entry->name);
		free(entry);
	}
	s->count = 0;
}

void
template_set_free(struct template_set *s)
{
	if (s == NULL)
		return;
	forget_all(s);
	lang_set_free(s->langs);
	if (s->state_fd >= 0)
		(void)close(s->state_fd);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

const struct lang_set *
template_langs(const struct template_set *s)
{
	return s->langs;
}

bool
template_has_lang(const struct template_set *s, const char *lang)
{
	return lang_has(s->langs, lang);
}

const char *
template_choose_lang(const struct template_set *s, const char *accept_language)
{
	return lang_choose(s->langs, accept_language);
}

void
template_text(struct template_set *s, const char *lang, const char *key,
    int64_t n, struct buf *out)
{
	size_t from = out->len;
	struct buf text;
	struct slice rest, piece;

	buf_init(&text, out->max - from);
	lang_text(s->langs, lang, slice_str(key), n, &text);
	rest = buf_slice(&text);
	while (n >= 0 && rest.data != NULL) {
		const char *hole = memmem(rest.data, rest.len, "{n}", 3);

		if (hole == NULL)
			break;
		piece = slice_of(rest.data, (size_t)(hole - rest.data));
		buf_addslice(out, piece);
		buf_addf(out, "%lld", (long long)n);
		rest = slice_skip(rest, piece.len + 3);
	}
	buf_addslice(out, rest);
	buf_release(&text);
}

int
template_check(const char *name, struct slice text, struct err *e)
{
	struct template *t;

	if (template_compile(name, text, &t, e) != 0)
		return -1;
	template_free(t);
	return template_check_html(name, text, e);
}

/* --- files ---------------------------------------------------------------------- */

/* The n-th place to look; "" where there is none for this reader. */
static void
place(const struct entry *entry, int n, char out[PATH_SIZE])
{
	const char *domain = entry->domain;
	bool has_domain = domain[0] != '\0' && domain[0] != '.' &&
	    strchr(domain, '/') == NULL;

	out[0] = '\0';
	if (n < 2 && !has_domain)
		return;
	if (strchr(entry->lang, '/') != NULL || entry->lang[0] == '.')
		n |= 1;
	switch (n) {
	case 0:
		snprintf(out, PATH_SIZE, "domains/%s/templates/%s/%s.html",
		    domain, entry->lang, entry->name);
		break;
	case 1:
		snprintf(out, PATH_SIZE, "domains/%s/templates/%s.html", domain,
		    entry->name);
		break;
	case 2:
		snprintf(out, PATH_SIZE, "web/templates/%s/%s.html",
		    entry->lang, entry->name);
		break;
	default:
		snprintf(out, PATH_SIZE, "web/templates/%s.html", entry->name);
		break;
	}
}

/* Changes when any of the files does. */
static uint64_t
stamp_of(const struct template_set *s, const struct entry *entry)
{
	uint64_t stamp = 1;

	for (int i = 0; i < PLACES; i++) {
		char path[PATH_SIZE];
		struct stat st;

		stamp *= 1099511628211U;
		place(entry, i, path);
		if (path[0] == '\0' ||
		    fstatat(s->state_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		stamp ^= (uint64_t)st.st_ino ^ (uint64_t)st.st_size << 20;
		stamp ^= (uint64_t)st.st_mtim.tv_sec * 1000000007U ^
		    (uint64_t)st.st_mtim.tv_nsec;
	}
	return stamp;
}

/* NULL: not there, or there and not good, which is logged. */
static struct template *
compile_file(const struct template_set *s, const char *path)
{
	struct template *t = NULL;
	struct buf text;
	struct err e;

	buf_init(&text, TEMPLATE_FILE_MAX);
	if (file_read(s->state_fd, path, &text, &e) != 0) {
		if (errno != ENOENT)
			log_error("template %s", e.text);
	} else if (template_check_html(path, buf_slice(&text), &e) != 0 ||
	    template_compile(path, buf_slice(&text), &t, &e) != 0) {
		log_error("template %s", e.text);
	}
	buf_release(&text);
	return t;
}

static struct template *
compile_built_in(const struct template_set *s, const char *name)
{
	const struct web_asset *asset;
	struct template *t;
	char path[PATH_SIZE];
	struct err e;

	snprintf(path, sizeof(path), "templates/%s.html", name);
	asset = web_asset_find(s->assets, path);
	if (asset == NULL)
		return NULL;
	if (template_compile(path, slice_of(asset->data, asset->len), &t, &e) ==
	    0)
		return t;
	log_error("template %s", e.text);
	return NULL;
}

static struct template *
compile_best(const struct template_set *s, const struct entry *entry)
{
	struct template *t = NULL;
	char path[PATH_SIZE];

	for (int i = 0; i < PLACES && t == NULL; i++) {
		place(entry, i, path);
		if (path[0] != '\0')
			t = compile_file(s, path);
	}
	return t != NULL ? t : compile_built_in(s, entry->name);
}

/* --- what is kept ------------------------------------------------------------------ */

static struct entry *
find_entry(struct template_set *s, const char *domain, const char *lang,
    const char *name)
{
	struct entry *entry;

	for (entry = s->entries; entry != NULL; entry = entry->next) {
		if (strcmp(entry->name, name) == 0 &&
		    strcmp(entry->domain, domain) == 0 &&
		    strcmp(entry->lang, lang) == 0)
			return entry;
	}
	if (s->count >= ENTRIES_MAX)
		forget_all(s);
	entry = mem_zalloc(sizeof(*entry));
	entry->domain = mem_strdup(domain);
	entry->lang = mem_strdup(lang);
	entry->name = mem_strdup(name);
	entry->next = s->entries;
	s->entries = entry;
	s->count++;
	return entry;
}

struct template *
template_get(struct template_set *s, const char *domain, const char *lang,
    const char *name)
{
	int64_t now = clock_mono_ms();
	struct template *t;
	struct entry *entry;

	(void)pthread_mutex_lock(&s->lock);
	entry = find_entry(s, domain, lang, name);
	if (entry->looked_ms == 0 || now - entry->looked_ms >= LOOK_MS) {
		uint64_t stamp = stamp_of(s, entry);

		entry->looked_ms = now;
		if (stamp != entry->stamp) {
			drop(entry->compiled);
			entry->compiled = compile_best(s, entry);
			entry->stamp = stamp;
		}
	}
	t = entry->compiled;
	if (t != NULL)
		t->refs++;
	(void)pthread_mutex_unlock(&s->lock);
	return t;
}

void
template_put(struct template_set *s, struct template *t)
{
	(void)pthread_mutex_lock(&s->lock);
	drop(t);
	(void)pthread_mutex_unlock(&s->lock);
}

/* --- checking all -------------------------------------------------------------------- */

struct checker {
	struct template_set *set;
	void (*report)(void *arg, const char *file, const char *error);
	void *arg;
	unsigned bad;
};

static void
check_text(struct checker *c, const char *path, struct slice text)
{
	struct err e;
	bool good = template_check(path, text, &e) == 0;

	c->bad += !good;
	c->report(c->arg, path, good ? NULL : e.text);
}

static void
check_one(struct checker *c, const char *path)
{
	struct buf text;
	struct err e;

	buf_init(&text, TEMPLATE_FILE_MAX);
	if (file_read(c->set->state_fd, path, &text, &e) != 0) {
		c->bad++;
		c->report(c->arg, path, e.text);
	} else {
		check_text(c, path, buf_slice(&text));
	}
	buf_release(&text);
}

/* Call what() with each name in a folder; hidden ones are left out. */
static void
each_in(struct checker *c, const char *folder,
    void (*what)(struct checker *c, const char *folder, const char *name))
{
	DIR *dir = file_list(c->set->state_fd, folder);
	const char *name;

	while ((name = file_list_next(dir)) != NULL) {
		if (name[0] != '.')
			what(c, folder, name);
	}
	file_list_end(dir);
}

/* What a folder of one language holds. */
static void
check_page(struct checker *c, const char *folder, const char *name)
{
	char path[PATH_SIZE];

	if (slice_ends(slice_str(name), ".html") &&
	    snprintf(path, sizeof(path), "%s/%s", folder, name) <
		(int)sizeof(path))
		check_one(c, path);
}

/* What a folder of templates holds: pages, and folders of languages. */
static void
check_item(struct checker *c, const char *folder, const char *name)
{
	char path[PATH_SIZE];

	if (slice_ends(slice_str(name), ".html"))
		check_page(c, folder, name);
	else if (snprintf(path, sizeof(path), "%s/%s", folder, name) <
	    (int)sizeof(path))
		each_in(c, path, check_page);
}

static void
check_domain(struct checker *c, const char *folder, const char *name)
{
	char path[PATH_SIZE];

	if (snprintf(path, sizeof(path), "%s/%s/templates", folder, name) <
	    (int)sizeof(path))
		each_in(c, path, check_item);
}

unsigned
template_check_all(struct template_set *s,
    void (*report)(void *arg, const char *file, const char *error), void *arg)
{
	struct checker c = { s, report, arg, 0 };

	for (size_t i = 0; i < s->assets->count; i++) {
		const struct web_asset *a = &s->assets->list[i];

		if (slice_starts(slice_str(a->name), "templates/"))
			check_text(&c, a->name, slice_of(a->data, a->len));
	}
	each_in(&c, "web/templates", check_item);
	each_in(&c, "domains", check_domain);
	return c.bad;
}
