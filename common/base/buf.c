/*
 * Growable byte strings; buf.h says what holds between calls.
 *
 * An empty buffer owns no memory: `data` is one shared byte that is never
 * written.  Growth doubles, so a run of appends costs one copy a byte on
 * average.  Not for sharing between threads.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
	BUF_FIRST_SIZE = 64
};

static char buf_empty[1];

void
buf_init(struct buf *b, size_t max)
{
	/* the byte behind the last one must be countable */
	assert(max < SIZE_MAX);
	*b = (struct buf){ .data = buf_empty, .max = max };
}

void
buf_release(struct buf *b)
{
	if (b->alloc > 0)
		free(b->data);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	if (b->alloc > 0)
		b->data[0] = '\0';
	b->len = 0;
	b->overflowed = 0;
}

/* Make `size` bytes available; len < size <= max + 1. */
static void
buf_grow(struct buf *b, size_t size)
{
	size_t alloc = b->alloc > SIZE_MAX / 2 ? size : b->alloc * 2;

	if (alloc < BUF_FIRST_SIZE)
		alloc = BUF_FIRST_SIZE;
	if (alloc < size)
		alloc = size;
	if (alloc > b->max + 1)
		alloc = b->max + 1;
	b->data = mem_realloc(b->alloc > 0 ? b->data : NULL, alloc);
	b->alloc = alloc;
}

char *
buf_reserve(struct buf *b, size_t len)
{
	if (b->overflowed || len > b->max - b->len) {
		b->overflowed = 1;
		return NULL;
	}
	if (b->len + len >= b->alloc) {
		buf_grow(b, b->len + len + 1);
		b->data[b->len] = '\0';
	}
	return b->data + b->len;
}

void
buf_commit(struct buf *b, size_t len)
{
	assert(len < b->alloc - b->len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_truncate(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (b->alloc > 0)
		b->data[len] = '\0';
	b->len = len;
}

void
buf_cut_utf8(struct buf *b, size_t max)
{
	if (b->len <= max)
		return;
	while (max > 0 && ((unsigned char)b->data[max] & 0xc0) == 0x80)
		max--;
	buf_truncate(b, max);
}

void
buf_add(struct buf *b, const void *data, size_t len)
{
	char *at;

	if (len == 0)
		return;
	at = buf_reserve(b, len);
	if (at == NULL)
		return;
	memcpy(at, data, len);
	at[len] = '\0';
	b->len += len;
}

void
buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_addstr(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addslice(struct buf *b, struct slice s)
{
	buf_add(b, s.data, s.len);
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	size_t room = b->alloc - b->len;
	va_list args;
	char *at;
	int len;

	if (b->overflowed)
		return;
	va_start(args, fmt);
	len = vsnprintf(room > 0 ? b->data + b->len : NULL, room, fmt, args);
	va_end(args);
	assert(len >= 0);
	if ((size_t)len < room) {
		b->len += (size_t)len;
		return;
	}
	if (room > 0)
		b->data[b->len] = '\0';
	at = buf_reserve(b, (size_t)len);
	if (at == NULL)
		return;
	va_start(args, fmt);
	(void)vsnprintf(at, (size_t)len + 1, fmt, args);
	va_end(args);
	b->len += (size_t)len;
}
