/*
 * The bootstrap file.  Read once at the start of a program, before it has
 * threads; everything else a person can change is a setting in the directory
 * (settings.c).
 *
 * Invariant: an unknown key, a value that does not fit or a relative path is
 * an error with file and line, never a silent default.
 */
#include "directory/config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/slice.h"

#define INSTALLED_FILE "/etc/mailstead/mailstead.conf"
#define DEFAULT_STATE  "/var/lib/mailstead"

struct key {
	const char *section, *name;
	size_t offset, size;
	bool is_path;
};

#define KEY(section, name, member, is_path)                       \
	{                                                         \
		section, name, offsetof(struct config, member),   \
		    sizeof(((struct config *)0)->member), is_path \
	}

static const struct key keys[] = {
	KEY("mailstead", "state", state_dir, true),
	KEY("mailstead", "mail_root", mail_root, true),
	KEY("users", "mta", user_mta, false),
	KEY("users", "queue", user_queue, false),
	KEY("users", "pop", user_pop, false),
	KEY("users", "auth", user_auth, false),
	KEY("users", "web", user_web, false),
	KEY("users", "admin", user_admin, false),
	KEY("users", "parse", user_parse, false),
};

struct reading {
	struct config *config;
	char problem[128];
};

static int
fail(struct reading *r, const char *problem, const char *what)
{
	snprintf(r->problem, sizeof(r->problem), "%s '%s'", problem, what);
	return 0;
}

/* inih's handler: 1 = good; 0 makes ini_parse() report this line. */
static int
take(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct key *k = &keys[i];

		if (strcmp(section, k->section) != 0 ||
		    strcmp(name, k->name) != 0)
			continue;
		if (strlen(value) >= k->size)
			return fail(r, "value too long for", name);
		if (k->is_path && value[0] != '/')
			return fail(r, "not an absolute path:", value);
		memcpy((char *)r->config + k->offset, value, strlen(value) + 1);
		return 1;
	}
	return fail(r, "unknown key", name);
}

/* 1 = read, 0 = there is none, -1 = error. */
static int
read_file(const char *path, struct config *c, struct err *e)
{
	struct reading r = { .config = c };
	FILE *f = fopen(path, "re");
	int line;

	if (f == NULL && errno == ENOENT)
		return 0;
	if (f == NULL) {
		err_errno(e, "%s", path);
		e->kind = ERR_PERM;
		return -1;
	}
	if (file_check_mode(path, S_IWOTH, e) != 0) {
		fclose(f);
		return -1;
	}
	line = ini_parse_file(f, take, &r);
	fclose(f);
	if (line == 0)
		return 1;
	return err_set(e, ERR_PERM, "%s:%d: %s", path, line,
	    r.problem[0] ? r.problem : "not understood");
}

