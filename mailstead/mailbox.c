/*
 * `mailstead mailbox`: looking into a mailbox and checking the store.
 *
 * The files are read here, with the rights of whoever runs the command; who an
 * address is, accountd says.  It also notes every look into somebody's mail in
 * the audit log, before anything is shown.
 */
#include "mailstead/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

#include "maildir/maildir.h"

#include "mailstead/left.h"

enum {
	FLAGS_SIZE = 8,
	CHUNK = 65536,
	PATH_SIZE = 512
};

static const char *const list_columns[] = { "id", "folder", "arrived_at",
	"size", "flags", NULL };

/* --- accounts and their mailboxes ------------------------------------------------- */

/* Where the mailbox of an address is, below the mail root. */
static bool
path_of(const char *address, char out[PATH_SIZE])
{
	struct slice all = slice_str(address);
	ptrdiff_t at = slice_rchr(all, '@');

	return at > 0 &&
	    maildir_path(slice_of(address, (size_t)at),
		slice_skip(all, (size_t)at + 1), out, PATH_SIZE);
}

static int
open_root(struct cli *c, struct err *e)
{
	int fd = open(c->config.mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_errno(e, "%s", c->config.mail_root) : fd;
}

/* ERR_PERM: the account has no mailbox yet. */
static int
open_box(struct cli *c, const char *address, struct maildir *out, struct err *e)
{
	char path[PATH_SIZE];
	int root, rc;

	if (!path_of(address, path))
		return err_set(e, ERR_PERM, "%s has no mailbox", address);
	root = open_root(c, e);
	if (root < 0)
		return -1;
	rc = maildir_open(root, path, "", false, out, e);
	(void)close(root);
	return rc;
}

/* The account's address as it is stored, whatever form was given. */
static json_t *
find_account(struct cli *c, const char *address, struct err *e)
{
	json_t *reply, *name;

	if (cli_call(c,
		json_pack("{s:s,s:s}", "verb", "user show", "address", address),
		&reply, e) != 0)
		return NULL;
	name = json_incref(
	    json_object_get(json_object_get(reply, "user"), "address"));
	json_decref(reply);
	return name;
}

/* One address of the command line, or all accounts: an array of addresses. */
static int
choose_accounts(struct cli *c, const char *address, json_t **out, struct err *e)
{
	json_t *users, *one;
	size_t i;

	if (address != NULL) {
		one = find_account(c, address, e);
		if (one == NULL)
			return -1;
		*out = json_pack("[o]", one);
		return 0;
	}
	if (cli_call_paged(c, json_pack("{s:s}", "verb", "user list"), "items",
		&users, e) != 0)
		return -1;
	*out = json_array();
	json_array_foreach(users, i, one)
		json_array_append(*out, json_object_get(one, "address"));
	json_decref(users);
	return 0;
}

/* --- list and show ------------------------------------------------------------------ */

static json_t *
describe(const struct maildir_entry *m, const char *folder)
{
	static const char letters[] = "DFPRST";
	char id[MAILDIR_UIDL_SIZE], when[CLOCK_RFC3339_SIZE];
	char flags[FLAGS_SIZE];
	size_t n = 0;

	maildir_uidl(m->name, id);
	clock_rfc3339(m->arrived_ms, when);
	for (size_t i = 0; letters[i] != '\0'; i++) {
		if ((m->flags & 1U << i) != 0)
			flags[n++] = letters[i];
	}
	flags[n] = '\0';
	return json_pack("{s:s,s:s,s:s,s:I,s:s,s:b}", "id", id, "folder",
	    folder, "arrived_at", when, "size", (json_int_t)m->size, "flags",
	    flags, "new", (int)m->is_new);
}

/*
 * Called for each message; true to stop.  `m` is the folder, opened.
 */
typedef bool visit(void *arg, const struct maildir *m, const char *folder,
    const struct maildir_entry *entry);

static int
visit_folder(const struct maildir *m, const char *folder, visit *each,
    void *arg, bool *stop, struct err *e)
{
	struct maildir_list list;

	if (maildir_list(m, &list, e) != 0)
		return -1;
	for (size_t i = 0; i < list.count && !*stop; i++)
		*stop = each(arg, m, folder, &list.items[i]);
	maildir_list_release(&list);
	return 0;
}

/* All messages of a mailbox, the inbox first. */
static int
visit_all(const struct maildir *root, visit *each, void *arg, struct err *e)
{
	struct maildir_folders folders;
	struct maildir m;
	struct err why;
	bool stop = false;
	int rc = visit_folder(root, "INBOX", each, arg, &stop, e);

	if (rc != 0 || maildir_folder_list(root, &folders, e) != 0)
		return -1;
	for (size_t i = 0; i < folders.count && rc == 0 && !stop; i++) {
		if (maildir_open_sub(root, folders.items[i].dir, &m, &why) != 0)
			continue;
		rc = visit_folder(
		    &m, folders.items[i].name, each, arg, &stop, e);
		maildir_close(&m);
	}
	maildir_folders_release(&folders);
	return rc;
}

/* Find the account, note the look into its mail, open it. */
static int
look_into(struct cli *c, const char *given, const char *what,
    struct maildir *out, struct err *e)
{
	json_t *address = find_account(c, given, e);
	json_t *reply;
	int rc = -1;

	if (address == NULL)
		return -1;
	if (cli_call(c,
		json_pack("{s:s,s:O,s:s}", "verb", "mailbox view", "address",
		    address, "what", what),
		&reply, e) == 0) {
		json_decref(reply);
		rc = open_box(c, json_string_value(address), out, e);
	}
	json_decref(address);
	return rc;
}

static bool
list_message(void *arg, const struct maildir *m, const char *folder,
    const struct maildir_entry *entry)
{
	(void)m;
	json_array_append_new(arg, describe(entry, folder));
	return false;
}

static int
list_mailbox(struct cli *c)
{
	char *address = cli_argument(c);
	json_t *all;
	struct maildir m;
	struct err e;
	int rc;

	if (!cli_complete(c, address != NULL, "mailbox list ADDRESS"))
		return CLI_USAGE;
	if (look_into(c, address, "list", &m, &e) != 0)
		return cli_fail(&e);
	all = json_array();
	rc = visit_all(&m, list_message, all, &e);
	maildir_close(&m);
	if (rc == 0)
		cli_print(c, all, list_columns);
	json_decref(all);
	return rc == 0 ? CLI_DONE : cli_fail(&e);
}

/* Who looked into a mailbox: what its owner is shown as well. */
static int
list_views(struct cli *c)
{
	static const char *const columns[] = { "time", "actor", "what", NULL };
	char *address = cli_argument(c);

	if (!cli_complete(c, address != NULL, "mailbox views ADDRESS"))
		return CLI_USAGE;
	return cli_list(c,
	    json_pack("{s:s,s:s}", "verb", "mailbox views", "address", address),
	    "items", columns);
}

struct wanted {
	const char *id;
	int fd; /* -1: not found */
};

static bool
is_wanted(void *arg, const struct maildir *m, const char *folder,
    const struct maildir_entry *entry)
{
	struct wanted *w = arg;
	char id[MAILDIR_UIDL_SIZE];
	struct err e;

	(void)folder;
	maildir_uidl(entry->name, id);
	return strcmp(id, w->id) == 0 &&
	    maildir_open_message(m, entry->name, &w->fd, &e) == 0;
}

static int
copy_out(int fd, struct err *e)
{
	char chunk[CHUNK];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		if (fwrite(chunk, 1, (size_t)n, stdout) != (size_t)n)
			break;
	}
	return n == 0 && fflush(stdout) == 0 ? 0 : err_errno(e, "message");
}

