/*
 * The heap, for a process that cannot go on without memory.
 *
 * Sizes from outside have met a ceiling before they come here, so the only
 * answer to exhaustion is to stop: one line to stderr, then abort().  Nothing
 * here is for buffers that grow with input; see buf.h, which has a ceiling.
 *
 * Runs in any thread.
 */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

NORETURN static void
mem_exhausted(void)
{
	static const char text[] = "out of memory, stopping\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored;
	abort();
}

void *
mem_alloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		mem_exhausted();
	return p;
}

void *
mem_zalloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	if (p == NULL)
		mem_exhausted();
	return p;
}

void *
mem_realloc(void *p, size_t size)
{
	void *moved = realloc(p, size > 0 ? size : 1);

	if (moved == NULL)
		mem_exhausted();
	return moved;
}

char *
mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *
mem_strndup(const char *s, size_t len)
{
	size_t size;
	char *copy;

	if (num_add_overflows(len, 1, &size))
		mem_exhausted();
	copy = mem_alloc(size);
	if (len > 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
mem_printf(const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0)
		mem_exhausted();
	return text;
}

void *
mem_grow(void *array, size_t *alloc, size_t count, size_t size)
{
	size_t want, bytes;

	if (array != NULL && count <= *alloc)
		return array;
	want = *alloc > SIZE_MAX / 2 ? count : *alloc * 2;
	if (want < count)
		want = count;
	if (want < 8)
		want = 8;
	if (num_mul_overflows(want, size, &bytes))
		mem_exhausted();
	array = mem_realloc(array, bytes);
	*alloc = want;
	return array;
}

void
mem_wipe(void *p, size_t size)
{
	if (p != NULL && size > 0)
		explicit_bzero(p, size);
}
