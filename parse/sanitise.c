/*
 * The HTML sanitiser; see sanitise.h.  libxml2's push parser only cuts the
 * input into tags and text (SAX: no tree, no recursion); what is written is
 * decided here and kept balanced by a stack of its own.  One pass is not
 * always a fixed point (a dropped element may have kept two others apart), so
 * passes follow until nothing changes; what never settles becomes plain text.
 */
#include "parse/sanitise.h"

#include <libxml/HTMLparser.h>
#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "base/num.h"

#include "parse/charset.h"
#include "parse/link.h"
#include "parse/markup.h"
#include "parse/style.h"

enum {
	DATA_URL_MAX = 64 * 1024,
	LINK_TEXT_MAX = 1024, /* looked at for where it pretends to lead */
	SCRATCH_MAX = 16 * 1024,
	PASSES_MAX = 6,
	QUOTES_MAX = 20, /* marks of a line of text */
	CHUNK = 4096,
};

/* --- What may stay -------------------------------------------------------- */

enum {
	EMPTY = 1 << 0,   /* no content, no end tag */
	SILENCE = 1 << 1, /* dropped with its content */
	BLOCK = 1 << 2,   /* a line of its own in text */
	RENAME = 1 << 3,  /* written as <div> */
	DROP = 1 << 4,    /* the tag goes, the content stays */
};

struct element {
	const char *name;
	unsigned flags;
};

/* clang-format off */
static const struct element elements[] = {
	{ "a", 0 }, { "abbr", 0 }, { "b", 0 }, { "bdo", 0 }, { "big", 0 },
	{ "blockquote", BLOCK }, { "br", EMPTY | BLOCK }, { "caption", BLOCK },
	{ "center", BLOCK }, { "cite", 0 }, { "code", 0 }, { "col", EMPTY },
	{ "colgroup", 0 }, { "dd", BLOCK }, { "del", 0 }, { "dfn", 0 },
	{ "div", BLOCK }, { "dl", BLOCK }, { "dt", BLOCK }, { "em", 0 },
	{ "font", 0 }, { "h1", BLOCK }, { "h2", BLOCK }, { "h3", BLOCK },
	{ "h4", BLOCK }, { "h5", BLOCK }, { "h6", BLOCK },
	{ "hr", EMPTY | BLOCK }, { "i", 0 }, { "img", EMPTY }, { "ins", 0 },
	{ "kbd", 0 }, { "li", BLOCK }, { "mark", 0 }, { "ol", BLOCK },
	{ "p", BLOCK }, { "pre", BLOCK }, { "q", 0 }, { "s", 0 },
	{ "samp", 0 }, { "small", 0 }, { "span", 0 }, { "strike", 0 },
	{ "strong", 0 }, { "sub", 0 }, { "sup", 0 }, { "table", BLOCK },
	{ "tbody", 0 }, { "td", BLOCK }, { "tfoot", 0 }, { "th", BLOCK },
	{ "thead", 0 }, { "tr", BLOCK }, { "tt", 0 }, { "u", 0 },
	{ "ul", BLOCK }, { "var", 0 }, { "wbr", EMPTY },
	{ "body", BLOCK | RENAME }, { "article", BLOCK | RENAME },
	{ "section", BLOCK | RENAME }, { "header", BLOCK | RENAME },
	{ "footer", BLOCK | RENAME }, { "main", BLOCK | RENAME },
	{ "input", EMPTY | DROP }, { "link", EMPTY | DROP },
	{ "meta", EMPTY | DROP }, { "base", EMPTY | DROP },
	{ "embed", EMPTY | DROP }, { "frame", EMPTY | DROP },
	{ "area", EMPTY | DROP }, { "source", EMPTY | DROP },
	{ "track", EMPTY | DROP },
	{ "script", SILENCE }, { "style", SILENCE }, { "title", SILENCE },
	{ "object", SILENCE }, { "applet", SILENCE }, { "iframe", SILENCE },
	{ "frameset", SILENCE }, { "svg", SILENCE }, { "math", SILENCE },
	{ "template", SILENCE }, { "noscript", SILENCE },
	{ "button", SILENCE }, { "select", SILENCE },
	{ "textarea", SILENCE }, { "audio", SILENCE }, { "video", SILENCE },
	{ "canvas", SILENCE }, { "xmp", SILENCE }, { "plaintext", SILENCE },
	{ "noembed", SILENCE }, { "noframes", SILENCE }, { "map", SILENCE },
	{ "option", SILENCE }, { "datalist", SILENCE }, { "dialog", SILENCE },
};
/* clang-format on */

