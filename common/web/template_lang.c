/*
 * Catalogues of translations: the built-in files lang/<lang>.json and
 * lang/<part>/<lang>.json, each
 *	{"key": "text", "key2": {"one": "...", "other": "..."}}
 * read once; a key that two files have is taken from the last by name.  A key a catalogue does not have is taken from English; one that
 * English does not have is shown itself.  Never changed after the start, so
 * threads share it.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/num.h"
#include "web/template_internal.h"

enum {
	LANG_SIZE = 16,
	LANGS_MAX = 64,
};

struct lang {
	char name[LANG_SIZE];
	json_t *texts;
};

struct lang_set {
	struct lang list[LANGS_MAX];
	size_t count;
};

static struct lang *
lang_entry(struct lang_set *l, struct slice name)
{
	struct lang *lang = l->list;

	while (lang < l->list + l->count && !slice_eq_str(name, lang->name))
		lang++;
	if (lang == l->list + LANGS_MAX ||
	    !slice_copy(name, lang->name, sizeof(lang->name)))
		return NULL;
	if (lang == l->list + l->count) {
		lang->texts = json_object();
		l->count++;
	}
	return lang;
}

static void
read_file(struct lang_set *l, const struct web_asset *a, struct slice name)
{
	json_error_t error;
	json_t *texts =
	    json_loadb(a->data, a->len, JSON_REJECT_DUPLICATES, &error);
	struct lang *lang = json_is_object(texts) ? lang_entry(l, name) : NULL;

	if (lang == NULL)
		log_error("%s:%d: %s", a->name, error.line, error.text);
	else
		(void)json_object_update(lang->texts, texts);
	json_decref(texts);
}

struct lang_set *
lang_set_new(const struct web_assets *assets)
{
	struct lang_set *l = mem_zalloc(sizeof(*l));

	for (size_t i = 0; i < assets->count; i++) {
		const struct web_asset *a = &assets->list[i];
		struct slice name = slice_str(a->name);

		if (!slice_starts(name, "lang/") || !slice_ends(name, ".json"))
			continue;
		name.len -= strlen(".json");
		read_file(
		    l, a, slice_skip(name, (size_t)slice_rchr(name, '/') + 1));
	}
	return l;
}

void
lang_set_free(struct lang_set *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->count; i++)
		json_decref(l->list[i].texts);
	free(l);
}

static const struct lang *
lang_find(const struct lang_set *l, struct slice name)
{
	for (size_t i = 0; i < l->count; i++) {
		if (slice_ieq_str(name, l->list[i].name))
			return &l->list[i];
	}
	return NULL;
}

bool
lang_has(const struct lang_set *l, const char *lang)
{
	return lang_find(l, slice_str(lang)) != NULL;
}

/* CLDR plural rules of whole numbers for the languages there are. */
static const char *
plural_of(const char *lang, int64_t n)
{
	if (strcmp(lang, "ar") != 0)
		return n == 1 ? "one" : "other";
	if (n >= 0 && n <= 2)
		return n == 0 ? "zero" : n == 1 ? "one" : "two";
	n %= 100;
	if (n >= 3 && n <= 10)
		return "few";
	return n >= 11 ? "many" : "other";
}

static const json_t *
text_in(const struct lang *lang, const char *key, int64_t n)
{
	const json_t *text =
	    lang != NULL ? json_object_get(lang->texts, key) : NULL;
	const json_t *form;

	if (!json_is_object(text))
		return text;
	form = json_object_get(text, plural_of(lang->name, n));
	return form != NULL ? form : json_object_get(text, "other");
}

void
lang_text(const struct lang_set *l, const char *lang, struct slice key,
    int64_t n, struct buf *out)
{
	const json_t *text = NULL;
	char name[128];

	if (slice_copy(key, name, sizeof(name))) {
		text = text_in(lang_find(l, slice_str(lang)), name, n);
		if (!json_is_string(text))
			text = text_in(lang_find(l, SLICE_LIT("en")), name, n);
	}
	if (json_is_string(text))
		buf_add(out, json_string_value(text), json_string_length(text));
	else
		buf_addslice(out, key);
}

bool
template_is_rtl(const char *lang)
{
	static const char *const names[] = { "ar", "fa", "he", "ur" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(lang, names[i]) == 0)
			return true;
	}
	return false;
}

/* RFC 9110 12.4.2 in thousandths; what is malformed is 0. */
static unsigned
quality_of(struct slice s)
{
	unsigned q = 0, unit = 1000;

	s = slice_trim(s);
	if (s.data == NULL || s.len == 0)
		return 1000;
	if (!slice_istarts(s, "q="))
		return 0;
	s = slice_skip(s, 2);
	for (size_t i = 0; i < s.len && unit > 0; i++) {
		if (s.data[i] == '.')
			continue;
		if (!ascii_is_digit((unsigned char)s.data[i]))
			return 0;
		q += (unsigned)(s.data[i] - '0') * unit;
		unit /= 10;
	}
	return q;
}

const char *
lang_choose(const struct lang_set *l, const char *accept)
{
	struct slice rest = slice_of(accept, num_min(strlen(accept), 1000));
	const char *best = "en";
	unsigned best_quality = 0;

	while (rest.data != NULL) {
		const struct lang *lang;
		struct slice item, name, quality;
		unsigned q;

		rest = slice_cut(rest, ',', &item);
		quality = slice_cut(item, ';', &name);
		name = slice_trim(name);
		lang = lang_find(l, name);
		if (lang == NULL) {
			(void)slice_cut(name, '-', &name);
			lang = lang_find(l, name);
		}
		q = quality_of(quality);
		if (lang != NULL && q > best_quality) {
			best = lang->name;
			best_quality = q;
		}
	}
	return best;
}
