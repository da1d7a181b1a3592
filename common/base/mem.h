#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

#include "base/compiler.h"

/*
 * Memory that is there or the process is not.
 *
 * Every size that comes from outside meets a ceiling before it gets here, so
 * running out of memory is a bug or a broken machine, not an input: these
 * functions write one line to stderr and abort.  The supervisor replaces the
 * worker; nothing acknowledged lives only in its memory.
 */
void *mem_alloc(size_t size) MUST_CHECK;
void *mem_zalloc(size_t size) MUST_CHECK;
void *mem_realloc(void *p, size_t size) MUST_CHECK;
char *mem_strdup(const char *s) MUST_CHECK;
char *mem_strndup(const char *s, size_t len) MUST_CHECK;
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2) MUST_CHECK;

/*
 * Grow an array so that it holds at least `count` elements of `size` bytes:
 * doubles *alloc (an element count) and returns the moved array.  The product
 * is checked for overflow.
 */
void *mem_grow(
    void *array, size_t *alloc, size_t count, size_t size) MUST_CHECK;

/* Overwrite a secret; never optimised away.  NULL or 0 is fine. */
void mem_wipe(void *p, size_t size);

/*
 * A pool: many small allocations, one end.  One per session, transaction or
 * request; there is no way to free a single piece, which is the point.
 *
 * A zeroed pool is valid and empty.  Memory is aligned for any type.  Not
 * thread-safe: a pool belongs to one thread at a time.
 */
struct pool_block;

struct pool {
	struct pool_block *blocks; /* newest first */
	size_t used;               /* bytes taken from the newest block */
};

/*
 * An empty pool will hold about so much (at most a page) for long: no whole
 * page is taken for it until it holds more.
 */
void pool_expect(struct pool *p, size_t size);

void *pool_alloc(struct pool *p, size_t size) MUST_CHECK;
void *pool_zalloc(struct pool *p, size_t size) MUST_CHECK;
void *pool_memdup(struct pool *p, const void *data, size_t size) MUST_CHECK;
char *pool_strdup(struct pool *p, const char *s) MUST_CHECK;
/* A NUL-terminated copy of `len` bytes. */
char *pool_strndup(struct pool *p, const char *s, size_t len) MUST_CHECK;
char *pool_printf(struct pool *p, const char *fmt, ...)
    PRINTF_LIKE(2, 3) MUST_CHECK;

/* Forget everything; keeps one block of ordinary size for reuse. */
void pool_reset(struct pool *p);

/* Free everything.  The pool is then a zeroed, valid, empty pool. */
void pool_release(struct pool *p);

#endif /* BASE_MEM_H */
