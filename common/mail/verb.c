/*
 * Command tables: splitting a line, finding its verb.  The tables themselves
 * and what the verbs do are the programs'.
 *
 * Pure functions; any thread.
 */
#include "mail/verb.h"

static struct slice
without_spaces(struct slice s)
{
	while (s.len > 0 && s.data[0] == ' ')
		s = slice_skip(s, 1);
	while (s.len > 0 && s.data[s.len - 1] == ' ')
		s.len--;
	return s;
}

void
verb_split(struct slice line, struct slice *name_out, struct slice *args_out)
{
	struct slice rest;

	while (line.len > 0 && line.data[line.len - 1] == ' ')
		line.len--;
	rest = slice_cut(line, ' ', name_out);
	*args_out = without_spaces(rest);
}

const struct verb *
verb_find(const struct verb *table, size_t count, struct slice name)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_ieq_str(name, table[i].name))
			return &table[i];
	}
	return NULL;
}
