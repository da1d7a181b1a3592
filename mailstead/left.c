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

/* Of a mailbox, and of what webmail keeps. */
static const char *const mailbox_tails[] = { "", NULL };
static const char *const web_tails[] = { ".db", ".db-wal", ".db-shm", NULL };

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

/* "DOMAIN/LOCAL" of an address in two; *path is the domain then. */
static bool
split_path(const char *address, char path[MAILBOX_PATH_SIZE],
    const char **local_out, struct err *e)
{
	char *slash;

	if (address == NULL || !mailbox_path(address, path)) {
		err_set(e, ERR_PERM, "not an address");
		return false;
	}
	slash = strchr(path, '/');
	*slash = '\0';
	*local_out = slash + 1;
	return true;
}

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
	char path[MAILBOX_PATH_SIZE], users[CONFIG_PATH_SIZE * 2];
	int64_t now_ms = clock_wall_ms();
	const char *local;
	json_t *reply;

	if (!split_path(address, path, &local, e))
		return -1;
	if (check_is_gone(c, address, e) != 0 ||
	    config_path(&c->config, users, sizeof(users), e, "users") != 0 ||
	    move_all(c->config.mail_root, path, local, mailbox_tails, now_ms,
		e) != 0 ||
	    move_all(users, path, local, web_tails, now_ms, e) != 0 ||
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

/* --- and back ---------------------------------------------------------------------------- */

int
left_list(struct cli *c)
{
	static const char *const columns[] = { "address", "aside_at", NULL };
	int root = open(c->config.mail_root, OPEN_DIRECTORY);
	DIR *all = root < 0 ? NULL : open_below(root, "."), *dir;
	char left[NAME_MAX + sizeof("/" LEFT)], time[CLOCK_RFC3339_SIZE];
	json_t *list = json_array();
	struct dirent *domain, *d;
	int64_t ms;

	while (all != NULL && (domain = readdir(all)) != NULL) {
		(void)snprintf(left, sizeof(left), "%s/" LEFT, domain->d_name);
		dir = domain->d_name[0] != '.' ? open_below(root, left) : NULL;
		while (dir != NULL && (d = readdir(dir)) != NULL) {
			if (!time_aside(d->d_name, &ms))
				continue;
			clock_rfc3339(ms, time);
			json_array_append_new(list,
			    json_pack("{s:o,s:s}", "address",
				json_sprintf("%.*s@%s",
				    (int)(strrchr(d->d_name, '~') - d->d_name),
				    d->d_name, domain->d_name),
				"aside_at", time));
		}
		if (dir != NULL)
			(void)closedir(dir);
	}
	if (all != NULL)
		(void)closedir(all);
	if (root >= 0)
		(void)close(root);
	if (c->json)
		cli_print_json(list);
	else if (json_array_size(list) > 0)
		cli_print_table(list, columns);
	json_decref(list);
	return cli_end(c);
}

/* When NAME was put aside last; 0: never. */
static int64_t
last_aside(int domain, const char *name)
{
	DIR *dir = open_below(domain, LEFT);
	size_t n = strlen(name);
	int64_t ms, last = 0;
	struct dirent *d;

	while (dir != NULL && (d = readdir(dir)) != NULL)
		if (strncmp(d->d_name, name, n) == 0 && d->d_name[n] == '~' &&
		    time_aside(d->d_name, &ms) && ms > last)
			last = ms;
	if (dir != NULL)
		(void)closedir(dir);
	return last;
}

/* What is there now is never replaced. */
static int
move_back(int domain, const char *name, int64_t ms, struct err *e)
{
	char from[PATH_MAX];

	(void)snprintf(
	    from, sizeof(from), LEFT "/%s~%lld", name, (long long)ms);
	if (renameat2(domain, from, domain, name, RENAME_NOREPLACE) == 0 ||
	    errno == ENOENT)
		return 0;
	return errno == EEXIST
	    ? err_set(e, ERR_PERM, "there is a mailbox already")
	    : err_errno(e, "%s", name);
}

static int
back_from(const char *root, const char *domain, const char *local,
    const char *const *tails, int64_t *ms, struct err *e)
{
	char path[PATH_MAX], name[NAME_MAX + 1];
	int fd, rc = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", root, domain);
	fd = open(path, OPEN_DIRECTORY);
	if (fd >= 0 && *ms == 0)
		*ms = last_aside(fd, local);
	for (; fd >= 0 && *ms != 0 && *tails != NULL && rc == 0; tails++) {
		(void)snprintf(name, sizeof(name), "%s%s", local, *tails);
		rc = move_back(fd, name, *ms, e);
	}
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* The mailbox first: a refusal leaves everything where it was. */
static int
put_back(struct cli *c, const char *address, struct err *e)
{
	char path[MAILBOX_PATH_SIZE], users[CONFIG_PATH_SIZE * 2];
	json_t *reply, *name, *counted;
	const char *local;
	int64_t ms = 0;
	int rc;

	if (!split_path(address, path, &local, e) ||
	    config_path(&c->config, users, sizeof(users), e, "users") != 0)
		return -1;
	if (cli_call(c,
		json_pack("{s:s,s:s}", "verb", "user show", "address", address),
		&reply, e) != 0)
		return -1;
	name = json_incref(
	    json_object_get(json_object_get(reply, "user"), "address"));
	json_decref(reply);
	rc = back_from(c->config.mail_root, path, local, mailbox_tails, &ms, e);
	if (rc == 0 && ms == 0)
		rc = err_set(
		    e, ERR_PERM, "nothing of %s was put aside", address);
	if (rc == 0)
		rc = back_from(users, path, local, web_tails, &ms, e);
	counted = json_array();
	if (rc == 0)
		rc = mailbox_recount(c, name, counted, e);
	json_decref(counted);
	json_decref(name);
	return rc;
}

int
left_back(struct cli *c)
{
	char *address = cli_argument(c);
	struct err e;

	if (address == NULL)
		return cli_usage("mailbox back ADDRESS");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	return put_back(c, address, &e) == 0 ? CLI_DONE : cli_fail(&e);
}

/* --- purging ---------------------------------------------------------------------------- */

struct purge {
	int64_t before_ms;
	const char *domain, *local; /* of one mailbox's path, or NULL: all */
	const char *const *tails;   /* of the root that is gone through */
	json_t *gone;               /* paths */
	bool failed;
	struct err error;
};

/* Is it of p->local, "LOCAL<tail>~TIME" for one of the root's kinds? */
static bool
is_of(const struct purge *p, const char *name)
{
	size_t n = strlen(p->local), len = (size_t)(strrchr(name, '~') - name);

	for (const char *const *tail = p->tails; *tail != NULL; tail++)
		if (len == n + strlen(*tail) &&
		    strncmp(name, p->local, n) == 0 &&
		    strncmp(name + n, *tail, len - n) == 0)
			return true;
	return false;
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
		    aside_ms > p->before_ms ||
		    (p->local != NULL && !is_of(p, d->d_name)))
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
		if (d->d_name[0] != '.' &&
		    (p->domain == NULL || strcmp(p->domain, d->d_name) == 0))
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
	const char *address = cli_option(c, "--address");
	char users[CONFIG_PATH_SIZE * 2], path[MAILBOX_PATH_SIZE];
	struct purge p = { 0 };
	uint64_t days = DAYS_USUAL;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (text != NULL && !num_parse(slice_str(text), 36500, &days))
		return cli_usage("mailbox purge [--days N] [--address A]");
	if (address != NULL && !split_path(address, path, &p.local, &p.error))
		return cli_fail(&p.error);
	p.domain = address != NULL ? path : NULL;
	if (config_path(&c->config, users, sizeof(users), &p.error, "users") !=
	    0)
		return cli_fail(&p.error);
	p.before_ms = clock_wall_ms() - (int64_t)days * DAY_MS;
	p.gone = json_array();
	p.tails = mailbox_tails;
	purge_root(&p, c->config.mail_root);
	p.tails = web_tails;
	purge_root(&p, users);
	if (c->json)
		cli_print_json(p.gone);
	else if (json_array_size(p.gone) > 0)
		cli_print_table(p.gone, columns);
	json_decref(p.gone);
	return p.failed ? cli_fail(&p.error) : CLI_DONE;
}