static const struct element dropped = { "", DROP };

static const struct element *
find_element(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
		/* libxml2 has lowered it */
		if (name[0] == elements[i].name[0] &&
		    strcmp(name, elements[i].name) == 0)
			return &elements[i];
	}
	return &dropped;
}

/* --- One pass --------------------------------------------------------------- */

struct pass {
	const struct sanitise_options *options;
	struct sanitise_info *info;
	struct buf *out;
	const struct element *open[SANITISE_DEPTH_MAX];
	size_t depth;
	unsigned elements;
	const struct element *silence;   /* in a dropped element... */
	unsigned silence_depth;          /* ...so many of its name deep */
	struct buf text;                 /* not written yet */
	struct buf link_text, link_host; /* of the <a> that is open */
	struct buf scratch;
	size_t link_at;      /* in `out`: its start tag's '>'... */
	size_t link_depth;   /* ...and its place on the stack */
	size_t hidden_depth; /* of the outermost hidden element */
	bool text_only;
	unsigned quotes, pre; /* text_only: blockquotes and pres around */
	bool ended;           /* beyond a limit: write no more */
};

static void
add_escaped(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		char held = markup_held(slice_skip(s, i));

		i += held != '\0' ? strlen(HELD_LESS) - 1 : 0;
		switch (held != '\0' ? held : s.data[i]) {
		case '&':
			buf_addstr(out, "&amp;");
			break;
		case '<':
			buf_addstr(out, "&lt;");
			break;
		case '>':
			buf_addstr(out, "&gt;");
			break;
		case '"':
			buf_addstr(out, "&quot;");
			break;
		case '\'':
			buf_addstr(out, "&#39;");
			break;
		default:
			buf_addc(out, s.data[i]);
		}
	}
}

static void
add_attribute(struct pass *p, const char *name, struct slice value)
{
	buf_addf(p->out, " %s=\"", name);
	add_escaped(value, p->out);
	buf_addc(p->out, '"');
}

/* --- Values of attributes ------------------------------------------------------ */

static bool
is_made_of(struct slice s, size_t max, const char *others)
{
	if (s.len == 0 || s.len > max)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_is_alnum((unsigned char)s.data[i]) &&
		    (s.data[i] == '\0' || strchr(others, s.data[i]) == NULL))
			return false;
	}
	return true;
}

static bool
is_number(struct slice s)
{
	size_t digits = 0;

	if (s.len > 0 && (s.data[0] == '+' || s.data[0] == '-'))
		s = slice_skip(s, 1);
	while (digits < s.len && ascii_is_digit((unsigned char)s.data[digits]))
		digits++;
	if (digits == 0 || digits > 5)
		return false;
	s = slice_skip(s, digits);
	return s.len == 0 || slice_eq_str(s, "%") || slice_eq_str(s, "px");
}

static void
put_number(struct pass *p, const char *name, struct slice v)
{
	if (is_number(v))
		add_attribute(p, name, v);
}

static void
put_keyword(struct pass *p, const char *name, struct slice v)
{
	if (is_made_of(v, 40, "-"))
		add_attribute(p, name, v);
}

static void
put_colour(struct pass *p, const char *name, struct slice v)
{
	if (!style_is_colour(v))
		return;
	p->info->coloured = true;
	add_attribute(p, name, v);
}

static void
put_face(struct pass *p, const char *name, struct slice v)
{
	if (is_made_of(v, 200, " ,-"))
		add_attribute(p, name, v);
}

static void
put_text(struct pass *p, const char *name, struct slice v)
{
	struct buf clean;

	buf_init(&clean, v.len * 3 + 1);
	charset_scrub(v, true, &clean);
	add_attribute(p, name, buf_slice(&clean));
	buf_release(&clean);
}