static int
show_message(struct cli *c)
{
	char *address = cli_argument(c);
	struct wanted w = { cli_argument(c), -1 };
	struct maildir m;
	struct err e;
	int rc;

	if (!cli_complete(c, w.id != NULL, "mailbox show ADDRESS ID"))
		return CLI_USAGE;
	if (look_into(c, address, w.id, &m, &e) != 0)
		return cli_fail(&e);
	rc = visit_all(&m, is_wanted, &w, &e);
	maildir_close(&m);
	if (rc == 0 && w.fd < 0)
		rc = err_set(&e, ERR_PERM, "no message %s", w.id);
	if (w.fd >= 0) {
		rc = copy_out(w.fd, &e);
		(void)close(w.fd);
	}
	return rc == 0 ? CLI_DONE : cli_fail(&e);
}

/* --- check, repair, recount ------------------------------------------------------------ */

struct findings {
	const char *about;
	json_t *all; /* [{mailbox, text}] */
};

static void
add_finding(void *arg, const char *line)
{
	struct findings *f = arg;

	/* file names may be any bytes */
	json_t *text = json_string(line);

	json_array_append_new(f->all,
	    json_pack("{s:s,s:o}", "mailbox", f->about, "text",
		text != NULL ? text : json_string("an unprintable name")));
}

static int
check_one(struct cli *c, const char *address, bool repair, struct findings *f)
{
	struct maildir_check_rules rules = { repair, add_finding, f };
	struct maildir m;
	size_t found;
	struct err e;
	int rc;

	f->about = address;
	if (open_box(c, address, &m, &e) != 0) {
		/* one that is not there is made at the first delivery */
		if (e.kind != ERR_PERM)
			add_finding(f, e.text);
		return 0;
	}
	rc = maildir_check(&m, &rules, &found, &e);
	maildir_close(&m);
	if (rc != 0)
		add_finding(f, e.text);
	return rc;
}

/* The mailbox paths of accounts, as the keys of an object. */
static json_t *
known_paths(const json_t *accounts)
{
	json_t *known = json_object();
	char path[PATH_SIZE];

	for (size_t i = 0; i < json_array_size(accounts); i++) {
		if (path_of(
			json_string_value(json_array_get(accounts, i)), path))
			json_object_set_new(known, path, json_true());
	}
	return known;
}

