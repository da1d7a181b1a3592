/*
 * Pools: memory with one end, for a session, a transaction or a request.
 *
 * A pool is a list of blocks; pieces are cut from the newest.  What is too big
 * for an ordinary block gets one of its own, put behind the newest, so that
 * the newest goes on being cut.  An empty pool owns no memory, which keeps
 * idle connections small.
 *
 * Used by one thread at a time; no locks.
 */
#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct pool_block {
	struct pool_block *next;
	size_t size; /* of data */
	alignas(max_align_t) unsigned char data[];
};

enum {
	POOL_ALIGN = alignof(max_align_t),
	/* with malloc's own header a block stays within a page */
	POOL_BLOCK_SIZE = 4096 - 16 - sizeof(struct pool_block),
};

static struct pool_block *
pool_block_new(size_t size)
{
	struct pool_block *b = mem_alloc(sizeof(*b) + size);

	b->next = NULL;
	b->size = size;
	return b;
}

static void
pool_blocks_free(struct pool_block *b)
{
	while (b != NULL) {
		struct pool_block *next = b->next;

		free(b);
		b = next;
	}
}

/* For a piece that would waste most of an ordinary block, or not fit. */
static void *
pool_alloc_big(struct pool *p, size_t size)
{
	struct pool_block *b = pool_block_new(size);

	if (p->blocks == NULL) {
		p->blocks = b;
		p->used = size;
	} else {
		b->next = p->blocks->next;
		p->blocks->next = b;
	}
	return b->data;
}

void
pool_expect(struct pool *p, size_t size)
{
	assert(p->blocks == NULL && size <= POOL_BLOCK_SIZE);
	p->blocks = pool_block_new(size);
	p->used = 0;
}

void *
pool_alloc(struct pool *p, size_t size)
{
	void *piece;

	/* beyond this, rounding up would overflow; no ceiling is that high */
	assert(size <= SIZE_MAX / 2);
	size = (size + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1);
	if (p->blocks == NULL || size > p->blocks->size - p->used) {
		struct pool_block *b;

		if (size > POOL_BLOCK_SIZE / 2)
			return pool_alloc_big(p, size);
		b = pool_block_new(POOL_BLOCK_SIZE);
		b->next = p->blocks;
		p->blocks = b;
		p->used = 0;
	}
	piece = p->blocks->data + p->used;
	p->used += size;
	return piece;
}

void *
pool_zalloc(struct pool *p, size_t size)
{
	void *piece = pool_alloc(p, size);

	memset(piece, 0, size);
	return piece;
}

void *
pool_memdup(struct pool *p, const void *data, size_t size)
{
	void *piece = pool_alloc(p, size);

	if (size > 0)
		memcpy(piece, data, size);
	return piece;
}

char *
pool_strdup(struct pool *p, const char *s)
{
	return pool_memdup(p, s, strlen(s) + 1);
}

char *
pool_strndup(struct pool *p, const char *s, size_t len)
{
	char *copy;

	assert(len < SIZE_MAX / 2);
	copy = pool_alloc(p, len + 1);
	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
pool_printf(struct pool *p, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	assert(len >= 0);
	text = pool_alloc(p, (size_t)len + 1);
	va_start(args, fmt);
	(void)vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}

void
pool_reset(struct pool *p)
{
	struct pool_block *keep = NULL;
	struct pool_block *b = p->blocks;

	while (b != NULL) {
		struct pool_block *next = b->next;

		if (keep == NULL && b->size == POOL_BLOCK_SIZE) {
			keep = b;
			keep->next = NULL;
		} else {
			free(b);
		}
		b = next;
	}
	p->blocks = keep;
	p->used = 0;
}

void
pool_release(struct pool *p)
{
	pool_blocks_free(p->blocks);
	p->blocks = NULL;
	p->used = 0;
}
