/*
 * The pre-parse guard; see guard.h.  A byte machine: the start of each line
 * decides what the line is, the rest is counted accordingly.
 */
#include "parse/guard.h"

#include <string.h>

#include "base/slice.h"

static const char boundary[] = "boundary";
static const char message[] = "message";
static const char digest[] = "digest";

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

/* --- Header blocks ------------------------------------------------------------ */

static void
begin_block(struct guard *g)
{
	g->in_headers = true;
	g->embeds = g->has_type = false;
	g->header_bytes = g->header_lines = 0;
	g->kind = GUARD_OTHER;
}

/* An empty line: the body, or in it the header of an embedded message. */
static void
end_block(struct guard *g)
{
	bool embeds = g->embeds || (g->has_digest && !g->has_type);

	g->in_headers = false;
	g->kind = GUARD_OTHER;
	if (embeds)
		begin_block(g);
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
	if (strcmp(g->name, "content-type") == 0)
		g->has_type = true;
	for (size_t i = 0; i < sizeof(address) / sizeof(address[0]); i++) {
		size_t len = strlen(address[i]);

		if (strncmp(g->name, address[i], len) == 0 &&
		    (g->name[len] == '\0' || address[i][len - 1] == '-'))
			g->kind = GUARD_ADDRESS;
	}
	g->header_lines++;
	g->all_lines++;
	g->matched_boundary = g->matched_message = g->matched_digest = 0;
	count_part(g);
}

/* --- Lines --------------------------------------------------------------------- */

/* "--": a boundary, perhaps; many close together are empty parts. */
static void
dash_line(struct guard *g)
{
	if (g->boundaries == 0)
		return; /* a patch, a signature */
	g->dash_lines++;
	if (g->lines_since_dash < EMPTY_PART_LINES)
		g->close_dashes++;
	g->lines_since_dash = 0;
	g->name_done = true;
	begin_block(g);
}

/* Not a field: GMime may go on looking for some until the empty line. */
static void
no_field(struct guard *g)
{
	g->name_done = true;
	g->kind = GUARD_OTHER;
}

/* A byte of what may become a field's name. */
static void
name_byte(struct guard *g, unsigned char c)
{
	if (c == ':' && g->name_len > 0) {
		if (!g->in_headers) {
			no_field(g);
			return;
		}
		g->name[g->name_len] = '\0';
		g->name_done = true;
		begin_field(g);
	} else if (c == ' ' || c == '\t') {
		g->name_space = true; /* only the colon may follow */
	} else if (c < ' ' || c >= 127 || g->name_space) {
		no_field(g);
	} else {
		if (g->name_len < sizeof(g->name) - 1)
			g->name[g->name_len++] = (char)ascii_lower(c);
		if (g->name_len == 2 && memcmp(g->name, "--", 2) == 0)
			dash_line(g);
	}
}

/* True when `c` completes `word`; *matched is how much of it was seen. */
static bool
completes(const char *word, unsigned *matched, unsigned char c)
{
	if (ascii_lower(c) == word[*matched])
		(*matched)++;
	else
		*matched = ascii_lower(c) == word[0];
	if (word[*matched] != '\0')
		return false;
	*matched = 0;
	return true;
}

static void
content_byte(struct guard *g, unsigned char c)
{
	g->semicolons += c == ';';
	g->boundaries += completes(boundary, &g->matched_boundary, c);
	if (completes(message, &g->matched_message, c)) {
		g->embedded++;
		g->embeds = true;
	}
	if (completes(digest, &g->matched_digest, c))
		g->has_digest = true;
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
		content_byte(g, c);
	}
}

static void
begin_line(struct guard *g, unsigned char c)
{
	g->line_start = false;
	g->lines_since_dash++;
	g->name_space = false;
	if (c == ' ' || c == '\t') { /* goes on with the field before */
		g->name_done = true;
		g->header_lines += g->in_headers;
		g->all_lines += g->in_headers;
		return;
	}
	g->kind = GUARD_OTHER;
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
	if (g->line_start) { /* an empty one */
		g->lines_since_dash++;
		count_part(g);
		if (g->in_headers)
			end_block(g);
	}
	g->line_start = true;
}

bool
guard_feed(struct guard *g, const char *data, size_t len)
{
	for (size_t i = 0; i < len && !g->too_much; i++) {
		unsigned char c = (unsigned char)data[i];

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
