/*
 * Users as a table, on their way to accountd and back: requests stay within
 * what accountd takes, each line is told of once, and a name that was written
 * is read again as it was.
 */
#include <assert.h>
#include <string.h>

#include "directory/accountd.h"
#include "directory/user_csv.h"

#include "tests/fuzz/fuzz.h"

enum {
	OUT_MAX = 64 * 1024 * 1024
};

static json_t *users; /* of all requests */

/* accountd: every second user is refused. */
static int
call(void *arg, json_t *request, json_t **reply_out, struct err *e)
{
	json_t *items = json_array(), *one;
	size_t i;

	(void)arg;
	(void)e;
	assert(
	    json_dumpb(request, NULL, 0, JSON_COMPACT) <= ACCOUNTD_PACKET_MAX);
	json_array_foreach(json_object_get(request, "users"), i, one) {
		assert(json_is_string(json_object_get(one, "address")));
		json_array_append(users, one);
		json_array_append_new(
		    items, json_pack("{sb,ss}", "ok", i % 2 == 0, "text", "x"));
	}
	assert(i > 0);
	json_decref(request);
	*reply_out = json_pack("{sb,so}", "ok", 1, "items", items);
	return 0;
}

static void
line(void *arg, size_t number, const char *address, const char *error)
{
	(void)address;
	(void)error;
	assert(number > 0);
	++*(size_t *)arg;
}

static int
import(struct slice text)
{
	size_t told = 0;
	struct user_import i = { .call = call, .line = line, .arg = &told };
	struct err e;
	int rc;

	json_array_clear(users);
	rc = user_import(&i, text, &e);
	assert(told == i.good + i.bad);
	assert(json_array_size(users) <= told);
	return rc;
}

static void
write_shown(struct buf *out, json_t *shown)
{
	json_t *one;
	size_t i;

	user_csv_put_header(out);
	json_array_foreach(shown, i, one) {
		if (json_object_get(one, "name") == NULL)
			json_object_set_new(one, "name", json_string(""));
		user_csv_put(out, one);
	}
}

static void
check_again(void)
{
	json_t *shown = json_deep_copy(users), *one;
	struct buf out;
	size_t i;

	buf_init(&out, OUT_MAX);
	write_shown(&out, shown);
	assert(import(buf_slice(&out)) == 0);
	assert(json_array_size(users) == json_array_size(shown));
	json_array_foreach(shown, i, one) {
		const char *name =
		    json_string_value(json_object_get(one, "name"));
		const char *again = json_string_value(
		    json_object_get(json_array_get(users, i), "name"));

		assert(strcmp(again != NULL ? again : "", name) == 0);
	}
	buf_release(&out);
	json_decref(shown);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	users = json_array();
	if (import(slice_of((const char *)data, size)) == 0)
		check_again();
	json_decref(users);
	return 0;
}
