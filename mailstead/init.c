/*
 * `mailstead init`: a new state directory, complete or not at all.
 *
 * The tree of DESIGN 4.1 is one table: path, mode, owner, group.  Owners and
 * groups are set only for an installed server (root, with users in
 * mailstead.conf); elsewhere everything belongs to who runs it.  The databases
 * are made by accountd, the spool by the spool library.  What a failed init
 * made is removed again.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/mem.h"
#include "base/num.h"
#include "mail/address.h"
#include "net/tls.h"
#include "proc/privilege.h"

#include "queue/spool_runner.h"

#include "mailstead/run.h"
#include "mailstead/state.h"

enum {
	LISTEN_TEXT = 2048
};

struct request {
	char hostname[ADDRESS_DOMAIN_MAX + 1];
	char domain[ADDRESS_DOMAIN_MAX + 1];
	const char *admin;
	char listen[LISTEN_TEXT]; /* as a setting */
	uint64_t offset;
	char *password;
};

/* Who owns a part of the tree; the index of a user in mailstead.conf. */
enum owner {
	OWNER_ROOT,
	OWNER_MTA,
	OWNER_QUEUE,
	OWNER_POP,
	OWNER_AUTH,
	OWNER_WEB,
	OWNER_ADMIN,
	OWNER_PARSE,
};

struct place {
	const char *path;
	mode_t mode;
	enum owner owner;
	const char *group; /* NULL: the owner's */
};

/* clang-format off */
static const struct place tree[] = {
	{ "directory",	02750, OWNER_AUTH,  "mailstead-dir" },
	{ "mail",	02770, OWNER_QUEUE, "mailstead-store" },
	{ "users",	02770, OWNER_WEB,   "mailstead-users" },
	{ "lists",	02770, OWNER_QUEUE, "mailstead-store" },
	{ "domains",	02755, OWNER_ADMIN, NULL },
	{ "web",	02755, OWNER_ADMIN, NULL },
	{ "tls",	02750, OWNER_AUTH,  "mailstead-tls" },
	{ "cache",	00755, OWNER_ROOT,  NULL },
	{ "cache/web",	02770, OWNER_WEB,   NULL },
	{ "cache/admin", 02770, OWNER_ADMIN, NULL },
	{ "cache/index", 02770, OWNER_WEB,  NULL },
	{ "cache/pop",	02770, OWNER_POP,   NULL },
	{ "cache/auth",	02770, OWNER_AUTH,  NULL },
	{ "run",	00755, OWNER_QUEUE, NULL },
	{ "run/accountd", 00755, OWNER_AUTH, NULL },
	{ "run/web",	00755, OWNER_ROOT,  NULL },
	{ "log",	00755, OWNER_ROOT,  NULL },
	{ "log/mtad",	02750, OWNER_MTA,   "mailstead-dir" },
	{ "log/queue-runner", 02750, OWNER_QUEUE, "mailstead-dir" },
	{ "log/popd",	02750, OWNER_POP,   "mailstead-dir" },
	{ "log/accountd", 02750, OWNER_AUTH, "mailstead-dir" },
	{ "log/audit",	02750, OWNER_AUTH,  "mailstead-dir" },
	{ "log/webmail-cgi", 02750, OWNER_WEB, "mailstead-dir" },
	{ "log/admin-cgi", 02750, OWNER_ADMIN, "mailstead-dir" },
	{ "log/mailstead-parse", 02750, OWNER_PARSE, "mailstead-dir" },
};

/* clang-format on */

static const char *
owner_name(const struct config *c, enum owner owner)
{
	switch (owner) {
	case OWNER_MTA:
		return c->user_mta;
	case OWNER_QUEUE:
		return c->user_queue;
	case OWNER_POP:
		return c->user_pop;
	case OWNER_AUTH:
		return c->user_auth;
	case OWNER_WEB:
		return c->user_web;
	case OWNER_ADMIN:
		return c->user_admin;
	case OWNER_PARSE:
		return c->user_parse;
	case OWNER_ROOT:
		break;
	}
	return "";
}

