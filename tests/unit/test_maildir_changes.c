/*
 * The store: folders and their names, flags, moves, usage, stale files, and
 * the rows of the threat catalogue (J) that one process can show.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"

#include "maildir/maildir.h"
#include "maildir/name.h"

static char top[] = "/tmp/maildir-changes-XXXXXX";
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
	struct err e;

	(void)state;
	(void)close(root);
	return maildir_remove_tree(AT_FDCWD, top, &e);
}

static void
open_box(const char *path, struct maildir *m)
{
	struct err e;

	assert_int_equal(maildir_open(root, path, "", true, m, &e), 0);
}

static void
put(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static bool
is_there(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t
count(const struct maildir *m)
{
	struct maildir_list l;
	struct err e;
	size_t n;

	assert_int_equal(maildir_list(m, &l, &e), 0);
	n = l.count;
	maildir_list_release(&l);
	return n;
}

/* --- names of folders ------------------------------------------------- */

static void
test_j15_folder_names(void **state)
{
	static const struct {
		const char *name, *dir;
	} cases[] = {
		{ "Sent", ".Sent" },
		{ "Work/2026", ".Work.2026" },
		{ "a.b", ".a&AC4-b" },
		{ "..", ".&AC4ALg-" },
		{ ".", ".&AC4-" },
		{ "cur", ".cur" },
		{ "R&D", ".R&-D" },
		{ "Entw\xc3\xbcrfe", ".Entw&APw-rfe" },
		{ "\xe5\x8f\xb0\xe5\x8c\x97", ".&U,BTFw-" },
		{ "\xf0\x9f\x93\xa7", ".&2D3c5w-" },
		{ "%00", ".%00" },
		{ "a b", ".a b" },
		{ "INBOX/x", ".INBOX.x" },
	};

	static const char *const refused[] = { "", "/", "a//b", "/a", "a/",
		"inbox", "INBOX", "a\tb", "a\nb", "\xff", "\xc3" };
	char dir[MAILDIR_NAME_SIZE], name[MAILDIR_NAME_SIZE], big[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(
		    maildir_folder_encode(slice_str(cases[i].name), dir));
		assert_string_equal(dir, cases[i].dir);
		assert_true(maildir_folder_decode(dir, name, sizeof(name)));
		assert_string_equal(name, cases[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_false(maildir_folder_encode(slice_str(refused[i]), dir));
	assert_false(maildir_folder_encode(SLICE_LIT("a\0b"), dir));
	memset(big, 'x', sizeof(big));
	assert_true(maildir_folder_encode(slice_of(big, 254), dir));
	assert_false(maildir_folder_encode(slice_of(big, 255), dir));
	assert_false(maildir_folder_decode(".a&AC4", name, sizeof(name)));
	assert_false(maildir_folder_decode(".&AGE-", name, sizeof(name)));
	assert_false(maildir_folder_decode("..", name, sizeof(name)));
	assert_false(maildir_folder_decode(".Sent", name, 3));
}

static void
test_folders(void **state)
{
	char longest[MAILDIR_NAME_SIZE];
	struct maildir m, sub;
	struct maildir_folders f;
	struct err e;

	(void)state;
	open_box("d/folders", &m);
	assert_int_equal(maildir_folder_create(&m, ".Work", &e), 0);
	assert_int_equal(maildir_folder_create(&m, ".Work.Old", &e), 0);
	assert_int_equal(maildir_folder_create(&m, ".Workshop", &e), 0);
	assert_int_equal(maildir_folder_create(&m, ".Work", &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(maildir_folder_create(&m, "..", &e), -1);
	assert_int_equal(maildir_folder_create(&m, ".a/b", &e), -1);
	assert_int_equal(symlinkat("/etc", m.root_fd, ".Link"), 0);
	assert_int_equal(maildir_open_sub(&m, ".Link", &sub, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(maildir_open_sub(&m, ".Work", &sub, &e), 0);
	assert_true(is_there(sub.root_fd, "maildirfolder"));
	put(sub.new_fd, "1700000000.x.h", "hello\n");
	maildir_close(&sub);

	assert_int_equal(
	    maildir_folder_rename(&m, ".Work", ".Work.Old", &e), -1);
	assert_int_equal(
	    maildir_folder_rename(&m, ".Work", ".Workshop", &e), -1);
	assert_int_equal(maildir_folder_rename(&m, ".Work", ".Play", &e), 0);
	assert_int_equal(maildir_folder_list(&m, &f, &e), 0);
	assert_int_equal(f.count, 3);
	assert_string_equal(f.items[0].name, "Play");
	assert_string_equal(f.items[1].name, "Play/Old");
	assert_string_equal(f.items[2].name, "Workshop");
	maildir_folders_release(&f);

	/* all folders below go along, or none */
	assert_int_equal(maildir_folder_create(&m, ".Gone.Old", &e), 0);
	assert_int_equal(maildir_folder_rename(&m, ".Play", ".Gone", &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_true(is_there(m.root_fd, ".Play"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '.';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(maildir_folder_rename(&m, ".Play", longest, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_true(is_there(m.root_fd, ".Play"));

	assert_int_equal(maildir_folder_delete(&m, ".Play", &e), 0);
	assert_int_equal(maildir_folder_delete(&m, ".Play", &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_false(is_there(m.root_fd, ".Play"));
	assert_true(is_there(m.root_fd, ".Play.Old"));
	maildir_close(&m);
}

/* --- flags, moves, deletion ------------------------------------------------- */

static void
test_flags(void **state)
{
	char out[MAILDIR_NAME_SIZE], again[MAILDIR_NAME_SIZE];
	struct maildir m;
	struct err e;

	(void)state;
	open_box("d/flags", &m);
	put(m.new_fd, "1.a.h,S=6,W=7", "hello\n");
	assert_int_equal(
	    maildir_set_flags(&m, "1.a.h,S=6,W=7", MAILDIR_SEEN, 0, out, &e),
	    0);
	assert_string_equal(out, "1.a.h,S=6,W=7:2,S");
	/* the old name still finds it; letters of others stay */
	assert_int_equal(
	    renameat(m.cur_fd, out, m.cur_fd, "1.a.h,S=6,W=7:2,Sab"), 0);
	assert_int_equal(
	    maildir_set_flags(&m, "1.a.h,S=6,W=7",
		MAILDIR_FLAGGED | MAILDIR_TRASHED, MAILDIR_SEEN, again, &e),
	    0);
	assert_string_equal(again, "1.a.h,S=6,W=7:2,FTab");
	assert_int_equal(
	    maildir_set_flags(&m, "none", MAILDIR_SEEN, 0, out, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	maildir_close(&m);
}

static void
test_move_copy(void **state)
{
	char out[MAILDIR_NAME_SIZE], copied[MAILDIR_NAME_SIZE];
	struct maildir m, sub;
	struct err e;

	(void)state;
	open_box("d/move", &m);
	assert_int_equal(maildir_folder_create(&m, ".Trash", &e), 0);
	assert_int_equal(maildir_open_sub(&m, ".Trash", &sub, &e), 0);
	put(m.cur_fd, "1.a.h,S=6,W=7:2,S", "hello\n");
	assert_int_equal(
	    maildir_copy(&m, &sub, "1.a.h,S=6,W=7", copied, &e), 0);
	assert_string_not_equal(copied, "1.a.h,S=6,W=7:2,S");
	assert_non_null(strstr(copied, ",S=6,W=7:2,S"));
	assert_int_equal(maildir_move(&m, &sub, "1.a.h,S=6,W=7", out, &e), 0);
	assert_string_equal(out, "1.a.h,S=6,W=7:2,S");
	assert_int_equal(count(&m), 0);
	assert_int_equal(count(&sub), 2);
	/* J04: the second of two who move the same finds it gone */
	assert_int_equal(maildir_move(&m, &sub, "1.a.h,S=6,W=7", out, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	/* a name that is taken there does not get replaced */
	put(m.cur_fd, "1.a.h,S=6,W=7:2,S", "other\n");
	assert_int_equal(maildir_move(&m, &sub, "1.a.h,S=6,W=7", out, &e), 0);
	assert_int_equal(count(&sub), 3);
	maildir_close(&sub);
	maildir_close(&m);
}

static void
test_I10_stale_files(void **state)
{
	struct timespec old[2] = { { 1000000, 0 }, { 1000000, 0 } };
	struct timespec today[2] = { { 1000000, 0 }, { 0, 0 } };
	struct maildir m;
	struct err e;
	size_t removed;
	int64_t later =
	    clock_wall_ms() + (MAILDIR_TMP_SECONDS + 10) * INT64_C(1000);

	(void)state;
	open_box("d/stale", &m);
	put(m.tmp_fd, "stale", "x");
	assert_int_equal(mkdirat(m.tmp_fd, "gone.deleted", 0700), 0);
	/* linked a moment ago: an old mtime says nothing */
	assert_int_equal(utimensat(m.tmp_fd, "stale", old, 0), 0);
	assert_int_equal(
	    maildir_clean_tmp(&m, clock_wall_ms(), &removed, &e), 0);
	assert_int_equal(removed, 0);
	assert_int_equal(maildir_clean_tmp(&m, later, &removed, &e), 0);
	assert_int_equal(removed, 2);
	assert_false(is_there(m.tmp_fd, "stale"));
	/* who delivers looks once a day */
	put(m.tmp_fd, "stale", "x");
	today[1].tv_sec = later / 1000;
	assert_int_equal(futimens(m.tmp_fd, today), 0);
	maildir_tidy(&m, later);
	assert_true(is_there(m.tmp_fd, "stale"));
	today[1].tv_sec -= 86400;
	assert_int_equal(futimens(m.tmp_fd, today), 0);
	maildir_tidy(&m, later);
	assert_false(is_there(m.tmp_fd, "stale"));
	maildir_close(&m);
}

/* --- usage -------------------------------------------------------------------- */

static void
test_usage(void **state)
{
	struct maildir_usage u;
	struct maildir m, sub;
	struct buf text;
	struct err e;

	(void)state;
	open_box("d/usage", &m);
	assert_int_equal(maildir_usage_add(&m, 10, 1, &e), 0);
	assert_false(is_there(m.root_fd, "maildirsize"));
	put(m.new_fd, "1.a.h,S=6,W=7", "hello\n");
	assert_int_equal(maildir_folder_create(&m, ".Sent", &e), 0);
	assert_int_equal(maildir_open_sub(&m, ".Sent", &sub, &e), 0);
	put(sub.cur_fd, "2.a.h:2,S", "foreign\n");
	maildir_close(&sub);
	assert_int_equal(maildir_usage_recount(&m, &u, &e), 0);
	assert_int_equal(u.messages, 2);
	assert_int_equal(u.bytes, 14);
	assert_int_equal(maildir_usage_add(&m, 100, 1, &e), 0);
	assert_int_equal(maildir_usage_add(&m, -6, -1, &e), 0);
	buf_init(&text, 1000);
	assert_int_equal(file_read(m.root_fd, "maildirsize", &text, &e), 0);
	assert_true(maildir_usage_parse(buf_slice(&text), &u));
	buf_release(&text);
	assert_int_equal(u.messages, 2);
	assert_int_equal(u.bytes, 108);
	maildir_close(&m);
}

static void
test_usage_text(void **state)
{
	static const char *const damaged[] = { "", "0S", "0S\n5", "0S\nx y\n",
		"0S\n5 1 1\n", "0S\n-1 1\n", "0S\n9223372036854775807 1\n1 1\n",
		"0S\n5 0\n" };
	struct maildir_usage u;

	(void)state;
	assert_true(maildir_usage_parse(SLICE_LIT("0S\n"), &u));
	assert_int_equal(u.bytes, 0);
	assert_true(maildir_usage_parse(
	    SLICE_LIT("1000S\n  100 2\n-50    -1   \n"), &u));
	assert_int_equal(u.bytes, 50);
	assert_int_equal(u.messages, 1);
	for (size_t i = 0; i < ARRAY_LEN(damaged); i++)
		assert_false(maildir_usage_parse(slice_str(damaged[i]), &u));
}

/* --- rows of the threat catalogue ---------------------------------------------- */

enum {
	J01_PROCESSES = 16,
	J01_THREADS = 8,
	J01_EACH = 16,
	J04_MESSAGES = 60
};

static void *
deliver_many(void *arg)
{
	const struct maildir *m = arg;
	struct iovec piece = { (void *)(uintptr_t) "x\n", 2 };
	struct err e;

	for (int i = 0; i < J01_EACH; i++) {
		char id[ID_SIZE], name[MAILDIR_NAME_SIZE];

		id_new_at(1700000000000, id); /* the clock stands still */
		maildir_delivery_name(id, 0, "host", 2, 3, name);
		if (maildir_write_tmp(m, name, &piece, 1, &e) != 0 ||
		    maildir_publish(m, name, &e) != 0)
			abort();
	}
	return NULL;
}

static void
test_j01_names_are_unique(void **state)
{
	struct maildir m;
	int status;

	(void)state;
	open_box("d/j01", &m);
	for (int p = 0; p < J01_PROCESSES; p++) {
		pthread_t threads[J01_THREADS];

		if (fork() != 0)
			continue;
		for (int t = 0; t < J01_THREADS; t++)
			(void)pthread_create(
			    &threads[t], NULL, deliver_many, &m);
		for (int t = 0; t < J01_THREADS; t++)
			(void)pthread_join(threads[t], NULL);
		_exit(0);
	}
	for (int p = 0; p < J01_PROCESSES; p++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count(&m), J01_PROCESSES * J01_THREADS * J01_EACH);
	maildir_close(&m);
}

struct race {
	struct maildir m, to;
	atomic_int removed, moved;
};

static void
race_name(int i, char out[MAILDIR_NAME_SIZE])
{
	(void)snprintf(out, MAILDIR_NAME_SIZE, "%d.r.h,S=2,W=3", i);
}

static void *
remove_all(void *arg)
{
	struct race *r = arg;
	char name[MAILDIR_NAME_SIZE];
	struct err e;

	for (int i = 0; i < J04_MESSAGES; i++) {
		race_name(i, name);
		if (maildir_remove(&r->m, name, &e) == 0)
			atomic_fetch_add(&r->removed, 1);
		else if (e.kind != ERR_PERM)
			abort();
	}
	return NULL;
}

static void *
move_all(void *arg)
{
	struct race *r = arg;
	char name[MAILDIR_NAME_SIZE], out[MAILDIR_NAME_SIZE];
	struct err e;

	for (int i = 0; i < J04_MESSAGES; i++) {
		race_name(i, name);
		if (maildir_move(&r->m, &r->to, name, out, &e) == 0)
			atomic_fetch_add(&r->moved, 1);
		else if (e.kind != ERR_PERM)
			abort();
	}
	return NULL;
}

static void *
move_to_and_fro(void *arg)
{
	struct race *r = arg;
	char out[MAILDIR_NAME_SIZE];
	struct err e;

	for (int i = 0; i < 2 * J04_MESSAGES; i++) {
		const struct maildir *from = i % 2 == 0 ? &r->m : &r->to;
		const struct maildir *to = i % 2 == 0 ? &r->to : &r->m;

		if (maildir_move(from, to, "1.a.h", out, &e) != 0)
			abort();
	}
	atomic_store(&r->moved, 1);
	return NULL;
}

/* Whenever it is stopped, there are not two of it. */
static void
test_a_move_is_one_step(void **state)
{
	struct race r = { .moved = 0 };
	pthread_t thread;
	struct err e;
	int doubled = 0;

	(void)state;
	open_box("d/step", &r.m);
	assert_int_equal(maildir_folder_create(&r.m, ".Trash", &e), 0);
	assert_int_equal(maildir_open_sub(&r.m, ".Trash", &r.to, &e), 0);
	put(r.m.cur_fd, "1.a.h", "hello\n");
	assert_int_equal(pthread_create(&thread, NULL, move_to_and_fro, &r), 0);
	while (atomic_load(&r.moved) == 0) {
		struct stat st;

		if (fstatat(r.m.cur_fd, "1.a.h", &st, 0) == 0)
			doubled += st.st_nlink > 1;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(doubled, 0);
	maildir_close(&r.to);
	maildir_close(&r.m);
}

/* Two delete while two move: each message has one winner. */
static void
test_j04_one_wins(void **state)
{
	void *(*const work[])(
	    void *) = { remove_all, move_all, remove_all, move_all };
	pthread_t threads[ARRAY_LEN(work)] = { 0 };
	struct race r = { .removed = 0 };
	char name[MAILDIR_NAME_SIZE];
	struct err e;

	(void)state;
	open_box("d/j04", &r.m);
	assert_int_equal(maildir_folder_create(&r.m, ".Trash", &e), 0);
	assert_int_equal(maildir_open_sub(&r.m, ".Trash", &r.to, &e), 0);
	put(r.m.new_fd, "9999.other.h", "stays\n");
	for (int i = 0; i < J04_MESSAGES; i++) {
		race_name(i, name);
		put(i % 2 ? r.m.new_fd : r.m.cur_fd, name, "x\n");
	}
	for (size_t i = 0; i < ARRAY_LEN(work); i++)
		(void)pthread_create(&threads[i], NULL, work[i], &r);
	for (size_t i = 0; i < ARRAY_LEN(work); i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(r.removed + r.moved, J04_MESSAGES);
	assert_int_equal(count(&r.to), r.moved);
	assert_int_equal(count(&r.m), 1);
	maildir_close(&r.to);
	maildir_close(&r.m);
}

static void
test_j02_strange_files(void **state)
{
	char longest[256];
	struct maildir_snapshot s;
	struct maildir m;
	struct err e;
	int fd;

	(void)state;
	open_box("d/j02", &m);
	memset(longest, 'l', 255);
	longest[255] = '\0';
	put(m.cur_fd, longest, "long\n");
	put(m.cur_fd, "1.a:2,S", "ours\n");
	put(m.cur_fd, "2.b", "no info\n");
	put(m.cur_fd, "3.c:1,x", "other info\n");
	put(m.cur_fd, "4.d:2,ZzS", "unknown flags\n");
	put(m.cur_fd, ".hidden", "dot\n");
	assert_int_equal(mkdirat(m.cur_fd, "5.directory", 0700), 0);
	assert_int_equal(symlinkat("/etc/passwd", m.cur_fd, "6.link"), 0);
	assert_int_equal(mkfifoat(m.cur_fd, "7.fifo", 0600), 0);
	if (geteuid() == 0)
		assert_int_equal(
		    mknodat(m.cur_fd, "8.zero", S_IFCHR | 0600, makedev(1, 5)),
		    0);
	assert_int_equal(maildir_snapshot_take(&m, &s, &e), 0);
	assert_int_equal(s.count, 5);
	assert_int_equal(s.wire_total, 6 + 6 + 9 + 12 + 15);
	maildir_snapshot_release(&s);
	assert_int_equal(maildir_open_message(&m, "6.link", &fd, &e), -1);
	assert_int_equal(maildir_open_message(&m, "7.fifo", &fd, &e), -1);
	assert_int_equal(maildir_open_message(&m, "5.directory", &fd, &e), -1);
	assert_int_equal(maildir_open_message(&m, "8.zero", &fd, &e), -1);
	assert_int_equal(
	    maildir_open_message(&m, "../../d/j02/cur/2.b", &fd, &e), -1);
	maildir_close(&m);
}

/* Foreign sizes are measured once; the cache may vanish or be nonsense. */
static void
test_sizes_are_remembered(void **state)
{
	static const char *const caches[] = { NULL, "",
		"mailstead-sizes 1\nnonsense\n99 x 1.a\n",
		"mailstead-sizes 2\n1 1 1.a\n" };
	struct maildir_list l;
	struct maildir m;
	struct err e;

	(void)state;
	open_box("d/sizes", &m);
	put(m.new_fd, "1.a", "one\n");
	put(m.new_fd, "2.b", "two\r\nlines\n");
	put(m.cur_fd, "3.c:2,S", "no end");
	for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
		if (caches[i] != NULL)
			put(m.root_fd, "mailstead-sizes", caches[i]);
		assert_int_equal(maildir_list(&m, &l, &e), 0);
		assert_int_equal(l.count, 3);
		assert_int_equal(l.items[0].size, 4);
		assert_int_equal(l.items[0].wire_size, 5);
		assert_int_equal(l.items[1].wire_size, 12);
		assert_int_equal(l.items[2].wire_size, 8);
		maildir_list_release(&l);
	}
	/* known now: the file is not read any more */
	assert_int_equal(unlinkat(m.new_fd, "1.a", 0), 0);
	put(m.new_fd, "1.a", "something longer\n");
	assert_int_equal(maildir_list(&m, &l, &e), 0);
	assert_int_equal(l.items[0].size, 4);
	maildir_list_release(&l);
	maildir_close(&m);
}

static void
test_j13_not_ours(void **state)
{
	struct maildir m;
	struct err e;

	(void)state;
	open_box("d/j13", &m);
	assert_int_equal(fchmod(m.root_fd, 0777), 0);
	maildir_close(&m);
	assert_int_equal(maildir_open(root, "d/j13", "", true, &m, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(symlinkat("j13", root, "d/link"), 0);
	assert_int_equal(maildir_open(root, "d/link", "", true, &m, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	if (geteuid() != 0)
		return;
	open_box("d/theirs", &m);
	assert_int_equal(fchown(m.root_fd, 12345, 12345), 0);
	maildir_close(&m);
	assert_int_equal(maildir_open(root, "d/theirs", "", true, &m, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_j15_folder_names),
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_move_copy),
		cmocka_unit_test(test_I10_stale_files),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_usage_text),
		cmocka_unit_test(test_j01_names_are_unique),
		cmocka_unit_test(test_j04_one_wins),
		cmocka_unit_test(test_a_move_is_one_step),
		cmocka_unit_test(test_j02_strange_files),
		cmocka_unit_test(test_sizes_are_remembered),
		cmocka_unit_test(test_j13_not_ours),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
