/* The store: names, delivery, listing, what others may do meanwhile. */
#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "maildir/maildir.h"
#include "maildir/name.h"

static char top[] = "/tmp/maildir-XXXXXX";
static int root;

static int
make_root(void **state)
{
	(void)state;
	(void)umask(007); /* as the daemons have it */
	if (mkdtemp(top) == NULL)
		return -1;
	root = open(top, O_RDONLY | O_DIRECTORY);
	return root < 0 ? -1 : 0;
}

static int
remove_root(void **state)
{
	char command[64];

	(void)state;
	(void)close(root);
	(void)snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command) == 0 ? 0 : -1;
}

static void
deliver(const struct maildir *m, const char *name, const char *text)
{
	struct iovec piece = { (void *)(uintptr_t)text, strlen(text) };
	struct err e;

	assert_int_equal(maildir_write_tmp(m, name, &piece, 1, &e), 0);
	assert_int_equal(maildir_publish(m, name, &e), 0);
}

struct wanted {
	const char *name;
	int count;
};

static bool
count_name(void *arg, const char *name, size_t len)
{
	struct wanted *w = arg;

	w->count += len >= strlen(w->name) &&
	    strncmp(name, w->name, strlen(w->name)) == 0;
	return true;
}

static int
count_names(const struct maildir *m, const char *name)
{
	struct wanted w = { name, 0 };
	struct err e;

	assert_int_equal(maildir_each_name(m, count_name, &w, &e), 0);
	return w.count;
}