/* Only an installed server has users of its own. */
static bool
has_owners(const struct config *c)
{
	return geteuid() == 0 && c->user_auth[0] != '\0';
}

static int
find_owner(const struct config *c, const struct place *place, uid_t *uid,
    gid_t *gid, struct err *e)
{
	const char *user = owner_name(c, place->owner);

	*uid = 0;
	*gid = 0;
	if (user[0] != '\0') {
		struct passwd *pw = getpwnam(user); /* single-threaded */
		if (pw == NULL)
			return err_set(e, ERR_PERM, "no user %s", user);
		*uid = pw->pw_uid;
		*gid = pw->pw_gid;
	}
	if (place->group != NULL) {
		struct group *gr = getgrnam(place->group);
		if (gr == NULL)
			return err_set(
			    e, ERR_PERM, "no group %s", place->group);
		*gid = gr->gr_gid;
	}
	return 0;
}

static int
set_owner(int dir_fd, const struct config *c, const struct place *place,
    struct err *e)
{
	uid_t uid;
	gid_t gid;

	if (!has_owners(c))
		return 0;
	if (find_owner(c, place, &uid, &gid, e) != 0)
		return -1;
	if (fchownat(dir_fd, place->path, uid, gid, AT_SYMLINK_NOFOLLOW) != 0 ||
	    fchmodat(dir_fd, place->path, place->mode, 0) != 0)
		return err_errno(e, "%s", place->path);
	return 0;
}

/* Everything below; chown clears set-uid bits, and modes stay. */
static int
own_below(int dir_fd, const char *path, uid_t uid, gid_t gid, struct err *e)
{
	DIR *dir = file_list(dir_fd, path);
	int fd = dir != NULL ? dirfd(dir) : -1;
	const char *name;
	struct stat st;
	int rc = 0;

	if (dir == NULL)
		return errno == ENOENT ? 0 : err_errno(e, "%s", path);
	while (rc == 0 && (name = file_list_next(dir)) != NULL) {
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    fchownat(fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
			rc = err_errno(e, "%s/%s", path, name);
		else if (S_ISDIR(st.st_mode))
			rc = fchmodat(fd, name, st.st_mode & 07777, 0) != 0
			    ? err_errno(e, "%s/%s", path, name)
			    : own_below(fd, name, uid, gid, e);
	}
	file_list_end(dir);
	return rc;
}

static const struct place spool_place = { "spool", 02770, OWNER_QUEUE,
	"mailstead-spool" };

int
state_own_tree(int dir_fd, const struct config *c, struct err *e)
{
	uid_t uid;
	gid_t gid;

	if (!has_owners(c))
		return 0;
	for (size_t i = 0; i <= ARRAY_LEN(tree); i++) {
		const struct place *p =
		    i < ARRAY_LEN(tree) ? &tree[i] : &spool_place;
		if (find_owner(c, p, &uid, &gid, e) != 0 ||
		    own_below(dir_fd, p->path, uid, gid, e) != 0 ||
		    set_owner(dir_fd, c, p, e) != 0)
			return -1;
	}
	/* what lies in a part and has an owner of its own */
	return state_make_tree(dir_fd, c, e);
}

int
state_make_tree(int dir_fd, const struct config *c, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(tree); i++) {
		if (file_mkdir(dir_fd, tree[i].path, tree[i].mode, e) != 0 ||
		    set_owner(dir_fd, c, &tree[i], e) != 0)
			return -1;
	}
	return 0;
}

