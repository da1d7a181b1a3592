/*
 * `mailstead backup`: a consistent copy of the whole state directory while
 * the server runs; see backup.h for its form and tree.h for how files go.
 *
 * Order is what makes it consistent: mail moves from the spool to mailboxes,
 * so the spool is copied first and a message on its way is in the copy twice
 * rather than never.  Inside the spool mail moves from the journal to files
 * and between deferred and hold, so: first the marks of what is finished (what
 * is finished later counts as waiting), bodies, journal, bodies again, then
 * files, hold twice.  What is there twice is one by its id, and a restored
 * spool is held (restore.c).
 */
#include "mailstead/backup.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"

#include "maildir/maildir.h"

#include "mailstead/tree.h"

enum {
	COPIES_MAX = 10000,
	NAME_LEN = 19,
	NAME_SIZE = NAME_LEN + 1,
};

const char *const backup_parts[] = {
	"mailstead.conf",
	"spool/spool.id",
	"spool/settled.log",
	"spool/large",
	"spool/journal",
	"spool/large",
	"spool/hold",
	"spool/deferred",
	"spool/hold",
	"spool/corrupt",
	"directory/directory.db",
	"directory",
	"users",
	"lists",
	"domains",
	"web",
	"tls",
	"log",
	NULL,
};

struct backup {
	const char *path; /* of the directory of copies */
	int fd;
	char last[NAME_SIZE]; /* the newest copy; "" = none */
	char name[NAME_SIZE]; /* of the one being made */
	char *partial;        /* its path meanwhile */
	struct tree state, mail;
};

/* 20261129T034000123Z: when it was begun */
static bool
is_copy_name(const char *name)
{
	return strlen(name) == NAME_LEN &&
	    strspn(name, "0123456789TZ") == NAME_LEN && name[8] == 'T' &&
	    name[NAME_LEN - 1] == 'Z';
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Names of the copies, oldest first; -1 with errno. */
static ssize_t
list_copies(int fd, char (**out)[NAME_SIZE])
{
	DIR *dir = file_list(fd, ".");
	const char *name;
	size_t count = 0;

	if (dir == NULL)
		return -1;
	*out = mem_alloc(COPIES_MAX * sizeof(**out));
	while ((name = file_list_next(dir)) != NULL && count < COPIES_MAX) {
		if (is_copy_name(name))
			memcpy((*out)[count++], name, NAME_SIZE);
	}
	file_list_end(dir);
	qsort(*out, count, sizeof(**out), compare_names);
	return (ssize_t)count;
}

static int
open_backup(struct backup *b, struct err *e)
{
	char(*names)[NAME_SIZE] = NULL;
	ssize_t count;

	if (mkdir(b->path, 0700) != 0 && errno != EEXIST)
		return err_errno(e, "%s", b->path);
	b->fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->fd < 0)
		return err_errno(e, "%s", b->path);
	if (flock(b->fd, LOCK_EX | LOCK_NB) != 0)
		return err_set(
		    e, ERR_TEMP, "%s: a backup is being made there", b->path);
	if ((count = list_copies(b->fd, &names)) < 0)
		return err_errno(e, "%s", b->path);
	if (count > 0)
		memcpy(b->last, names[count - 1], NAME_SIZE);
	free(names);
	if (faccessat(b->fd, ".partial", F_OK, 0) == 0 &&
	    maildir_remove_tree(b->fd, ".partial", e) != 0)
		return -1;
	return file_mkdir(b->fd, ".partial", 0700, e);
}

