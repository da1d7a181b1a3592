/*
 * See text.h.  A line's quote depth decides which blockquotes are open; empty
 * lines end paragraphs.
 */
#include "webmail-cgi/text.h"

#include "web/web.h"

enum {
	LINE_COLUMNS = 120
};

struct writer {
	struct buf *out;
	const struct text_label *label;
	unsigned depth; /* of open blockquotes */
	bool in_paragraph;
	bool in_signature;
	bool folded; /* the outermost blockquote lies in <details> */
};

static void
end_paragraph(struct writer *w)
{
	if (w->in_paragraph)
		buf_addstr(w->out, "</p>\n");
	w->in_paragraph = false;
}

/* Take the quote marks off: "> > x", ">>x". */
static unsigned
take_depth(struct slice *line)
{
	unsigned depth = 0;

	while (slice_starts(*line, ">")) {
		*line = slice_skip(*line, 1);
		if (slice_starts(*line, " "))
			*line = slice_skip(*line, 1);
		depth++;
	}
	return depth < TEXT_QUOTE_DEPTH_MAX ? depth : TEXT_QUOTE_DEPTH_MAX;
}

/* Lines of the quote that begins here; a flowed one counts as it shows. */
static int64_t
count_quoted(struct slice text)
{
	struct slice line;
	int64_t n = 0;

	while (slice_starts(text, ">")) {
		text = slice_cut(text, '\n', &line);
		n += 1 + (int64_t)(line.len / LINE_COLUMNS);
	}
	return n;
}

static void
close_quotes(struct writer *w, unsigned depth)
{
	if (w->depth > depth)
		end_paragraph(w);
	while (w->depth > depth) {
		buf_addstr(w->out, "</blockquote>\n");
		w->depth--;
	}
	if (w->depth == 0 && w->folded) {
		buf_addstr(w->out, "</details>\n");
		w->folded = false;
	}
}

static void
open_quotes(struct writer *w, unsigned depth, int64_t lines)
{
	if (w->depth < depth)
		end_paragraph(w);
	if (w->depth == 0 && depth > 0 && lines > TEXT_FOLD_LINES) {
		buf_addstr(w->out, "<details class=\"quoted\"><summary>");
		web_escape_html(
		    slice_str(w->label->lines(w->label->arg, lines)), w->out);
		buf_addstr(w->out, "</summary>");
		w->folded = true;
	}
	for (; w->depth < depth; w->depth++)
		buf_addstr(w->out, "<blockquote>");
}

static void
add_line(struct writer *w, struct slice line)
{
	if (slice_trim(line).len == 0) {
		end_paragraph(w);
		return;
	}
	buf_addstr(w->out, w->in_paragraph ? "<br>\n" : "<p>");
	w->in_paragraph = true;
	web_linkify(line, w->out);
}

static void
end_signature(struct writer *w)
{
	if (!w->in_signature)
		return;
	end_paragraph(w);
	buf_addstr(w->out, "</div>\n");
	w->in_signature = false;
}

static void
begin_signature(struct writer *w)
{
	end_paragraph(w);
	buf_addstr(w->out, "<div class=\"sig\">");
	w->in_signature = true;
}

void
text_to_html(struct slice text, const struct text_label *label, struct buf *out)
{
	struct writer w = { .out = out, .label = label };
	struct slice line;

	while (text.len > 0) {
		int64_t lines = w.depth == 0 ? count_quoted(text) : 0;
		unsigned depth;

		text = slice_cut(text, '\n', &line);
		depth = take_depth(&line);
		if (depth > 0)
			end_signature(&w);
		close_quotes(&w, depth);
		open_quotes(&w, depth, lines);
		if (depth == 0 && !w.in_signature &&
		    (slice_eq_str(line, "-- ") || slice_eq_str(line, "--")))
			begin_signature(&w);
		add_line(&w, line);
	}
	end_signature(&w);
	close_quotes(&w, 0);
	end_paragraph(&w);
}

const char *
text_fill(
    struct pool *pool, const char *text, const char *name, const char *value)
{
	const char *hole = strstr(text, name);

	return hole == NULL ? text
			    : pool_printf(pool, "%.*s%s%s", (int)(hole - text),
				  text, value, hole + strlen(name));
}