/* Directories in one domain's folder that are no account's. */
static void
find_strays_in(
    int root, const char *domain, const json_t *known, struct findings *f)
{
	char path[2 * NAME_MAX + 2];
	DIR *dir = file_list(root, domain);
	const char *name;

	while ((name = file_list_next(dir)) != NULL) {
		if (name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", domain, name);
		f->about = path;
		if (json_object_get(known, path) == NULL)
			add_finding(f, "belongs to no account");
	}
	f->about = "";
	file_list_end(dir);
}

static int
find_strays(
    struct cli *c, const json_t *accounts, struct findings *f, struct err *e)
{
	int root = open_root(c, e);
	const char *name;
	json_t *known;
	DIR *dir;

	if (root < 0)
		return -1;
	known = known_paths(accounts);
	dir = file_list(root, ".");
	while ((name = file_list_next(dir)) != NULL) {
		if (name[0] != '.')
			find_strays_in(root, name, known, f);
	}
	file_list_end(dir);
	json_decref(known);
	(void)close(root);
	return 0;
}

static int
print_findings(struct cli *c, const json_t *all)
{
	static const char *const columns[] = { "mailbox", "text", NULL };

	if (c->json || json_array_size(all) > 0)
		cli_print(c, all, columns);
	return json_array_size(all) > 0 ? CLI_REFUSED : CLI_DONE;
}

static int
check_mailboxes(struct cli *c, bool repair)
{
	struct findings f = { "", json_array() };
	char *address = cli_argument(c);
	json_t *accounts = NULL;
	struct err e;
	int rc = cli_end(c);

	if (rc == CLI_DONE && choose_accounts(c, address, &accounts, &e) != 0)
		rc = cli_fail(&e);
	for (size_t i = 0; i < json_array_size(accounts); i++)
		(void)check_one(c,
		    json_string_value(json_array_get(accounts, i)), repair, &f);
	if (rc == CLI_DONE && address == NULL &&
	    find_strays(c, accounts, &f, &e) != 0)
		rc = cli_fail(&e);
	if (rc == CLI_DONE)
		rc = print_findings(c, f.all);
	json_decref(accounts);
	json_decref(f.all);
	return rc;
}

/* One without a directory is empty. */
int
mailbox_recount(struct cli *c, json_t *address, json_t *results, struct err *e)
{
	struct maildir_usage used = { 0, 0 };
	struct maildir m;
	json_t *reply;
	int rc = 0;

	if (open_box(c, json_string_value(address), &m, e) == 0) {
		rc = maildir_usage_recount(&m, &used, e);
		maildir_close(&m);
	} else if (e->kind != ERR_PERM) {
		rc = -1;
	}
	if (rc != 0 ||
	    cli_call(c,
		json_pack("{s:s,s:O,s:I,s:I}", "verb", "mailbox usage",
		    "address", address, "used_bytes", (json_int_t)used.bytes,
		    "used_messages", (json_int_t)used.messages),
		&reply, e) != 0)
		return -1;
	json_decref(reply);
	json_array_append_new(results,
	    json_pack("{s:O,s:I,s:I}", "address", address, "used_bytes",
		(json_int_t)used.bytes, "used_messages",
		(json_int_t)used.messages));
	return 0;
}

static int
recount(struct cli *c)
{
	static const char *const columns[] = { "address", "used_bytes",
		"used_messages", NULL };
	char *address = cli_argument(c);
	json_t *accounts = NULL, *results = json_array();
	struct err e;
	int rc = cli_end(c);

	if (rc == CLI_DONE && choose_accounts(c, address, &accounts, &e) != 0)
		rc = cli_fail(&e);
	for (size_t i = 0; i < json_array_size(accounts); i++) {
		if (mailbox_recount(
			c, json_array_get(accounts, i), results, &e) != 0)
			rc = cli_fail(&e);
	}
	if (accounts != NULL)
		cli_print(c, results, columns);
	json_decref(accounts);
	json_decref(results);
	return rc;
}

int
command_mailbox(struct cli *c)
{
	const char *verb = cli_argument(c);

	if (verb == NULL)
		return cli_usage("mailbox: what shall be done?");
	if (strcmp(verb, "list") == 0)
		return list_mailbox(c);
	if (strcmp(verb, "show") == 0)
		return show_message(c);
	if (strcmp(verb, "views") == 0)
		return list_views(c);
	if (strcmp(verb, "check") == 0)
		return check_mailboxes(c, false);
	if (strcmp(verb, "repair") == 0)
		return check_mailboxes(c, true);
	if (strcmp(verb, "recount") == 0)
		return recount(c);
	if (strcmp(verb, "aside") == 0)
		return left_command_aside(c);
	if (strcmp(verb, "left") == 0)
		return left_command_left(c);
	if (strcmp(verb, "back") == 0)
		return left_command_back(c);
	if (strcmp(verb, "purge") == 0)
		return left_command_purge(c);
	if (strcmp(verb, "move") == 0)
		return command_mailbox_move(c);
	return cli_usage("mailbox: no verb \"%s\"", verb);
}
