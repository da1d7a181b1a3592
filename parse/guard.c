/*
 * The pre-parse guard; see guard.h.  A byte machine: the start of each line
 * decides what the line is, the rest is counted accordingly.
 */
#include "parse/guard.h"

#include <string.h>

#include "base/slice.h"

static const char boundary[] = "boundary=";
static const char message[] = "message";

enum {
	EMPTY_PART_LINES = 4
};

void
guard_init(struct guard *g)
{
	memset(g, 0, sizeof(*g));
	g->line_start = true;
	g->in_headers = true;
}

/* This line may begin a part: the one before was "--..." in a multipart. */
static void
count_part(struct guard *g)
{
	if (g->lines_since_dash == 1 && g->boundaries > 0)
		g->parts++;
}

static void
begin_field(struct guard *g)
{
	static const char *const address[] = { "from", "to", "cc", "bcc",
		"sender", "reply-to", "resent-", "return-path", "disposition-",
		"mail-", "errors-to", "apparently-" };

	g->kind = GUARD_OTHER;
	g->field_bytes = 0;
	g->colons = g->commas = g->parens = g->semicolons = 0;
	if (strncmp(g->name, "content-", 8) == 0)
		g->kind = GUARD_CONTENT;
	for (size_t i = 0; i < sizeof(address) / sizeof(address[0]); i++) {
		size_t len = strlen(address[i]);

		if (strncmp(g->name, address[i], len) == 0 &&
		    (g->name[len] == '\0' || address[i][len - 1] == '-'))
			g->kind = GUARD_ADDRESS;
	}
	if (!g->in_headers) {
		g->in_headers = true;
		g->header_bytes = g->header_lines = 0;
	}
	g->header_lines++;
	g->all_lines++;
	g->matched_message = 0;
	count_part(g);
}

/* "--": a boundary, perhaps; many close together are empty parts. */
static void
dash_line(struct guard *g)
{
	g->dash_lines++;
	if (g->lines_since_dash < EMPTY_PART_LINES)
		g->close_dashes++;
	g->lines_since_dash = 0;
	g->in_headers = false;
}

/* A byte of what may become a field's name. */
static void
name_byte(struct guard *g, unsigned char c)
{
	if (c == ':') {
		g->name[g->name_len] = '\0';
		g->name_done = true;
		begin_field(g);
	} else if (c <= ' ' || c >= 127) {
		/* space may stand before the colon; anything else may not */
		if (c != ' ' && c != '\t') {
			g->name_done = true;
			g->kind = GUARD_OTHER;
			g->in_headers = false;
		}
	} else {
		if (g->name_len < sizeof(g->name) - 1)
			g->name[g->name_len++] = (char)ascii_lower(c);
		if (g->name_len == 2 && memcmp(g->name, "--", 2) == 0)
			dash_line(g);
	}
}

static void
match_boundary(struct guard *g, unsigned char c)
{
	if (ascii_lower(c) == boundary[g->matched])
		g->matched++;
	else
		g->matched = ascii_lower(c) == boundary[0];
	if (boundary[g->matched] == '\0') {
		g->boundaries++;
		g->matched = 0;
	}
}

static void
match_message(struct guard *g, unsigned char c)
{
	if (ascii_lower(c) == message[g->matched_message])
		g->matched_message++;
	else
		g->matched_message = ascii_lower(c) == message[0];
	if (message[g->matched_message] == '\0') {
		g->embedded++;
		g->matched_message = 0;
	}
}

static void
value_byte(struct guard *g, unsigned char c)
{
	g->field_bytes++;
	if (g->kind == GUARD_ADDRESS) {
		g->colons += c == ':';
		g->commas += c == ',' || c == ';';
		g->parens += c == '(';
	} else if (g->kind == GUARD_CONTENT) {
		g->semicolons += c == ';';
		match_message(g, c);
	}
}

static void
begin_line(struct guard *g, unsigned char c)
{
	g->line_start = false;
	g->lines_since_dash++;
	if (c == ' ' || c == '\t') { /* goes on with the field before */
		g->name_done = true;
		g->header_lines += g->in_headers;
		g->all_lines += g->in_headers;
		return;
	}
	g->name_done = false;
	g->name_len = 0;
	memset(g->name, 0, sizeof(g->name));
}

static bool
within(const struct guard *g)
{
	return g->header_bytes <= GUARD_HEADER_BYTES &&
	    g->header_lines <= GUARD_HEADER_LINES &&
	    (g->kind == GUARD_OTHER || g->field_bytes <= GUARD_FIELD_BYTES) &&
	    g->colons <= GUARD_COLONS && g->commas <= GUARD_COMMAS &&
	    g->parens <= GUARD_PARENS && g->semicolons <= GUARD_SEMICOLONS &&
	    g->boundaries <= GUARD_BOUNDARIES &&
	    g->dash_lines <= GUARD_DASH_LINES &&
	    g->close_dashes <= GUARD_EMPTY_PARTS && g->parts <= GUARD_PARTS &&
	    g->embedded <= GUARD_EMBEDDED && g->all_lines <= GUARD_ALL_LINES;
}

static void
end_line(struct guard *g)
{
	/* an empty line ends the headers */
	if (!g->line_start && g->name_len == 0 && !g->name_done)
		g->in_headers = false;
	if (g->line_start) {
		g->in_headers = false;
		g->lines_since_dash++;
		count_part(g);
	}
	if (!g->in_headers)
		g->kind = GUARD_OTHER;
	g->line_start = true;
}

bool
guard_feed(struct guard *g, const char *data, size_t len)
{
	for (size_t i = 0; i < len && !g->too_much; i++) {
		unsigned char c = (unsigned char)data[i];

		match_boundary(g, c);
		g->header_bytes += g->in_headers;
		if (c == '\n') {
			end_line(g);
			g->too_much = !within(g);
			continue;
		}
		if (c == '\r')
			continue;
		if (g->line_start)
			begin_line(g, c);
		if (!g->name_done)
			name_byte(g, c);
		else
			value_byte(g, c);
		/* lines can be long: look now and then */
		if ((i & 4095) == 4095)
			g->too_much = !within(g);
	}
	if (!within(g))
		g->too_much = true;
	return !g->too_much;
}
