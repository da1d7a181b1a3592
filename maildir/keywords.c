/*
 * Keywords (labels) in a Maildir, as Dovecot has them: a message's name has
 * letters a to z behind its flags, and the file `dovecot-keywords` of each
 * folder says in lines "0 $label1" which letter means what.  A folder has 26
 * at most.
 *
 * The file is replaced under `dovecot-keywords.lock`, which Dovecot takes too.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"

#include "maildir/index_internal.h"
#include "maildir/internal.h"

#define FILE_NAME "dovecot-keywords"
#define LOCK_NAME FILE_NAME ".lock"

enum {
	LETTERS = 26,
	FILE_MAX = 16 * 1024,
	LOCK_TRIES = 200,
	LOCK_PAUSE_MS = 10,
	LOCK_STALE_S = 60,
	KEYWORD_MAX = 100,
};

const char *
keywords_read(const struct maildir *m, struct pool *pool)
{
	const char *text = "";
	struct buf b;
	struct err e;

	buf_init(&b, FILE_MAX);
	if (file_read(m->root_fd, FILE_NAME, &b, &e) == 0)
		text = pool_strndup(pool, b.data, b.len);
	buf_release(&b);
	return text;
}

/* The next line's letter and keyword; false at the end. */
static bool
next_line(struct slice *rest, uint64_t *letter_out, struct slice *name_out)
{
	struct slice line, number;

	while (rest->len > 0) {
		*rest = slice_cut(*rest, '\n', &line);
		*name_out = slice_cut(line, ' ', &number);
		if (num_parse(number, LETTERS - 1, letter_out) &&
		    name_out->len > 0 && name_out->len <= KEYWORD_MAX)
			return true;
	}
	return false;
}

int
keywords_of_name(struct index *x, const struct index_dir *d, const char *name,
    uint64_t *out, struct err *e)
{
	const char *info = strchr(name, ':');
	struct slice rest = slice_str(d->letters), keyword;
	uint64_t letter;

	*out = 0;
	if (info == NULL || strncmp(info, ":2,", 3) != 0)
		return 0;
	while (next_line(&rest, &letter, &keyword)) {
		char text[KEYWORD_MAX + 1];
		int bit;

		if (strchr(info + 3, (char)('a' + letter)) == NULL ||
		    !slice_copy(keyword, text, sizeof(text)))
			continue;
		if (index_keyword_bit(x, text, &bit, e) != 0)
			return -1;
		if (bit >= 0)
			*out |= UINT64_C(1) << bit;
	}
	return 0;
}

static int
lock(const struct maildir *m, struct err *e)
{
	const struct timespec pause = { 0, LOCK_PAUSE_MS * 1000000L };
	struct stat st;

	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = openat(m->root_fd, LOCK_NAME,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MAILDIR_FILE_MODE);

		if (fd >= 0) {
			(void)close(fd);
			return 0;
		}
		if (errno != EEXIST)
			return err_errno(e, LOCK_NAME);
		if (fstatat(m->root_fd, LOCK_NAME, &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    st.st_mtim.tv_sec + LOCK_STALE_S < clock_wall_ms() / 1000)
			(void)unlinkat(m->root_fd, LOCK_NAME, 0);
		(void)nanosleep(&pause, NULL);
	}
	return err_set(e, ERR_TEMP, LOCK_NAME ": held by another program");
}

/* The letter of a keyword in `text`, or the first free one; LETTERS: full. */
static uint64_t
choose_letter(const char *text, const char *keyword, bool *known_out)
{
	struct slice rest = slice_str(text), name;
	uint32_t used = 0;
	uint64_t letter;

	*known_out = true;
	while (next_line(&rest, &letter, &name)) {
		if (slice_eq_str(name, keyword))
			return letter;
		used |= UINT32_C(1) << letter;
	}
	*known_out = false;
	for (letter = 0; letter < LETTERS && (used >> letter & 1) != 0;)
		letter++;
	return letter;
}

static int
add_line(struct index *x, const struct maildir *m, const char *text,
    uint64_t letter, const char *keyword, const char **text_out, struct err *e)
{
	const char *now = pool_printf(&x->pool, "%s%s%u %s\n", text,
	    text[0] != '\0' && text[strlen(text) - 1] != '\n' ? "\n" : "",
	    (unsigned)letter, keyword);

	*text_out = now;
	return file_replace(
	    m->root_fd, FILE_NAME, MAILDIR_FILE_MODE, now, strlen(now), e);
}

int
keywords_letter(struct index *x, struct index_dir *d, const struct maildir *m,
    const char *keyword, unsigned *out, struct err *e)
{
	uint64_t letter;
	bool known;
	int rc = 0;

	letter = choose_letter(d->letters, keyword, &known);
	if (!known) {
		if (lock(m, e) != 0)
			return -1;
		d->letters = keywords_read(m, &x->pool);
		d->dirty = true;
		letter = choose_letter(d->letters, keyword, &known);
		if (!known && letter < LETTERS)
			rc = add_line(
			    x, m, d->letters, letter, keyword, &d->letters, e);
		(void)unlinkat(m->root_fd, LOCK_NAME, 0);
	}
	if (rc != 0)
		return -1;
	if (letter >= LETTERS)
		return err_set(e, ERR_PERM, "the folder has 26 labels already");
	*out = (unsigned)letter;
	return 0;
}
