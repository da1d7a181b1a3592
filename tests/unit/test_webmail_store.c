/* A user's own file: made when first written, what it keeps, what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "webmail-cgi/store_user.h"

static char dir[] = "/tmp/mailstead-user-XXXXXX";

static struct sql *
open_store(bool create)
{
	struct sql *db;
	struct err e;

	if (store_user_open(dir, SLICE_LIT("ann"), SLICE_LIT("example.org"),
		create, &db, &e) != 0)
		fail_msg("%s", e.text);
	return db;
}

static void
preferences(void **state)
{
	struct pool pool = { 0 };
	struct prefs p;
	struct sql *db;
	struct err e;

	(void)state;
	assert_null(open_store(false));
	assert_int_equal(store_prefs(NULL, &pool, &p, &e), 0);
	assert_string_equal(p.value[PREF_THEME], "auto");
	db = open_store(true);
	assert_int_equal(store_pref_set(db, PREF_THEME, "dark", &e), 0);
	assert_int_equal(store_pref_set(db, PREF_ZONE, "Europe/Oslo", &e), 0);
	assert_int_equal(store_pref_set(db, PREF_THEME, "light", &e), 0);
	assert_int_equal(store_pref_set(db, PREF_THEME, "pink", &e), -1);
	assert_int_equal(e.kind, ERR_SYNTAX);
	assert_int_equal(store_pref_set(db, PREF_ZONE, "a b", &e), -1);
	sql_close(db);
	db = open_store(false);
	assert_int_equal(store_prefs(db, &pool, &p, &e), 0);
	assert_string_equal(p.value[PREF_THEME], "light");
	assert_string_equal(p.value[PREF_ZONE], "Europe/Oslo");
	assert_true(prefs_yes(&p, PREF_TALKS));
	sql_close(db);
	pool_release(&pool);
}

static void
labels_and_identities(void **state)
{
	struct sql *db = open_store(true);
	const struct identity sales = { "sales@example.org", "Sales", "",
		"--\nbye", true };
	struct identity i;
	struct pool pool = { 0 };
	struct labels labels;
	const char *gone;
	struct err e;

	(void)state;
	assert_int_equal(store_label_add(db, "Work", 3, &e), 0);
	assert_int_equal(store_label_add(db, "Home", 1, &e), 0);
	assert_int_equal(store_label_add(db, "Work", 1, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(store_labels(db, &pool, &labels, &e), 0);
	assert_int_equal(labels.count, 2);
	assert_string_equal(labels.list[0].name, "Home");
	gone = labels.list[0].keyword;
	assert_int_equal(store_label_delete(db, labels.list[0].id, &e), 0);
	assert_int_equal(store_label_add(db, "Home again", 1, &e), 0);
	assert_int_equal(store_labels(db, &pool, &labels, &e), 0);
	assert_string_not_equal(labels.list[0].keyword, gone);
	assert_int_equal(store_identity_put(db, &sales, &e), 0);
	assert_int_equal(
	    store_identity_find(db, "SALES@example.org", &pool, &i, &e), 1);
	assert_string_equal(i.signature, "--\nbye");
	assert_int_equal(
	    store_identity_find(db, "ann@example.org", &pool, &i, &e), 0);
	sql_close(db);
	pool_release(&pool);
}

static void
senders_and_outgoing(void **state)
{
	const struct outgoing_row o = { "01ABC", 1000, ".Sent", "name", "",
		"" };
	struct sql *db = open_store(true);
	struct outgoing_rows due;
	struct outgoing_row one;
	struct pool pool = { 0 };
	const char **list;
	size_t count;
	struct err e;

	(void)state;
	assert_int_equal(store_pictures_allow(db, "Bob@b.example", &e), 0);
	assert_int_equal(store_pictures_allowed(db, "bob@B.example", &e), 1);
	assert_int_equal(store_pictures_allowed(NULL, "x@b.example", &e), 0);
	assert_int_equal(store_pictures_list(db, &pool, &list, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_int_equal(store_pictures_forget(db, "bob@b.example", &e), 0);
	assert_int_equal(store_pictures_allowed(db, "bob@b.example", &e), 0);
	assert_int_equal(store_collect(db, "Bob", "bob@b.example", 5, &e), 0);
	assert_int_equal(store_collect(db, "", "BOB@b.example", 6, &e), 0);
	assert_int_equal(store_outgoing_add(db, &o, &e), 0);
	assert_int_equal(store_outgoing_due(db, 999, &pool, &due, &e), 0);
	assert_int_equal(due.count, 0);
	assert_int_equal(store_outgoing_due(db, 1000, &pool, &due, &e), 0);
	assert_int_equal(due.count, 1);
	assert_int_equal(
	    store_outgoing_find_copy(db, "name", &pool, &one, &e), 1);
	assert_int_equal(store_outgoing_delete(db, one.id, &e), 1);
	assert_int_equal(store_outgoing_delete(db, one.id, &e), 0);
	sql_close(db);
	pool_release(&pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(preferences),
		cmocka_unit_test(labels_and_identities),
		cmocka_unit_test(senders_and_outgoing),
	};
	char command[64];
	int rc;

	if (mkdtemp(dir) == NULL)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) != 0 ? 1 : rc;
}
