/*
 * What deleted users leave behind; see left.h.
 */
#include "maildir/left.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "base/slice.h"

#include "maildir/maildir.h"

#define LEFT ".left"

enum {
	PATH_SIZE = 512,
	OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
};

/* Of a mailbox, and of what webmail keeps. */
static const char *const mailbox_tails[] = { "", NULL };
static const char *const web_tails[] = { ".db", ".db-wal", ".db-shm", NULL };

int
left_open(const char *mail_root, const char *users, struct left_roots *out,
    struct err *e)
{
	out->mail_fd = open(mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	out->users_fd = -1;
	if (out->mail_fd < 0)
		return err_errno(e, "%s", mail_root);
	out->users_fd = open(users, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out->users_fd < 0 && errno != ENOENT ? err_errno(e, "%s", users)
						    : 0;
}

void
left_close(struct left_roots *roots)
{
	if (roots->mail_fd >= 0)
		(void)close(roots->mail_fd);
	if (roots->users_fd >= 0)
		(void)close(roots->users_fd);
	roots->mail_fd = roots->users_fd = -1;
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
static int
split_path(const char *address, char path[PATH_SIZE], const char **local_out,
    struct err *e)
{
	struct slice all = slice_str(address);
	ptrdiff_t at = slice_rchr(all, '@');
	char *slash;

	if (at <= 0 ||
	    !maildir_path(slice_of(address, (size_t)at),
		slice_skip(all, (size_t)at + 1), path, PATH_SIZE))
		return err_set(e, ERR_PERM, "not an address");
	slash = strchr(path, '/');
	*slash = '\0';
	*local_out = slash + 1;
	return 0;
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
 * NAME and the files of its kind beside it ("" for the mailbox itself) in a
 * domain's folder below a root.
 */
static int
move_all(int root, const char *domain, const char *local,
    const char *const *tails, int64_t now_ms, struct err *e)
{
	int fd = root < 0 ? -1 : openat(root, domain, OPEN_DIRECTORY), rc = 0;
	char name[NAME_MAX + 1];

	if (fd < 0)
		return root < 0 || errno == ENOENT ? 0
						   : err_errno(e, "%s", domain);
	for (; *tails != NULL && rc == 0; tails++) {
		if (snprintf(name, sizeof(name), "%s%s", local, *tails) <
		    (int)sizeof(name))
			rc = move_aside(fd, name, now_ms, e);
	}
	(void)close(fd);
	return rc;
}

int
left_put_aside(
    const struct left_roots *roots, const char *address, struct err *e)
{
	int64_t now_ms = clock_wall_ms();
	char path[PATH_SIZE];
	const char *local;

	if (split_path(address, path, &local, e) != 0 ||
	    move_all(roots->mail_fd, path, local, mailbox_tails, now_ms, e) !=
		0)
		return -1;
	return move_all(roots->users_fd, path, local, web_tails, now_ms, e);
}

/* --- and back ---------------------------------------------------------------------------- */

int
left_list(
    const struct left_roots *roots, left_found *found, void *arg, struct err *e)
{
	DIR *all = file_list(roots->mail_fd, "."), *dir;
	char left[NAME_MAX + sizeof("/" LEFT)];
	const char *domain, *name;
	int64_t ms;

	if (all == NULL)
		return err_errno(e, "the mail root");
	while ((domain = file_list_next(all)) != NULL) {
		(void)snprintf(left, sizeof(left), "%s/" LEFT, domain);
		dir = domain[0] != '.' ? file_list(roots->mail_fd, left) : NULL;
		while ((name = file_list_next(dir)) != NULL)
			if (time_aside(name, &ms))
				found(arg, domain, name, ms);
		file_list_end(dir);
	}
	file_list_end(all);
	return 0;
}

/* When NAME was put aside last; 0: never. */
static int64_t
last_aside(int domain, const char *name)
{
	DIR *dir = file_list(domain, LEFT);
	size_t n = strlen(name);
	int64_t ms, last = 0;
	const char *entry;

	while ((entry = file_list_next(dir)) != NULL)
		if (strncmp(entry, name, n) == 0 && entry[n] == '~' &&
		    time_aside(entry, &ms) && ms > last)
			last = ms;
	file_list_end(dir);
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
back_from(int root, const char *domain, const char *local,
    const char *const *tails, int64_t *ms, struct err *e)
{
	int fd = root < 0 ? -1 : openat(root, domain, OPEN_DIRECTORY), rc = 0;
	char name[NAME_MAX + 1];

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
int
left_put_back(
    const struct left_roots *roots, const char *address, struct err *e)
{
	char path[PATH_SIZE];
	const char *local;
	int64_t ms = 0;

	if (split_path(address, path, &local, e) != 0 ||
	    back_from(roots->mail_fd, path, local, mailbox_tails, &ms, e) != 0)
		return -1;
	if (ms == 0)
		return err_set(
		    e, ERR_PERM, "nothing of %s was put aside", address);
	return back_from(roots->users_fd, path, local, web_tails, &ms, e);
}

/* --- purging ---------------------------------------------------------------------------- */

struct purge {
	int64_t before_ms;
	const char *domain, *local; /* of one mailbox's path, or NULL: all */
	const char *root;           /* that is gone through */
	const char *const *tails;   /* and what it has */
	left_gone *gone;
	void *arg;
	bool failed;
	struct err *error;
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
purge_domain(struct purge *p, int root_fd, const char *domain)
{
	char left[NAME_MAX + sizeof("/" LEFT)], path[PATH_MAX];
	const char *name;
	int64_t aside_ms;
	DIR *dir;

	(void)snprintf(left, sizeof(left), "%s/" LEFT, domain);
	dir = file_list(root_fd, left);
	while ((name = file_list_next(dir)) != NULL) {
		if (!time_aside(name, &aside_ms) || aside_ms > p->before_ms ||
		    (p->local != NULL && !is_of(p, name)))
			continue;
		if (unlinkat(dirfd(dir), name, 0) != 0 &&
		    maildir_remove_tree(dirfd(dir), name, p->error) != 0) {
			p->failed = true;
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s/%s", left, name);
		p->gone(p->arg, p->root, path);
	}
	file_list_end(dir);
}

static void
purge_root(struct purge *p, int fd)
{
	DIR *dir = fd < 0 ? NULL : file_list(fd, ".");
	const char *name;

	while ((name = file_list_next(dir)) != NULL)
		if (name[0] != '.' &&
		    (p->domain == NULL || strcmp(p->domain, name) == 0))
			purge_domain(p, fd, name);
	file_list_end(dir);
}

int
left_purge(const struct left_roots *roots, const char *address,
    int64_t before_ms, left_gone *gone, void *arg, struct err *e)
{
	struct purge p = {
		.before_ms = before_ms, .gone = gone, .arg = arg, .error = e
	};
	char path[PATH_SIZE];

	if (address != NULL && split_path(address, path, &p.local, e) != 0)
		return -1;
	p.domain = address != NULL ? path : NULL;
	p.root = "mail";
	p.tails = mailbox_tails;
	purge_root(&p, roots->mail_fd);
	p.root = "users";
	p.tails = web_tails;
	purge_root(&p, roots->users_fd);
	return p.failed ? -1 : 0;
}