static void
put_style(struct pass *p, const char *name, struct slice v)
{
	buf_reset(&p->scratch);
	style_filter(v, &p->scratch);
	if (p->scratch.len == 0)
		return;
	if (style_is_coloured(buf_slice(&p->scratch)))
		p->info->coloured = true;
	add_attribute(p, name, buf_slice(&p->scratch));
}

static void
put_href(struct pass *p, const char *name, struct slice v)
{
	const char *mail_url = p->options->mail_url;
	struct slice url = slice_trim(v);
	struct buf own;

	if (!link_is_plain_url(url))
		return;
	buf_init(&own, url.len * 3 + 1024);
	if (slice_istarts(url, "https://") || slice_istarts(url, "http://") ||
	    slice_istarts(url, "tel:") ||
	    (mail_url != NULL && link_is_own_mailto(url, mail_url)))
		buf_addslice(&own, url);
	else if (mail_url != NULL)
		(void)link_mailto(url, mail_url, &own);
	if (own.len > 0) {
		add_attribute(p, name, buf_slice(&own));
		buf_addstr(p->out,
		    " rel=\"noopener noreferrer nofollow\" "
		    "target=\"_blank\"");
		buf_reset(&p->link_host);
		buf_addslice(&p->link_host, link_host(url));
	}
	buf_release(&own);
}

static bool
is_data_picture(struct slice v)
{
	static const char *const starts[] = { "data:image/png;base64,",
		"data:image/jpeg;base64,", "data:image/gif;base64,",
		"data:image/webp;base64," };

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		if (slice_istarts(v, starts[i]))
			return is_made_of(slice_skip(v, strlen(starts[i])),
			    DATA_URL_MAX, "+/=");
	}
	return false;
}

static void
put_cid(struct pass *p, struct slice id)
{
	static const char digits[] = "0123456789ABCDEF";

	if (p->options->cid_prefix == NULL || id.len > 250)
		return;
	buf_addstr(p->out, " src=\"");
	add_escaped(slice_str(p->options->cid_prefix), p->out);
	for (size_t i = 0; i < id.len; i++) {
		unsigned char c = (unsigned char)id.data[i];

		if (ascii_is_alnum(c) || c == '-' || c == '_' || c == '.')
			buf_addc(p->out, (char)c);
		else
			buf_addf(
			    p->out, "%%%c%c", digits[c >> 4], digits[c & 15]);
	}
	buf_addc(p->out, '"');
}

static bool
is_own_picture(const struct pass *p, struct slice url)
{
	const char *prefix = p->options->cid_prefix;

	return prefix != NULL && slice_starts(url, prefix) &&
	    is_made_of(slice_skip(url, strlen(prefix)), 750, "%-_.") &&
	    !slice_icontains(url, SLICE_LIT(".."));
}

/* As https: whatever it said: our page is never mixed. */
static void
put_remote(struct pass *p, struct slice host_and_path)
{
	const char *name = p->options->remote_pictures ? "src" : "data-remote";

	p->info->blocked_pictures += !p->options->remote_pictures;
	buf_addf(p->out, " %s=\"https://", name);
	add_escaped(host_and_path, p->out);
	buf_addc(p->out, '"');
}

static void
put_src(struct pass *p, const char *name, struct slice v)
{
	struct slice url = slice_trim(v);
	size_t scheme = slice_istarts(url, "https://") ? 8
	    : slice_istarts(url, "http://")            ? 7
						       : 0;

	(void)name; /* data-remote becomes src when allowed */
	if (is_data_picture(url) || is_own_picture(p, url)) {
		add_attribute(p, "src", url);
	} else if (!link_is_plain_url(url)) {
		return;
	} else if (slice_istarts(url, "cid:")) {
		put_cid(p, slice_skip(url, 4));
	} else if (scheme > 0) {
		put_remote(p, slice_skip(url, scheme));
	}
}