static void
put(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static void
open_box(const char *path, struct maildir *m)
{
	struct err e;

	assert_int_equal(maildir_open(root, path, "", true, m, &e), 0);
}

static void
test_paths(void **state)
{
	static const struct {
		const char *local, *domain, *path;
	} cases[] = {
		{ "Ann", "example.org", "example.org/ann" },
		{ "a b", "example.org", "example.org/a%20b" },
		{ "../x", "d.example", "d.example/%2E.%2Fx" },
		{ ".", "d.example", "d.example/%2E" },
		{ "\xc3\xa4", "d.example", "d.example/%C3%A4" },
		{ "a+b=c_d-e", "[192.0.2.1]", "%5B192.0.2.1%5D/a+b=c_d-e" },
	};

	char out[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(maildir_path(slice_str(cases[i].local),
		    slice_str(cases[i].domain), out, sizeof(out)));
		assert_string_equal(out, cases[i].path);
	}
	assert_false(maildir_path(
	    slice_str(""), slice_str("d.example"), out, sizeof(out)));
	assert_false(
	    maildir_path(slice_str("a"), slice_str("d.example"), out, 10));
}

static void
test_names(void **state)
{
	char name[MAILDIR_NAME_SIZE], uidl[MAILDIR_UIDL_SIZE];
	struct maildir_entry entry = { 0 };

	(void)state;
	maildir_delivery_name(
	    "01ARYZ6S41TSV4RRFFQ69G5FAV", 0, "mail.example.org", 10, 12, name);
	assert_string_equal(
	    name, "01ARYZ6S41TSV4RRFFQ69G5FAV.mail.example.org,S=10,W=12");
	assert_int_equal(maildir_parse_name(name, &entry), 0);
	assert_int_equal(entry.size, 10);
	assert_int_equal(entry.wire_size, 12);
	assert_int_equal(entry.arrived_ms, 1469918176385);
	maildir_uidl(name, uidl);
	assert_string_equal(
	    uidl, "01ARYZ6S41TSV4RRFFQ69G5FAV.mail.example.org");
	maildir_delivery_name(
	    "01ARYZ6S41TSV4RRFFQ69G5FAV", 3, "a/b:c,d", 1, 1, name);
	assert_string_equal(
	    name, "01ARYZ6S41TSV4RRFFQ69G5FAV.3.a_b_c_d,S=1,W=1");
	assert_int_equal(
	    maildir_parse_name("1600000000.M1P2.host:2,FS", &entry),
	    MAILDIR_NO_SIZE | MAILDIR_NO_WIRE_SIZE);
	assert_int_equal(entry.flags, MAILDIR_FLAGGED | MAILDIR_SEEN);
	assert_int_equal(entry.arrived_ms, 1600000000000);
	maildir_uidl("name with space", uidl);
	assert_int_equal(strlen(uidl), 64);
}

static void
test_deliver_and_list(void **state)
{
	struct maildir m, other;
	struct maildir_list l;
	struct stat a, b;
	struct err e;
	int fd;

	(void)state;
	open_box("example.org/ann", &m);
	open_box("example.org/bob", &other);
	deliver(&m, "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=4,W=6", "a\nb\n");
	deliver(&m, "01ARYZ6S41TSV4RRFFQ69G5FAW.h,S=2,W=3", "a\n");
	/* what is in tmp/ from before gives way */
	put(m.tmp_fd, "01ARYZ6S41TSV4RRFFQ69G5FAX.h,S=2,W=3", "old");
	deliver(&m, "01ARYZ6S41TSV4RRFFQ69G5FAX.h,S=2,W=3", "c\n");
	put(m.cur_fd, "1300000000.M1.old,S=5:2,S", "a\r\nb\n");
	put(m.cur_fd, "1200000000.M1.older:2,", "no end");
	put(m.cur_fd, ".hidden", "x");
	assert_int_equal(symlinkat("/etc/passwd", m.cur_fd, "link:2,S"), 0);
	assert_int_equal(mkfifoat(m.cur_fd, "fifo:2,S", 0600), 0);
	assert_int_equal(maildir_list(&m, &l, &e), 0);
	assert_int_equal(l.count, 5);
	assert_string_equal(l.items[0].name, "1200000000.M1.older:2,");
	assert_int_equal(l.items[0].size, 6);
	assert_int_equal(l.items[0].wire_size, 8);
	assert_int_equal(l.items[1].size, 5);
	assert_int_equal(l.items[1].wire_size, 6);
	assert_int_equal(l.items[1].flags, MAILDIR_SEEN);
	assert_int_equal(l.items[4].wire_size, 3);
	assert_true(l.items[4].is_new);
	maildir_list_release(&l);

	/* one file in two mailboxes */
	assert_int_equal(
	    maildir_link_tmp(&other, "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=4,W=6",
		m.new_fd, "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=4,W=6", &e),
	    0);
	assert_int_equal(
	    maildir_publish(&other, "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=4,W=6", &e),
	    0);
	assert_int_equal(maildir_open_message(&other,
			     "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=4,W=6", &fd, &e),
	    0);
	assert_int_equal(fstat(fd, &a), 0);
	(void)close(fd);
	assert_int_equal(
	    fstatat(m.new_fd, "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=4,W=6", &b, 0),
	    0);
	assert_true(a.st_ino == b.st_ino);
	assert_int_equal(a.st_mode & 0777, 0660);
	maildir_close(&m);
	maildir_close(&other);
}

static void
test_moved_meanwhile(void **state)
{
	static const char name[] = "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=2,W=3";
	static const char seen[] = "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=2,W=3:2,S";
	static const char more[] = "01ARYZ6S41TSV4RRFFQ69G5FAV.h,S=2,W=3:2,FS";
	struct maildir_list l;
	struct maildir m;
	struct err e;
	int fd;

	(void)state;
	open_box("example.org/carl", &m);
	deliver(&m, name, "a\n");
	assert_int_equal(count_names(&m, name), 1);
	/* another reader saw it, then starred it */
	assert_int_equal(renameat(m.new_fd, name, m.cur_fd, seen), 0);
	assert_int_equal(count_names(&m, name), 1);
	assert_int_equal(maildir_open_message(&m, name, &fd, &e), 0);
	(void)close(fd);
	assert_int_equal(renameat(m.cur_fd, seen, m.cur_fd, more), 0);
	assert_int_equal(maildir_open_message(&m, seen, &fd, &e), 0);
	(void)close(fd);
	/* half-way between new/ and cur/ by link: it counts once */
	assert_int_equal(linkat(m.cur_fd, more, m.new_fd, name, 0), 0);
	assert_int_equal(maildir_list(&m, &l, &e), 0);
	assert_int_equal(l.count, 1);
	assert_string_equal(l.items[0].name, more);
	maildir_list_release(&l);
	assert_int_equal(unlinkat(m.new_fd, name, 0), 0);
	assert_int_equal(maildir_remove(&m, name, &e), 0);
	assert_int_equal(maildir_remove(&m, name, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(maildir_open_message(&m, name, &fd, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(count_names(&m, name), 0);
	maildir_close(&m);
}

static void
test_refused(void **state)
{
	static const char *const bad[] = { "..", "../x", "example.org",
		"example.org/../x", "/etc", "example.org//x", "" };
	struct maildir m;
	struct err e;

	(void)state;
	assert_int_equal(
	    maildir_open(root, "example.org/nobody", "", false, &m, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	open_box("example.org/dora", &m);
	maildir_close(&m);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (strcmp(bad[i], "example.org") != 0)
			assert_int_equal(
			    maildir_open(root, bad[i], "", true, &m, &e), -1);
	}
	assert_int_equal(
	    maildir_open(root, "example.org/dora", "..", true, &m, &e), -1);
	assert_int_equal(
	    maildir_open(root, "example.org/dora", "x", true, &m, &e), -1);
	assert_int_equal(
	    maildir_open(root, "example.org/dora", ".Sent", true, &m, &e), 0);
	assert_int_equal(faccessat(m.root_fd, "maildirfolder", F_OK, 0), 0);
	maildir_close(&m);
	assert_int_equal(symlinkat("/tmp", root, "link.example"), 0);
	assert_int_equal(
	    maildir_open(root, "link.example/x", "", true, &m, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_deliver_and_list),
		cmocka_unit_test(test_moved_meanwhile),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
