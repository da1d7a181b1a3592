/*
 * Checking a mailbox and putting right what can be: sizes told by names, two
 * files of one name, what is no file, tmp/ and the sum in maildirsize.
 *
 * A message is never changed or removed.  Repairing beside a running server is
 * fine: a name is corrected by a rename, which readers follow as any other.
 *
 * Runs in the command line.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#include "maildir/internal.h"
#include "maildir/maildir.h"
#include "maildir/name.h"
#include "maildir/sizes.h"

struct check {
	const struct maildir_check_rules *rules;
	const char *folder; /* "" = the inbox */
	const char *part;
	int dirfd;
	size_t seen; /* names that may be messages */
	size_t found;
};

static void PRINTF_LIKE(2, 3) report(struct check *c, const char *fmt, ...)
{
	char what[512], line[900];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	(void)snprintf(line, sizeof(line), "%s%s%s", c->folder,
	    c->folder[0] != '\0' ? ": " : "", what);
	c->found++;
	c->rules->found(c->rules->arg, line);
}

/* The name with the sizes the file has, everything else as it was. */
static bool
corrected_name(
    const char *name, uint64_t size, uint64_t wire, char out[MAILDIR_NAME_SIZE])
{
	struct slice base = maildir_base_name(name), rest = base, field;
	struct buf b;
	bool fits;

	buf_init(&b, MAILDIR_NAME_SIZE);
	rest = slice_cut(rest, ',', &field);
	buf_addslice(&b, field);
	while (rest.data != NULL) {
		rest = slice_cut(rest, ',', &field);
		if (!slice_starts(field, "S=") && !slice_starts(field, "W="))
			buf_addf(&b, ",%.*s", SLICE_ARGS(field));
	}
	buf_addf(
	    &b, ",S=%" PRIu64 ",W=%" PRIu64 "%s", size, wire, name + base.len);
	fits = !buf_overflowed(&b) && b.len < MAILDIR_NAME_SIZE;
	if (fits)
		memcpy(out, b.data, b.len + 1);
	buf_release(&b);
	return fits;
}

/* Give a file the name its contents ask for. */
static bool
rename_by_size(struct check *c, const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	char better[MAILDIR_NAME_SIZE];
	uint64_t size, wire;
	struct err e;
	bool done;
	int fd = openat(c->dirfd, name, flags);

	if (fd < 0)
		return false;
	/* link and unlink: a rename would replace a file of that name */
	done = sizes_measure(fd, &size, &wire, &e) == 0 &&
	    corrected_name(name, size, wire, better) &&
	    linkat(c->dirfd, name, c->dirfd, better, 0) == 0 &&
	    unlinkat(c->dirfd, name, 0) == 0;
	(void)close(fd);
	return done;
}

static bool
check_entry(void *arg, const char *name, unsigned char type)
{
	struct check *c = arg;
	struct maildir_entry entry;
	struct stat st;

	(void)type;
	if (name[0] == '.' ||
	    fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return true;
	if (!S_ISREG(st.st_mode)) {
		report(c, "%s/%s is not a file", c->part, name);
		return true;
	}
	c->seen++;
	if ((maildir_parse_name(name, &entry) & MAILDIR_NO_SIZE) != 0 ||
	    entry.size == (uint64_t)st.st_size)
		return true;
	report(c, "%s/%s has %" PRIu64 " bytes%s", c->part, name,
	    (uint64_t)st.st_size,
	    c->rules->repair && rename_by_size(c, name) ? ": renamed" : "");
	return true;
}

static int
check_part(struct check *c, const char *part, int dirfd, struct err *e)
{
	c->part = part;
	c->dirfd = dirfd;
	return maildir_walk_any(dirfd, check_entry, c, e);
}

static int
check_folder(struct check *c, const struct maildir *m, struct err *e)
{
	struct maildir_list list;
	size_t removed = 0;

	c->seen = 0;
	if (check_part(c, "new", m->new_fd, e) != 0 ||
	    check_part(c, "cur", m->cur_fd, e) != 0 ||
	    maildir_list(m, &list, e) != 0)
		return -1;
	if (list.count < c->seen)
		report(c, "%zu files share a name with another",
		    c->seen - list.count);
	maildir_list_release(&list);
	if (!c->rules->repair)
		return 0;
	if (maildir_clean_tmp(m, clock_wall_ms(), &removed, e) != 0)
		return -1;
	if (removed > 0)
		report(c, "tmp: %zu stale files removed", removed);
	return 0;
}

/* Is what maildirsize says what there is?  No file says nothing wrong. */
static int
check_usage(struct check *c, const struct maildir *root, struct err *e)
{
	struct maildir_usage told, real;
	struct buf text;
	struct err why;
	bool is_there, good;

	buf_init(&text, 8192);
	is_there = file_read(root->root_fd, "maildirsize", &text, &why) == 0;
	good = is_there && maildir_usage_parse(buf_slice(&text), &told);
	buf_release(&text);
	if (!is_there)
		return 0;
	if (maildir_usage_count(root, &real, e) != 0)
		return -1;
	if (good && told.bytes == real.bytes && told.messages == real.messages)
		return 0;
	c->folder = "";
	report(c, "maildirsize is %s", good ? "wrong" : "damaged");
	return c->rules->repair ? maildir_usage_recount(root, &real, e) : 0;
}

int
maildir_check(const struct maildir *root,
    const struct maildir_check_rules *rules, size_t *found_out, struct err *e)
{
	struct check c = { .rules = rules, .folder = "" };
	struct maildir_folders folders;
	struct maildir m;
	struct err why;
	int rc = check_folder(&c, root, e);

	if (rc != 0 || maildir_folder_list(root, &folders, e) != 0)
		return -1;
	for (size_t i = 0; i < folders.count && rc == 0; i++) {
		c.folder = folders.items[i].name;
		if (maildir_open_sub(root, folders.items[i].dir, &m, &why) !=
		    0) {
			report(&c, "%s", why.text);
			continue;
		}
		rc = check_folder(&c, &m, e);
		maildir_close(&m);
	}
	maildir_folders_release(&folders);
	if (rc == 0)
		rc = check_usage(&c, root, e);
	*found_out = c.found;
	return rc;
}