static int
make_spool(int dir_fd, const struct config *c, struct err *e)
{
	static const char *const inside[] = { "journal", "large", "deferred",
		"hold", "corrupt" };
	char path[CONFIG_PATH_SIZE * 2];

	if (file_mkdir(dir_fd, spool_place.path, spool_place.mode, e) != 0 ||
	    set_owner(dir_fd, c, &spool_place, e) != 0 ||
	    config_path(c, path, sizeof(path), e, "spool") != 0 ||
	    spool_create(path, e) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		struct place place = spool_place;
		snprintf(path, sizeof(path), "spool/%s", inside[i]);
		place.path = path;
		if (faccessat(dir_fd, path, F_OK, 0) == 0 &&
		    set_owner(dir_fd, c, &place, e) != 0)
			return -1;
	}
	return 0;
}

static int
make_certificate(
    int dir_fd, const struct config *c, const char *host, struct err *e)
{
	static const struct place files[] = {
		{ "tls/default.crt", 0640, OWNER_AUTH, "mailstead-tls" },
		{ "tls/default.key", 0640, OWNER_AUTH, "mailstead-tls" },
	};
	int fd = openat(dir_fd, "tls", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "tls");
	int result = tls_make_self_signed(fd, "default", host, e);
	close(fd);
	for (size_t i = 0; result == 0 && i < ARRAY_LEN(files); i++)
		result = set_owner(dir_fd, c, &files[i], e);
	return result;
}

void
state_empty(int dir_fd)
{
	DIR *dir = file_list(dir_fd, ".");
	const char *name;

	while ((name = file_list_next(dir)) != NULL) {
		if (unlinkat(dir_fd, name, 0) == 0)
			continue;
		int below = openat(dir_fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0) {
			state_empty(below);
			close(below);
		}
		unlinkat(dir_fd, name, AT_REMOVEDIR);
	}
	file_list_end(dir);
}

