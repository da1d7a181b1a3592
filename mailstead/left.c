/*
 * What deleted users leave behind; see left.h.
 *
 * Each thing is put aside by one rename within its own folder, so a crash
 * leaves it where it was or aside, and accountd is told last.  Nothing here
 * reads mail.
 */
#include "mailstead/left.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"

#include "maildir/maildir.h"

#include "mailstead/mailbox.h"

#define LEFT ".left"

enum {
	DAYS_USUAL = 30,
	DAY_MS = 86400000,
	OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
};

/* --- putting aside -------------------------------------------------------------------- */

/* Move NAME below an opened domain's folder aside, if it is there. */
static int
move_aside(int domain, const char *name, int64_t now_ms, struct err *e)
{
	char to[PATH_MAX];
	int n =
	    snprintf(to, sizeof(to), LEFT "/%s~%lld", name, (long long)now_ms);

	if (faccessat(domain, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : err_errno(e, "%s", name);
	if (n >= (int)sizeof(to))
		return err_set(e, ERR_PERM, "%s: name too long", name);
	if (file_mkdir(domain, LEFT, 02770, e) != 0)
		return -1;
	return renameat(domain, name, domain, to) == 0
	    ? 0
	    : err_errno(e, "%s", name);
}

/*
 * NAME and the files of its kind beside it ("" for the mailbox itself) below
 * ROOT/DOMAIN.
 */
static int
move_all(const char *root, const char *domain, const char *local,
    const char *const *tails, int64_t now_ms, struct err *e)
{
	char path[PATH_MAX], name[NAME_MAX + 1];
	int fd, rc = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", root, domain);
	fd = open(path, OPEN_DIRECTORY);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, "%s", path);
	for (; *tails != NULL && rc == 0; tails++) {
		if (snprintf(name, sizeof(name), "%s%s", local, *tails) <
		    (int)sizeof(name))
			rc = move_aside(fd, name, now_ms, e);
	}
	(void)close(fd);
	return rc;
}

/* ERR_PERM: there is an account of that name. */
static int
check_is_gone(struct cli *c, const char *address, struct err *e)
{
	json_t *reply;
	struct err why;

	if (cli_call(c,
		json_pack("{s:s,s:s}", "verb", "user show", "address", address),
		&reply, &why) == 0) {
		json_decref(reply);
		return err_set(e, ERR_PERM, "%s is an account", address);
	}
	if (why.kind == ERR_PERM)
		return 0;
	*e = why;
	return -1;
}

int
left_put_aside(struct cli *c, const char *address, struct err *e)
{
	static const char *const mailbox[] = { "", NULL };
	static const char *const web[] = { ".db", ".db-wal", ".db-shm", NULL };
	char path[MAILBOX_PATH_SIZE], users[CONFIG_PATH_SIZE * 2];
	int64_t now_ms = clock_wall_ms();
	json_t *reply;
	char *local;

	if (address == NULL || !mailbox_path(address, path))
		return err_set(e, ERR_PERM, "not an address");
	local = strchr(path, '/');
	*local++ = '\0';
	if (check_is_gone(c, address, e) != 0 ||
	    config_path(&c->config, users, sizeof(users), e, "users") != 0 ||
	    move_all(c->config.mail_root, path, local, mailbox, now_ms, e) !=
		0 ||
	    move_all(users, path, local, web, now_ms, e) != 0 ||
	    cli_call(c,
		json_pack(
		    "{s:s,s:s}", "verb", "mailbox settled", "address", address),
		&reply, e) != 0)
		return -1;
	json_decref(reply);
	return 0;
}

int
left_aside(struct cli *c)
{
	char *address = cli_argument(c);
	struct err e;

	if (address == NULL)
		return cli_usage("mailbox aside ADDRESS");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	return left_put_aside(c, address, &e) == 0 ? CLI_DONE : cli_fail(&e);
}

/* --- purging ---------------------------------------------------------------------------- */

struct purge {
	int64_t before_ms;
	json_t *gone; /* paths */
	bool failed;
	struct err error;
};

static DIR *
open_below(int at, const char *name)
{
	int fd = openat(at, name, OPEN_DIRECTORY);

	return fd < 0 ? NULL : fdopendir(fd);
}

/* When it was put aside, from "NAME~MILLISECONDS"; false: not one of ours. */
static bool
time_aside(const char *name, int64_t *out)
{
	struct slice all = slice_str(name);
	ptrdiff_t at = slice_rchr(all, '~');
	uint64_t ms;

	if (at < 0 ||
	    !num_parse(slice_skip(all, (size_t)at + 1), INT64_MAX, &ms))
		return false;
	*out = (int64_t)ms;
	return true;
}

static void
purge_domain(struct purge *p, const char *root, int root_fd, const char *domain)
{
	char left[NAME_MAX + sizeof("/" LEFT)];
	struct dirent *d;
	int64_t aside_ms;
	DIR *dir;

	(void)snprintf(left, sizeof(left), "%s/" LEFT, domain);
	dir = open_below(root_fd, left);
	while (dir != NULL && (d = readdir(dir)) != NULL) {
		if (!time_aside(d->d_name, &aside_ms) ||
		    aside_ms > p->before_ms)
			continue;
		if (unlinkat(dirfd(dir), d->d_name, 0) != 0 &&
		    maildir_remove_tree(dirfd(dir), d->d_name, &p->error) != 0)
			p->failed = true;
		else
			json_array_append_new(p->gone,
			    json_pack("{s:o}", "path",
				json_sprintf(
				    "%s/%s/%s", root, left, d->d_name)));
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static void
purge_root(struct purge *p, const char *root)
{
	int fd = open(root, OPEN_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : open_below(fd, ".");
	struct dirent *d;

	while (dir != NULL && (d = readdir(dir)) != NULL) {
		if (d->d_name[0] != '.')
			purge_domain(p, root, fd, d->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	if (fd >= 0)
		(void)close(fd);
}

int
left_purge(struct cli *c)
{
	static const char *const columns[] = { "path", NULL };
	const char *text = cli_option(c, "--days");
	char users[CONFIG_PATH_SIZE * 2];
	struct purge p = { 0 };
	uint64_t days = DAYS_USUAL;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (text != NULL && !num_parse(slice_str(text), 36500, &days))
		return cli_usage("mailbox purge [--days N]");
	if (config_path(&c->config, users, sizeof(users), &p.error, "users") !=
	    0)
		return cli_fail(&p.error);
	p.before_ms = clock_wall_ms() - (int64_t)days * DAY_MS;
	p.gone = json_array();
	purge_root(&p, c->config.mail_root);
	purge_root(&p, users);
	if (c->json)
		cli_print_json(p.gone);
	else if (json_array_size(p.gone) > 0)
		cli_print_table(p.gone, columns);
	json_decref(p.gone);
	return p.failed ? cli_fail(&p.error) : CLI_DONE;
}
