/*
 * A command line of POP3 as the session takes it apart: verb, arguments, and
 * the number most verbs take.  Nothing points outside the line.
 */
#include <assert.h>
#include <stdint.h>

#include "base/num.h"
#include "mail/verb.h"

#include "tests/fuzz/fuzz.h"

static int
nothing(void *session, struct slice args)
{
	(void)session;
	(void)args;
	return 0;
}

static const struct verb verbs[] = {
	{ "RETR", 1, 0, nothing },
	{ "TOP", 1, 0, nothing },
	{ "QUIT", 1, 0, nothing },
};

static void
check_inside(struct slice part, struct slice line)
{
	if (part.len == 0)
		return;
	assert(part.data >= line.data);
	assert(part.data + part.len <= line.data + line.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice line = slice_of((const char *)data, size);
	struct slice name, args, first, rest;
	const struct verb *v;
	uint64_t number;

	verb_split(line, &name, &args);
	check_inside(name, line);
	check_inside(args, line);
	assert(name.len + args.len <= line.len);
	v = verb_find(verbs, ARRAY_LEN(verbs), name);
	assert(v == NULL || slice_ieq_str(name, v->name));
	rest = slice_trim(slice_cut(args, ' ', &first));
	check_inside(first, line);
	check_inside(rest, line);
	if (num_parse(first, SIZE_MAX, &number))
		assert(first.len > 0);
	return 0;
}
