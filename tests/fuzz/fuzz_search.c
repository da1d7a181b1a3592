/*
 * The search grammar: everything is a query; tokens are pieces of the text in
 * order; the tree is no deeper than it may be.
 */
#include <assert.h>

#include "maildir/search.h"

#include "tests/fuzz/fuzz.h"

/* NOLINTNEXTLINE(misc-no-recursion) */
static int
depth_of(const struct search_node *n)
{
	int deepest = 0;

	if (n->kind == SEARCH_NOT)
		assert(n->count == 1);
	if (n->kind != SEARCH_AND && n->kind != SEARCH_OR &&
	    n->kind != SEARCH_NOT)
		assert(n->count == 0);
	if (n->kind == SEARCH_SIZE || n->kind == SEARCH_DATE)
		assert(n->from <= n->to);
	for (size_t i = 0; i < n->count; i++) {
		int d = depth_of(n->children[i]);

		deepest = d > deepest ? d : deepest;
	}
	return deepest + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct search_clock clock = { INT64_C(1795953600000), 120 };
	struct slice text = slice_of((const char *)data, size);
	struct pool pool = { 0 };
	struct search_query q;
	const char *at = text.data;

	search_parse(text, &clock, &pool, &q);
	assert(q.root != NULL && q.root->kind == SEARCH_AND);
	/* a group is AND, OR and perhaps NOT */
	assert(depth_of(q.root) <= 3 * (SEARCH_DEPTH_MAX + 1) + 1);
	for (size_t i = 0; i < q.token_count; i++) {
		assert(q.tokens[i].text.len > 0);
		assert(q.tokens[i].text.data >= at);
		at = q.tokens[i].text.data + q.tokens[i].text.len;
		assert(at <= text.data + size);
	}
	pool_release(&pool);
	return 0;
}