/* clang-format off */
static const struct {
	const char *name;
	void (*put)(struct pass *p, const char *name, struct slice v);
	const char *only; /* on this element */
} attributes[] = {
	{ "style", put_style, NULL }, { "align", put_keyword, NULL },
	{ "valign", put_keyword, NULL }, { "width", put_number, NULL },
	{ "height", put_number, NULL }, { "border", put_number, NULL },
	{ "cellpadding", put_number, NULL },
	{ "cellspacing", put_number, NULL }, { "colspan", put_number, NULL },
	{ "rowspan", put_number, NULL }, { "bgcolor", put_colour, NULL },
	{ "color", put_colour, NULL }, { "face", put_face, "font" },
	{ "size", put_number, NULL }, { "dir", put_keyword, NULL },
	{ "lang", put_keyword, NULL }, { "title", put_text, NULL },
	{ "alt", put_text, "img" }, { "start", put_number, "ol" },
	{ "href", put_href, "a" }, { "src", put_src, "img" },
	{ "data-remote", put_src, "img" },
};

/* clang-format on */

static const char *
attribute_of(const xmlChar **list, const char *name)
{
	for (; list != NULL && list[0] != NULL; list += 2) {
		/* libxml2 has lowered them */
		if (list[0][0] == (unsigned char)name[0] &&
		    strcmp((const char *)list[0], name) == 0)
			return list[1] ? (const char *)list[1] : "";
	}
	return NULL;
}

static bool
is_tiny(struct slice number)
{
	return slice_starts(number, "0") || slice_eq_str(number, "1") ||
	    slice_eq_str(number, "1px");
}

/* The value of a property of its style; empty: there is none. */
static struct slice
style_of(const xmlChar **list, const char *property, struct buf *scratch)
{
	buf_reset(scratch);
	style_filter(slice_str(attribute_of(list, "style")), scratch);
	return style_value(buf_slice(scratch), property);
}

static bool
is_hidden(const xmlChar **list, struct buf *scratch)
{
	return slice_eq_str(style_of(list, "display", scratch), "none");
}

/* A picture that only tells the sender it was loaded. */
static bool
is_beacon(struct pass *p, const xmlChar **list)
{
	static const char *const sizes[] = { "width", "height", "max-width",
		"max-height" };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (is_tiny(slice_str(attribute_of(list, sizes[i]))) ||
		    is_tiny(style_of(list, sizes[i], &p->scratch)))
			return true;
	}
	return p->hidden_depth > 0 || is_hidden(list, &p->scratch);
}

static void
put_attributes(struct pass *p, const struct element *el, const xmlChar **list)
{
	bool beacon = strcmp(el->name, "img") == 0 && is_beacon(p, list);
	bool had_picture = false;

	for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
		const char *name = attributes[i].name;
		const char *value = attribute_of(list, name);
		bool picture = attributes[i].put == put_src;

		if (value == NULL ||
		    (attributes[i].only != NULL &&
			strcmp(attributes[i].only, el->name) != 0) ||
		    (picture && (beacon || had_picture)))
			continue;
		had_picture |= picture;
		attributes[i].put(p, name, slice_str(value));
	}
}

/* --- What libxml2 calls ----------------------------------------------------------- */

/* Plain text, with what add_entity() held back. */
static void
add_released(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		char held = markup_held(slice_skip(s, i));

		buf_addc(out, held != '\0' ? held : s.data[i]);
		i += held != '\0' ? strlen(HELD_LESS) - 1 : 0;
	}
}

/* --- As plain text ------------------------------------------------------------ */

static bool
at_line_start(const struct pass *p)
{
	return p->out->len == 0 || p->out->data[p->out->len - 1] == '\n';
}

static void
new_line(struct pass *p)
{
	if (!at_line_start(p) && p->out->data[p->out->len - 1] == ' ')
		buf_truncate(p->out, p->out->len - 1);
	if (!at_line_start(p))
		buf_addc(p->out, '\n');
}

/* What counts how deep one is in an element of this name, or NULL. */
static unsigned *
nesting(struct pass *p, const struct element *el)
{
	if (strcmp(el->name, "blockquote") == 0)
		return &p->quotes;
	return strcmp(el->name, "pre") == 0 ? &p->pre : NULL;
}