/* `accountd --create`: both databases, by the program that writes them. */
static int
make_databases(const struct config *c, struct err *e)
{
	char path[CONFIG_PATH_SIZE * 2];
	int status;

	if (cli_program_path("accountd", path, sizeof(path), e) != 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0)
		return err_errno(e, "fork");
	if (pid == 0) {
		/* the files shall belong to the daemon's user */
		if (privilege_drop(c->user_auth, e) == 0)
			execl(path, "accountd", "--state", c->state_dir,
			    "--create", (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return err_set(e, ERR_PERM, "the databases could not be made");
	return 0;
}

static int
fill_directory(struct cli *c, const struct request *r, struct err *e)
{
	json_t *reply;
	json_t *ask = json_pack("{s:s,s:s,s:s,s:I,s:s,s:s,s:s}", "verb", "init",
	    "hostname", r->hostname, "listen", r->listen, "port_offset",
	    (json_int_t)r->offset, "domain", r->domain, "address", r->admin,
	    "password", r->password);
	if (cli_call(c, ask, &reply, e) != 0)
		return -1;
	json_decref(reply);
	return 0;
}

static int
make_state(struct cli *c, int dir_fd, const struct request *r, struct err *e)
{
	if (state_make_tree(dir_fd, &c->config, e) != 0 ||
	    make_spool(dir_fd, &c->config, e) != 0 ||
	    make_databases(&c->config, e) != 0 || fill_directory(c, r, e) != 0)
		return -1;
	return make_certificate(dir_fd, &c->config, r->hostname, e);
}

int
state_open_empty(const char *path, int *fd_out, struct err *e)
{
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return err_errno(e, "%s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "%s", path);
	DIR *dir = file_list(fd, ".");
	if (dir == NULL) {
		close(fd);
		return err_errno(e, "%s", path);
	}
	bool empty = file_list_next(dir) == NULL;
	file_list_end(dir);
	if (!empty) {
		close(fd);
		return err_set(e, ERR_PERM, "%s is not empty", path);
	}
	if (fchmod(fd, 0755) != 0) { /* every daemon passes through */
		err_errno(e, "%s", path);
		close(fd);
		return -1;
	}
	*fd_out = fd;
	return 0;
}

static int
read_listen(struct cli *c, struct request *r, struct err *e)
{
	const char *text;
	size_t len = 0;

	while ((text = cli_option(c, "--listen")) != NULL) {
		struct ip ip;
		if (!ip_parse(slice_str(text), &ip))
			return err_set(
			    e, ERR_PERM, "%s is not an address", text);
		int n = snprintf(r->listen + len, sizeof(r->listen) - len,
		    "%s%s", len ? " " : "", text);
		if (n < 0 || (size_t)n >= sizeof(r->listen) - len)
			return err_set(e, ERR_PERM, "too many addresses");
		len += (size_t)n;
	}
	if (len == 0 && r->offset > 0)
		strncpy(r->listen, "127.0.0.1 ::1", sizeof(r->listen) - 1);
	return 0;
}

static int
read_request(struct cli *c, struct request *r, struct err *e)
{
	const char *hostname = cli_option(c, "--hostname");
	const char *domain = cli_option(c, "--domain");
	const char *offset = cli_option(c, "--port-offset");
	struct pool pool = { 0 };
	struct address admin;

	r->admin = cli_option(c, "--admin");
	if (hostname == NULL || domain == NULL || r->admin == NULL)
		return err_set(e, ERR_SYNTAX,
		    "init needs --hostname, --domain and --admin");
	if (offset != NULL && !num_parse(slice_str(offset), 60000, &r->offset))
		return err_set(e, ERR_PERM,
		    "--port-offset %s is not a number up to 60000", offset);
	if (domain_normalise(slice_str(hostname), r->hostname, e) != 0)
		return err_set(
		    e, ERR_PERM, "--hostname %s: not a host name", hostname);
	if (domain_normalise(slice_str(domain), r->domain, e) != 0)
		return err_set(
		    e, ERR_PERM, "--domain %s: not a domain name", domain);
	int result =
	    address_parse(slice_str(r->admin), ADDRESS_UTF8, &pool, &admin, e);
	bool ours = result == 0 && strcmp(admin.domain, r->domain) == 0;
	pool_release(&pool);
	if (!ours)
		return err_set(e, ERR_PERM, "--admin %s: not an address of %s",
		    r->admin, r->domain);
	return read_listen(c, r, e);
}

/* Where to: --state or MAILSTEAD_STATE, else what the installed file says. */
static int
state_config(struct cli *c, struct err *e)
{
	const char *path =
	    c->state_arg ? c->state_arg : getenv("MAILSTEAD_STATE");
	if (path != NULL && mkdir(path, 0755) != 0 && errno != EEXIST)
		return err_errno(e, "%s", path);
	if (config_load_new(path, &c->config, e) != 0)
		return -1;
	return 0;
}

int
command_init(struct cli *c)
{
	struct request r = { 0 };
	struct err e;
	int dir_fd = -1;

	if (read_request(c, &r, &e) != 0)
		return e.kind == ERR_SYNTAX ? cli_usage("%s", e.text)
					    : cli_fail(&e);
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (state_config(c, &e) != 0 ||
	    state_open_empty(c->config.state_dir, &dir_fd, &e) != 0)
		return cli_fail(&e);
	int result = cli_read_password(&r.password, &e);
	if (result == 0) {
		umask(0);
		result = make_state(c, dir_fd, &r, &e);
		mem_wipe(r.password, strlen(r.password));
		free(r.password);
	}
	if (result != 0)
		state_empty(dir_fd);
	close(dir_fd);
	if (result != 0)
		return cli_fail(&e);
	if (c->json)
		return cli_changed(c,
		    json_pack("{s:s,s:s,s:s,s:s}", "state", c->config.state_dir,
			"hostname", r.hostname, "domain", r.domain, "admin",
			r.admin));
	printf("made %s: %s for %s, administrator %s\n", c->config.state_dir,
	    r.hostname, r.domain, r.admin);
	return CLI_DONE;
}
