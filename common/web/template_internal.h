#ifndef WEB_TEMPLATE_INTERNAL_H
#define WEB_TEMPLATE_INTERNAL_H

#include "base/mem.h"
#include "web/template.h"

/* What the files of the template language share. */

enum template_op {
	OP_TEXT,
	OP_VALUE,
	OP_SECTION, /* `jump`: index of its OP_END */
	OP_INVERTED,
	OP_END, /* `jump`: index of its beginning */
	OP_PART,
	OP_TRANSLATE,
	OP_CSRF,
	OP_ICON,
	OP_DATE,
	OP_SIZE,
	OP_NUMBER,
};

enum {
	TEMPLATE_ARGS_MAX = 8,
	TEMPLATE_NODES_MAX = 20000,
};

struct template_arg {
	struct slice name, path;
};

struct template_node {
	enum template_op op;
	struct slice text; /* text, path, name, key */
	struct slice how;  /* of a date */
	bool url;          /* percent-encoded */
	bool whole_url;    /* alone in an href: must be a safe one */
	size_t jump;
	struct template_arg *args;
	size_t arg_count;
};

/* A compiled template; never changed, so threads share it. */
struct template
{
	char *name;
	char *source;
	struct template_node *nodes;
	size_t count;
	struct pool pool; /* args */
	unsigned refs;    /* under the set's lock */
};

/* ERR_SYNTAX "NAME:LINE: ...". */
int template_compile(const char *name, struct slice text, struct template **out,
    struct err *e) MUST_CHECK;
void template_free(struct template *t);

/* The HTML rules of template_check(). */
int template_check_html(
    const char *name, struct slice text, struct err *e) MUST_CHECK;

/* A reference to the template for this reader, or NULL. */
struct template *template_get(struct template_set *s, const char *domain,
    const char *lang, const char *name);
void template_put(struct template_set *s, struct template *t);

/* --- languages -------------------------------------------------------------------- */

struct lang_set;

struct lang_set *lang_set_new(const struct web_assets *assets);
void lang_set_free(struct lang_set *l);
const struct lang_set *template_langs(const struct template_set *s);

/* Append the text of `key` as the catalogue has it, {..} not filled in. */
void lang_text(const struct lang_set *l, const char *lang, struct slice key,
    int64_t n, struct buf *out);
bool lang_has(const struct lang_set *l, const char *lang);
const char *lang_choose(const struct lang_set *l, const char *accept);

/* --- dates ----------------------------------------------------------------------- */

/* <time datetime="...">...</time>, escaped. */
void template_date(const struct lang_set *l, const struct template_env *env,
    int64_t ms, struct slice how, struct buf *out);

#endif /* WEB_TEMPLATE_INTERNAL_H */