/* As they are seen: runs of space are one, quotes have their marks. */
static void
add_words(struct pass *p, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char held = markup_held(slice_skip(s, i)), c = s.data[i];

		if (p->pre == 0 && c == ' ' &&
		    (at_line_start(p) || p->out->data[p->out->len - 1] == ' '))
			continue;
		if (at_line_start(p) && c != '\n')
			for (size_t n = 0; n < num_min(p->quotes, QUOTES_MAX);
			     n++)
				buf_addstr(p->out, "> ");
		buf_addc(p->out, held != '\0' ? held : c);
		i += held != '\0' ? strlen(HELD_LESS) - 1 : 0;
	}
}

/* Text comes in crumbs; it is written when something else follows. */
static void
flush_text(struct pass *p)
{
	struct buf clean;

	if (p->text.len == 0)
		return;
	buf_init(&clean, p->text.len * 3 + 1);
	charset_scrub(buf_slice(&p->text), p->text_only && p->pre == 0, &clean);
	if (p->link_depth > 0)
		add_released(buf_slice(&clean), &p->link_text);
	if (p->text_only)
		add_words(p, buf_slice(&clean));
	else
		add_escaped(buf_slice(&clean), p->out);
	buf_release(&clean);
	buf_reset(&p->text);
}

static void
start_written(struct pass *p, const struct element *el, const xmlChar **list)
{
	buf_addf(p->out, "<%s", el->flags & RENAME ? "div" : el->name);
	if (strcmp(el->name, "img") == 0)
		p->info->pictures++;
	put_attributes(p, el, list);
	buf_addc(p->out, '>');
	if (el->flags & EMPTY)
		return;
	p->open[p->depth++] = el;
	if (p->hidden_depth == 0 && is_hidden(list, &p->scratch))
		p->hidden_depth = p->depth;
	if (p->link_depth == 0 && p->link_host.len > 0) {
		p->link_depth = p->depth;
		p->link_at = p->out->len - 1;
	}
}

/* A link that pretends to lead elsewhere says in its tag where it does. */
static void
end_link(struct pass *p)
{
	struct buf tail;
	size_t end = p->out->len;

	if (link_is_misleading(
		buf_slice(&p->link_text), buf_slice(&p->link_host)) &&
	    !buf_overflowed(p->out)) {
		buf_init(&tail, p->out->max);
		buf_add(&tail, p->out->data + p->link_at, end - p->link_at);
		buf_truncate(p->out, p->link_at);
		add_attribute(p, "data-host", buf_slice(&p->link_host));
		buf_addslice(p->out, buf_slice(&tail));
		buf_release(&tail);
	}
	buf_reset(&p->link_text);
	buf_reset(&p->link_host);
	p->link_depth = 0;
}

/* A <body> without attributes may only be implied. */
static bool
is_dropped(const struct element *el, const xmlChar **list)
{
	return (el->flags & DROP) ||
	    (strcmp(el->name, "body") == 0 &&
		(list == NULL || list[0] == NULL));
}

static void
on_start(void *ctx, const xmlChar *name, const xmlChar **list)
{
	struct pass *p = ctx;
	const struct element *el = find_element((const char *)name);

	if (p->silence != NULL) {
		p->silence_depth += el == p->silence;
		return;
	}
	flush_text(p);
	if (++p->elements > SANITISE_ELEMENTS_MAX || buf_overflowed(p->out))
		p->ended = p->info->truncated = true;
	if (p->ended)
		return;
	if (el->flags & SILENCE) {
		p->silence = el;
		p->silence_depth = 1;
	} else if (p->text_only) {
		if (el->flags & BLOCK)
			new_line(p);
		if (nesting(p, el) != NULL)
			++*nesting(p, el);
	} else if (!is_dropped(el, list) && p->depth < SANITISE_DEPTH_MAX) {
		start_written(p, el, list);
	}
}

static void
close_one(struct pass *p)
{
	const struct element *el = p->open[--p->depth];

	if (p->hidden_depth > p->depth)
		p->hidden_depth = 0;
	if (p->link_depth > p->depth)
		end_link(p);
	buf_addf(p->out, "</%s>", el->flags & RENAME ? "div" : el->name);
}