static int
is_state_dir(const char *dir, struct err *e)
{
	char path[CONFIG_PATH_SIZE + 32];
	struct stat st;

	if (file_check_mode(dir, S_IWOTH, e) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/directory", dir);
	if (stat(path, &st) != 0 && errno == ENOENT)
		return err_set(e, ERR_PERM,
		    "%s is not a state directory (mailstead init makes one)",
		    dir);
	return file_check_mode(path, S_IWOTH, e);
}

static int
load_given(const char *dir, struct config *c, struct err *e)
{
	struct config installed = { 0 };
	char real[PATH_MAX], path[CONFIG_PATH_SIZE + 32];
	int got;

	if (realpath(dir, real) == NULL) {
		err_errno(e, "%s", dir);
		e->kind = ERR_PERM;
		return -1;
	}
	if (strlen(real) >= sizeof(c->state_dir))
		return err_set(e, ERR_PERM, "%s: path too long", dir);
	snprintf(path, sizeof(path), "%.255s/mailstead.conf", real);
	if ((got = read_file(path, c, e)) < 0)
		return -1;
	/* The installed file speaks for its own state directory only. */
	if (got == 0 && read_file(INSTALLED_FILE, &installed, e) == 1 &&
	    strcmp(installed.state_dir[0] ? installed.state_dir : DEFAULT_STATE,
		real) == 0)
		*c = installed;
	memcpy(c->state_dir, real, strlen(real) + 1);
	return 0;
}

static int
load(const char *state_dir, bool is_new, struct config *out, struct err *e)
{
	struct config c = { 0 };

	if (state_dir == NULL)
		state_dir = getenv("MAILSTEAD_STATE");
	if (state_dir != NULL && state_dir[0] != '\0') {
		if (load_given(state_dir, &c, e) != 0)
			return -1;
	} else if (read_file(INSTALLED_FILE, &c, e) < 0) {
		return -1;
	}
	if (c.state_dir[0] == '\0')
		memcpy(c.state_dir, DEFAULT_STATE, sizeof(DEFAULT_STATE));
	if (!is_new && is_state_dir(c.state_dir, e) != 0)
		return -1;
	if (c.mail_root[0] == '\0' &&
	    config_path(&c, c.mail_root, sizeof(c.mail_root), e, "mail") != 0)
		return -1;
	*out = c;
	return 0;
}

int
config_load(const char *state_dir, struct config *out, struct err *e)
{
	return load(state_dir, false, out, e);
}

int
config_load_new(const char *state_dir, struct config *out, struct err *e)
{
	return load(state_dir, true, out, e);
}

int
config_path(const struct config *c, char *out, size_t size, struct err *e,
    const char *fmt, ...)
{
	va_list ap;
	int head, tail;

	head = snprintf(out, size, "%s/", c->state_dir);
	if (head < 0 || (size_t)head >= size)
		return err_set(e, ERR_PERM, "%s: path too long", c->state_dir);
	va_start(ap, fmt);
	tail = vsnprintf(out + head, size - (size_t)head, fmt, ap);
	va_end(ap);
	if (tail < 0 || (size_t)tail >= size - (size_t)head)
		return err_set(
		    e, ERR_PERM, "%s/...: path too long", c->state_dir);
	return 0;
}

/* --- changing it ------------------------------------------------------------ */

enum {
	FILE_MAX = 65536
};

/* The file that speaks for the state directory; one of its own if none does. */
static int
find_file(const struct config *c, char *out, size_t size, struct err *e)
{
	struct config installed = { 0 };

	if (config_path(c, out, size, e, "mailstead.conf") != 0)
		return -1;
	if (access(out, F_OK) != 0 &&
	    read_file(INSTALLED_FILE, &installed, e) == 1 &&
	    strcmp(installed.state_dir[0] ? installed.state_dir : DEFAULT_STATE,
		c->state_dir) == 0)
		(void)snprintf(out, size, INSTALLED_FILE);
	return 0;
}

int
config_set_mail_root(const struct config *c, const char *root, struct err *e)
{
	char path[CONFIG_PATH_SIZE + 32];
	struct buf old, text;
	struct slice rest, line;
	int rc;

	if (find_file(c, path, sizeof(path), e) != 0)
		return -1;
	buf_init(&old, FILE_MAX);
	buf_init(&text, FILE_MAX);
	if (file_read(AT_FDCWD, path, &old, e) != 0 && errno == ENOENT &&
	    root != NULL)
		buf_addstr(&old, "[mailstead]\n");
	for (rest = buf_slice(&old); rest.len > 0;) {
		rest = slice_cut(rest, '\n', &line);
		if (slice_starts(line, "mail_root"))
			continue;
		buf_addslice(&text, line);
		buf_addc(&text, '\n');
		if (root != NULL && slice_starts(line, "[mailstead]"))
			buf_addf(&text, "mail_root = %s\n", root);
	}
	rc = text.len == 0
	    ? 0
	    : file_replace(AT_FDCWD, path, 0644, text.data, text.len, e);
	buf_release(&old);
	buf_release(&text);
	return rc;
}
