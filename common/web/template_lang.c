/*
 * Catalogues of translations: the built-in files lang/<lang>.json, each
 *	{"key": "text", "key2": {"one": "...", "other": "..."}}
 * read once.  A key a catalogue does not have is taken from English; one that
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

struct lang_set *
lang_set_new(const struct web_assets *assets)
{
	struct lang_set *l = mem_zalloc(sizeof(*l));

	for (size_t i = 0; i < assets->count && l->count < LANGS_MAX; i++) {
		const struct web_asset *a = &assets->list[i];
		struct slice name = slice_str(a->name);
		struct lang *lang = &l->list[l->count];
		json_error_t error;

		if (!slice_starts(name, "lang/") || !slice_ends(name, ".json"))
			continue;
		name = slice_skip(name, strlen("lang/"));
		name.len -= strlen(".json");
		lang->texts =
		    json_loadb(a->data, a->len, JSON_REJECT_DUPLICATES, &error);
		if (!json_is_object(lang->texts) ||
		    !slice_copy(name, lang->name, sizeof(lang->name))) {
			log_error("%s:%d: %s", a->name, error.line, error.text);
			json_decref(lang->texts);
			continue;
		}
		l->count++;
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
