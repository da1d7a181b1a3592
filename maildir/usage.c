/*
 * What a mailbox holds: the file maildirsize of Maildir++.
 *
 * Its first line belongs to whoever sets quotas ("<n>S,<n>C"; ours lie in the
 * directory, so we write "0S" and keep what others wrote); each further line
 * is "<bytes> <messages>" to be added up, negative for what went.  Lines are
 * appended whole with one write, so programs need no lock; when the file is
 * longer than 5120 bytes, or the sum is impossible, it is counted anew and
 * replaced.  A crash between a message and its line makes the sum wrong until
 * the next count: the Maildir is the truth.
 *
 * Any thread.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/id.h"
#include "base/num.h"

#include "maildir/internal.h"
#include "maildir/maildir.h"

#define USAGE_NAME "maildirsize"

enum {
	USAGE_MAX = 5120,
	LINE_SIZE = 64
};

/* One "<bytes> <messages>"; blanks around the numbers are allowed. */
static bool
add_line(struct slice line, int64_t *bytes, int64_t *messages)
{
	struct slice first;
	int64_t b, m;

	line = slice_trim(slice_cut(slice_trim(line), ' ', &first));
	return num_parse_signed(first, INT64_MIN, INT64_MAX, &b) &&
	    num_parse_signed(line, INT64_MIN, INT64_MAX, &m) &&
	    !__builtin_add_overflow(*bytes, b, bytes) &&
	    !__builtin_add_overflow(*messages, m, messages);
}

bool
maildir_usage_parse(struct slice text, struct maildir_usage *out)
{
	int64_t bytes = 0, messages = 0;
	struct slice line;
	struct slice rest = slice_cut(text, '\n', &line);

	if (text.len == 0 || rest.data == NULL || !slice_ends(text, "\n"))
		return false;
	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		if (!add_line(line, &bytes, &messages))
			return false;
	}
	if (bytes < 0 || messages < 0 || (messages == 0 && bytes != 0))
		return false;
	out->bytes = (uint64_t)bytes;
	out->messages = (uint64_t)messages;
	return true;
}

/* One folder's messages. */
static int
count_folder(const struct maildir *m, struct maildir_usage *sum, struct err *e)
{
	struct maildir_list list;

	if (maildir_list(m, &list, e) != 0)
		return -1;
	for (size_t i = 0; i < list.count; i++)
		sum->bytes += list.items[i].size;
	sum->messages += list.count;
	maildir_list_release(&list);
	return 0;
}

int
maildir_usage_count(
    const struct maildir *root, struct maildir_usage *out, struct err *e)
{
	struct maildir_usage sum = { 0, 0 };
	struct maildir_folders folders;
	int rc = count_folder(root, &sum, e);

	if (rc != 0 || maildir_folder_list(root, &folders, e) != 0)
		return -1;
	for (size_t i = 0; i < folders.count && rc == 0; i++) {
		struct maildir m;
		struct err why;

		/* One that goes away meanwhile, or is no Maildir of ours. */
		if (maildir_open_sub(root, folders.items[i].dir, &m, &why) != 0)
			continue;
		rc = count_folder(&m, &sum, e);
		maildir_close(&m);
	}
	maildir_folders_release(&folders);
	if (rc == 0)
		*out = sum;
	return rc;
}

/* The first line as it is, or ours. */
static void
keep_header(const struct maildir *root, struct buf *out)
{
	struct slice line = SLICE_LIT("0S");
	struct buf old;
	struct err e;

	buf_init(&old, 2 * (size_t)USAGE_MAX);
	if (file_read(root->root_fd, USAGE_NAME, &old, &e) == 0 &&
	    slice_chr(buf_slice(&old), '\n') > 0)
		(void)slice_cut(buf_slice(&old), '\n', &line);
	buf_addslice(out, line);
	buf_addc(out, '\n');
	buf_release(&old);
}

static int
write_usage(
    const struct maildir *root, const struct maildir_usage *u, struct err *e)
{
	char id[ID_SIZE], tmp[ID_SIZE + 16];
	struct buf text;
	int fd, rc = 0;

	buf_init(&text, USAGE_MAX);
	keep_header(root, &text);
	buf_addf(&text, "%llu %llu\n", (unsigned long long)u->bytes,
	    (unsigned long long)u->messages);
	id_new(id);
	(void)snprintf(tmp, sizeof(tmp), "%s.usage", id);
	fd = openat(root->tmp_fd, tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    MAILDIR_FILE_MODE);
	if (fd < 0) {
		buf_release(&text);
		return err_errno(e, USAGE_NAME);
	}
	if (buf_overflowed(&text) ||
	    file_write_all(fd, text.data, text.len) != 0)
		rc = -1;
	if (close(fd) != 0)
		rc = -1;
	if (rc != 0 ||
	    renameat(root->tmp_fd, tmp, root->root_fd, USAGE_NAME) != 0) {
		rc = err_errno(e, USAGE_NAME);
		(void)unlinkat(root->tmp_fd, tmp, 0);
	}
	buf_release(&text);
	return rc;
}

int
maildir_usage_recount(
    const struct maildir *root, struct maildir_usage *out, struct err *e)
{
	struct maildir_usage sum;

	if (maildir_usage_count(root, &sum, e) != 0 ||
	    write_usage(root, &sum, e) != 0)
		return -1;
	*out = sum;
	return 0;
}

int
maildir_usage_add(
    const struct maildir *root, int64_t bytes, int64_t messages, struct err *e)
{
	char line[LINE_SIZE];
	int fd, n, rc;

	fd = openat(root->root_fd, USAGE_NAME,
	    O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, USAGE_NAME);
	n = snprintf(line, sizeof(line), "%lld %lld\n", (long long)bytes,
	    (long long)messages);
	rc = file_write_all(fd, line, (size_t)n);
	if (rc != 0)
		(void)err_errno(e, USAGE_NAME);
	(void)close(fd);
	return rc;
}
