/* Heap, pools and growable strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

static void
test_mem_copies(void **state)
{
	char *a = mem_strdup("hello");
	char *b = mem_strndup("hello", 2);
	char *c = mem_printf("%d-%s", 7, "x");
	char *d = mem_strndup(NULL, 0);
	char *z = mem_zalloc(16);

	(void)state;
	assert_string_equal(a, "hello");
	assert_string_equal(b, "he");
	assert_string_equal(c, "7-x");
	assert_string_equal(d, "");
	for (int i = 0; i < 16; i++)
		assert_int_equal(z[i], 0);
	mem_wipe(a, 5);
	assert_int_equal(a[0], 0);
	assert_int_equal(a[4], 0);
	mem_wipe(NULL, 0);
	free(a);
	free(b);
	free(c);
	free(d);
	free(z);
}

static void
test_mem_grow(void **state)
{
	uint64_t *array = NULL;
	size_t alloc = 0, before;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		array = mem_grow(array, &alloc, i + 1, sizeof(*array));
		assert_true(alloc >= i + 1);
		array[i] = i;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(array[i], i);
	before = alloc;
	array = mem_grow(array, &alloc, 3, sizeof(*array));
	assert_int_equal(alloc, before);
	array = mem_grow(array, &alloc, 5000, sizeof(*array));
	assert_true(alloc >= 5000);
	free(array);
}

static void
test_pool_pieces(void **state)
{
	struct pool p = { 0 };
	unsigned char *pieces[500];

	(void)state;
	for (size_t i = 0; i < 500; i++) {
		size_t size = i % 7 == 0 ? 5000 : i;

		pieces[i] = pool_alloc(&p, size);
		assert_int_equal((uintptr_t)pieces[i] % 16, 0);
		memset(pieces[i], (int)(i & 0xff), size);
	}
	for (size_t i = 0; i < 500; i++) {
		size_t size = i % 7 == 0 ? 5000 : i;

		for (size_t k = 0; k < size; k++)
			assert_int_equal(pieces[i][k], i & 0xff);
	}
	pool_release(&p);
	assert_null(p.blocks);
	pool_release(&p);
}

static void
test_pool_strings(void **state)
{
	struct pool p = { 0 };
	char *long_text = mem_alloc(10001);

	(void)state;
	memset(long_text, 'x', 10000);
	long_text[10000] = '\0';
	assert_string_equal(pool_strdup(&p, "abc"), "abc");
	assert_string_equal(pool_strndup(&p, "abc", 2), "ab");
	assert_string_equal(pool_strndup(&p, NULL, 0), "");
	assert_string_equal(pool_printf(&p, "%s/%d", "a", 3), "a/3");
	assert_string_equal(pool_printf(&p, "%s", long_text), long_text);
	assert_memory_equal(pool_memdup(&p, "a\0b", 3), "a\0b", 3);
	assert_memory_equal(pool_zalloc(&p, 4), "\0\0\0\0", 4);
	pool_release(&p);
	free(long_text);
}

static void
test_pool_reset_keeps_a_block(void **state)
{
	struct pool p = { 0 };
	struct pool_block *kept;

	(void)state;
	pool_reset(&p);
	assert_null(p.blocks);
	memset(pool_alloc(&p, 100000), 1, 100000); /* first: a big one */
	memset(pool_alloc(&p, 10), 1, 10);
	memset(pool_alloc(&p, 100000), 1, 100000);
	pool_reset(&p);
	kept = p.blocks;
	assert_non_null(kept);
	assert_int_equal(p.used, 0);
	memset(pool_alloc(&p, 1000), 2, 1000);
	assert_ptr_equal(p.blocks, kept);
	pool_release(&p);
}

static void
test_buf_appends(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(b.data, "");
	buf_add(&b, NULL, 0);
	buf_add(&b, "abc", 3);
	buf_addstr(&b, "def");
	buf_addc(&b, '-');
	buf_addslice(&b, SLICE_LIT("gh"));
	buf_addf(&b, "%d", 42);
	assert_string_equal(b.data, "abcdef-gh42");
	assert_int_equal(b.len, 11);
	buf_truncate(&b, 3);
	assert_string_equal(b.data, "abc");
	assert_true(slice_eq_str(buf_slice(&b), "abc"));
	buf_release(&b);
}

static void
test_buf_ceiling(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	buf_addstr(&b, "0123456789");
	assert_false(buf_overflowed(&b));
	buf_addc(&b, 'x');
	assert_true(buf_overflowed(&b));
	assert_string_equal(b.data, "0123456789");
	buf_reset(&b);
	assert_false(buf_overflowed(&b));
	buf_addstr(&b, "01234567890");
	assert_true(buf_overflowed(&b));
	assert_int_equal(b.len, 0);
	buf_addstr(&b, "x"); /* would fit, but the string has a hole */
	assert_int_equal(b.len, 0);
	buf_reset(&b);
	buf_addf(&b, "%s", "0123456789");
	assert_string_equal(b.data, "0123456789");
	buf_addf(&b, "%s", "x");
	assert_true(buf_overflowed(&b));
	assert_string_equal(b.data, "0123456789");
	buf_addf(&b, "%s", "");
	buf_reset(&b);
	buf_add(&b, "x", 1);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(buf_overflowed(&b));
	buf_release(&b);
	buf_init(&b, 0);
	buf_addstr(&b, "");
	assert_false(buf_overflowed(&b));
	buf_addc(&b, 'x');
	assert_true(buf_overflowed(&b));
	buf_release(&b);
}

static void
test_buf_in_place(void **state)
{
	struct buf b;
	char *at;

	(void)state;
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 3000; i++) {
		at = buf_reserve(&b, 100);
		assert_non_null(at);
		memset(at, 'a' + i % 26, 100);
		buf_commit(&b, 10);
	}
	assert_int_equal(b.len, 30000);
	assert_int_equal(b.data[b.len], 0);
	assert_int_equal(b.data[15], 'b');
	buf_addf(&b, "%0300d", 1); /* longer than the room left, and not */
	assert_int_equal(b.len, 30300);
	buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mem_copies),
		cmocka_unit_test(test_mem_grow),
		cmocka_unit_test(test_pool_pieces),
		cmocka_unit_test(test_pool_strings),
		cmocka_unit_test(test_pool_reset_keeps_a_block),
		cmocka_unit_test(test_buf_appends),
		cmocka_unit_test(test_buf_ceiling),
		cmocka_unit_test(test_buf_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