static int
open_roots(struct backup *b, struct cli *c, struct err *e)
{
	char path[64];

	b->state.from_path = c->config.state_dir;
	b->partial = mem_printf("%s/.partial", b->path);
	b->state.to_path = b->partial;
	b->state.from =
	    open(c->config.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->state.to =
	    openat(b->fd, ".partial", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->mail = b->state;
	b->mail.from_path = c->config.mail_root;
	b->mail.from =
	    open(c->config.mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->state.from < 0 || b->state.to < 0 || b->mail.from < 0)
		return err_errno(e, "%s", c->config.state_dir);
	if (file_mkdir(b->state.to, "mail", 0700, e) != 0)
		return -1;
	b->mail.to =
	    openat(b->state.to, "mail", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->state.prev = b->mail.prev = -1;
	if (b->last[0] != '\0') {
		b->state.prev =
		    openat(b->fd, b->last, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)snprintf(path, sizeof(path), "%s/mail", b->last);
		b->mail.prev =
		    openat(b->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return b->mail.to < 0 ? err_errno(e, "mail") : 0;
}

static int
copy_all(struct backup *b, struct err *e)
{
	int prev = b->state.prev;

	for (size_t i = 0; backup_parts[i] != NULL; i++) {
		/* a segment is written in place: never a link */
		b->state.prev =
		    strncmp(backup_parts[i], "spool/", 6) == 0 ? -1 : prev;
		if (tree_copy(&b->state, backup_parts[i], e) != 0)
			return -1;
	}
	b->state.prev = prev;
	return tree_copy(&b->mail, ".", e);
}

static json_t *
describe(const struct backup *b, int64_t started_ms)
{
	json_int_t files =
	    (json_int_t)b->state.files + (json_int_t)b->mail.files;
	json_int_t bytes =
	    (json_int_t)b->state.bytes + (json_int_t)b->mail.bytes;
	json_int_t linked =
	    (json_int_t)b->state.linked + (json_int_t)b->mail.linked;
	char when[CLOCK_RFC3339_SIZE];

	clock_rfc3339(started_ms, when);
	return json_pack("{s:i,s:s,s:s,s:f,s:I,s:I,s:I}", "format",
	    BACKUP_FORMAT, "version", MAILSTEAD_VERSION, "made_at", when,
	    "seconds", (double)(clock_wall_ms() - started_ms) / 1000.0, "files",
	    files, "bytes", bytes, "linked", linked);
}

/* The note makes it a copy, the name a complete one. */
static int
finish(struct backup *b, json_t *note, struct err *e)
{
	char *text = json_dumps(note, JSON_INDENT(2));
	int rc =
	    file_replace(b->state.to, BACKUP_NOTE, 0600, text, strlen(text), e);

	free(text);
	if (rc != 0)
		return -1;
	if (syncfs(b->fd) != 0 ||
	    renameat(b->fd, ".partial", b->fd, b->name) != 0 ||
	    fsync(b->fd) != 0)
		return err_errno(e, "%s/%s", b->path, b->name);
	return 0;
}

static int
remove_old(struct backup *b, uint64_t keep, struct err *e)
{
	char(*names)[NAME_SIZE] = NULL;
	ssize_t count = list_copies(b->fd, &names);
	int rc = count < 0 ? err_errno(e, "%s", b->path) : 0;

	for (ssize_t i = 0; rc == 0 && i + (ssize_t)keep < count; i++)
		rc = maildir_remove_tree(b->fd, names[i], e);
	free(names);
	return rc;
}

/* For `mailstead status`, the pages and the watch; not worth failing. */
static void
tell(struct cli *c, const struct backup *b, json_t *note)
{
	char path[CONFIG_PATH_SIZE * 2], *full = realpath(b->path, NULL);
	char *text;
	struct err e;

	json_object_set_new(note, "directory", json_string(full));
	json_object_set_new(note, "name", json_string(b->name));
	text = json_dumps(note, JSON_INDENT(2));
	if (config_path(&c->config, path, sizeof(path), &e, "run/%s",
		BACKUP_NOTE) == 0 &&
	    file_replace(AT_FDCWD, path, 0644, text, strlen(text), &e) != 0)
		fprintf(stderr, "mailstead: %s\n", e.text);
	free(text);
	free(full);
}

static void
release(struct backup *b)
{
	const int fds[] = { b->state.from, b->state.to, b->state.prev,
		b->mail.from, b->mail.to, b->mail.prev, b->fd };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] > 0)
			(void)close(fds[i]);
	}
	tree_release(&b->state);
	tree_release(&b->mail);
	free(b->partial);
}

static int
make(struct cli *c, struct backup *b, uint64_t keep, json_t **note_out,
    struct err *e)
{
	int64_t started = clock_wall_ms();
	char when[CLOCK_RFC3339_SIZE];
	size_t n = 0;

	clock_rfc3339(started, when);
	for (const char *p = when; *p != '\0' && n < NAME_LEN; p++) {
		if (strchr("-:.", *p) == NULL)
			b->name[n++] = *p;
	}
	if (open_backup(b, e) != 0 || open_roots(b, c, e) != 0)
		return -1;
	if (strcmp(b->name, b->last) == 0)
		return err_set(e, ERR_TEMP, "a copy was made just now");
	if (copy_all(b, e) != 0)
		return -1;
	*note_out = describe(b, started);
	if (finish(b, *note_out, e) != 0)
		return -1;
	tell(c, b, *note_out);
	return keep > 0 ? remove_old(b, keep, e) : 0;
}

int
command_backup(struct cli *c)
{
	const char *keep_text = cli_option(c, "--keep");
	struct backup b = { .path = cli_argument(c), .fd = -1 };
	json_t *note = NULL;
	uint64_t keep = 0;
	struct err e;
	int rc;

	if (b.path == NULL)
		return cli_usage("backup DIRECTORY [--keep N]");
	if (keep_text != NULL &&
	    !num_parse(slice_str(keep_text), COPIES_MAX, &keep))
		return cli_usage("--keep %s is not a number", keep_text);
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	umask(077);
	rc = make(c, &b, keep, &note, &e);
	/* what could not be finished shall not fill the disk meanwhile */
	struct err ignored;
	if (rc != 0 && b.partial != NULL &&
	    faccessat(b.fd, ".partial", F_OK, 0) == 0 &&
	    maildir_remove_tree(b.fd, ".partial", &ignored) != 0)
		log_warning("%s", ignored.text);
	if (rc == 0 && c->json)
		cli_print_json(note);
	else if (rc == 0)
		printf("%s/%s: %" PRIu64 " files, %" PRIu64
		       " of them unchanged\n",
		    b.path, b.name, b.state.files + b.mail.files,
		    b.state.linked + b.mail.linked);
	json_decref(note);
	release(&b);
	return rc == 0 ? CLI_DONE : cli_fail(&e);
}