static void
on_end(void *ctx, const xmlChar *name)
{
	struct pass *p = ctx;
	const struct element *el = find_element((const char *)name);
	size_t i = p->depth;

	if (p->silence != NULL) {
		if (el == p->silence && --p->silence_depth == 0)
			p->silence = NULL;
		return;
	}
	flush_text(p);
	if (p->text_only && (el->flags & BLOCK))
		new_line(p);
	if (p->text_only && nesting(p, el) != NULL && *nesting(p, el) > 0)
		--*nesting(p, el);
	if (el->flags & (EMPTY | DROP))
		return;
	while (i > 0 && p->open[i - 1] != el)
		i--;
	while (i > 0 && p->depth >= i)
		close_one(p);
}

static void
on_text(void *ctx, const xmlChar *text, int len)
{
	struct pass *p = ctx;

	if (p->silence == NULL && !p->ended)
		buf_add(&p->text, text, (size_t)len);
}

/* --- The whole ---------------------------------------------------------------------- */

static void
run_parser(struct pass *p, struct slice html)
{
	htmlSAXHandler sax = {
		.startElement = on_start,
		.endElement = on_end,
		.characters = on_text,
		.ignorableWhitespace = on_text,
	};
	htmlParserCtxtPtr parser = htmlCreatePushParserCtxt(
	    &sax, p, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);

	if (parser == NULL)
		return;
	(void)htmlCtxtUseOptions(parser,
	    HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
		HTML_PARSE_NONET | HTML_PARSE_IGNORE_ENC);
	for (size_t i = 0; i < html.len && !p->ended; i += CHUNK) {
		size_t n = html.len - i < CHUNK ? html.len - i : CHUNK;

		(void)htmlParseChunk(parser, html.data + i, (int)n, 0);
	}
	(void)htmlParseChunk(parser, "", 0, 1);
	htmlFreeParserCtxt(parser);
	flush_text(p);
	while (p->depth > 0)
		close_one(p);
}

static void
run_pass(struct slice html, const struct sanitise_options *options,
    bool text_only, struct buf *out, struct sanitise_info *info)
{
	struct pass p = { .options = options,
		.info = info,
		.out = out,
		.text_only = text_only };
	struct buf input;

	memset(info, 0, sizeof(*info));
	buf_init(&input, html.len * 3 + 1024);
	buf_init(&p.text, (size_t)SANITISE_INPUT_MAX * 8);
	buf_init(&p.link_text, LINK_TEXT_MAX);
	buf_init(&p.link_host, LINK_TEXT_MAX);
	buf_init(&p.scratch, SCRATCH_MAX);
	if (html.len > SANITISE_INPUT_MAX) {
		html.len = SANITISE_INPUT_MAX;
		info->truncated = true;
	}
	markup_prepare(html, &input);
	run_parser(&p, buf_slice(&input));
	buf_release(&input);
	buf_release(&p.text);
	buf_release(&p.link_text);
	buf_release(&p.link_host);
	buf_release(&p.scratch);
}

void
sanitise_to_text(struct slice html, struct buf *out)
{
	static const struct sanitise_options none = { 0 };
	struct sanitise_info info;

	run_pass(html, &none, true, out, &info);
}

/* Beyond understanding: its text alone, which is a fixed point. */
static void
fall_back(struct slice html, struct buf *out)
{
	struct buf text;

	buf_init(&text, SANITISE_INPUT_MAX);
	sanitise_to_text(html, &text);
	add_escaped(buf_slice(&text), out);
	buf_release(&text);
}

void
sanitise_html(struct slice html, const struct sanitise_options *options,
    struct buf *out, struct sanitise_info *info)
{
	struct sanitise_info again;
	struct buf one, two;
	bool settled = false;

	buf_init(&one, out->max);
	buf_init(&two, out->max);
	run_pass(html, options, false, &one, info);
	for (int i = 1; i < PASSES_MAX && !settled; i++) {
		struct buf other = one;

		buf_reset(&two);
		run_pass(buf_slice(&one), options, false, &two, &again);
		settled = slice_eq(buf_slice(&one), buf_slice(&two));
		one = two;
		two = other;
	}
	if (settled && !buf_overflowed(&one)) {
		buf_addslice(out, buf_slice(&one));
	} else {
		info->truncated = true;
		fall_back(html, out);
	}
	buf_release(&one);
	buf_release(&two);
}
