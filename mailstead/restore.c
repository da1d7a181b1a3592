/*
 * `mailstead restore`: from a copy made by `mailstead backup`.
 *
 * All: into a new state directory, with the queue held, so that nothing old
 * is sent by itself.  One domain, account, folder or message: into the running
 * server; what is there stays as it is, and a message is known by its name,
 * so restoring twice adds nothing.  Accounts that are gone are made anew, as
 * they were (restore_names.h) but with an unknown password: it must be set.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "mail/address.h"

#include "maildir/name.h"
#include "queue/spool_runner.h"

#include "mailstead/backup.h"
#include "mailstead/mailbox.h"
#include "mailstead/restore_names.h"
#include "mailstead/state.h"
#include "mailstead/tree.h"

enum {
	PATH_SIZE = 1024,
	NOTE_MAX = 65536,
};

struct restore {
	struct cli *cli;
	char copy[PATH_SIZE];
	int copy_fd;
	const char *domain, *account, *folder, *message;
	json_t *restored; /* {address: {restored, present}} */
	json_t *made;     /* accounts that need a password */
	struct names names;
	char new_domain[ADDRESS_DOMAIN_MAX + 1]; /* made anew, or "" */
};

/* --- the copy --------------------------------------------------------------------- */

static int
check_note(int fd, struct err *e)
{
	struct buf text;
	json_t *note = NULL;
	int rc;

	buf_init(&text, NOTE_MAX);
	rc = file_read(fd, BACKUP_NOTE, &text, e);
	if (rc == 0) {
		note = json_loadb(text.data, text.len, 0, NULL);
		if (json_integer_value(json_object_get(note, "format")) !=
		    BACKUP_FORMAT)
			rc = err_set(e, ERR_PERM,
			    BACKUP_NOTE " is not of a format known here");
	}
	json_decref(note);
	buf_release(&text);
	return rc;
}

/* A copy, or the newest one in a directory of copies. */
static int
open_copy(struct restore *r, const char *path, struct err *e)
{
	struct dirent **list = NULL;
	char note[PATH_SIZE + 300];
	int count;

	(void)snprintf(r->copy, sizeof(r->copy), "%s", path);
	(void)snprintf(note, sizeof(note), "%s/" BACKUP_NOTE, path);
	if (access(note, F_OK) != 0) {
		count = scandir(path, &list, NULL, alphasort);
		for (int i = 0; i < count; i++) {
			(void)snprintf(note, sizeof(note), "%s/%s/" BACKUP_NOTE,
			    path, list[i]->d_name);
			if (list[i]->d_name[0] != '.' &&
			    access(note, F_OK) == 0)
				(void)snprintf(r->copy, sizeof(r->copy),
				    "%s/%s", path, list[i]->d_name);
			free(list[i]);
		}
		free(list);
	}
	r->copy_fd = open(r->copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->copy_fd < 0 || check_note(r->copy_fd, e) != 0)
		return err_set(e, ERR_PERM, "%s: not a backup", path);
	return 0;
}

/* --- all -------------------------------------------------------------------------- */

static int
fill(struct restore *r, int dir_fd, size_t *held_out, struct err *e)
{
	const struct config *config = &r->cli->config;
	struct tree t = { .from = r->copy_fd,
		.to = dir_fd,
		.prev = -1,
		.from_path = r->copy,
		.to_path = config->state_dir };
	char spool[CONFIG_PATH_SIZE * 2];
	int rc = 0;

	for (size_t i = 0; rc == 0 && backup_parts[i] != NULL; i++)
		rc = tree_copy(&t, backup_parts[i], e);
	if (rc == 0)
		rc = tree_copy(&t, "mail", e);
	tree_release(&t);
	/* the mail goes into the new state directory, wherever it was */
	if (rc != 0 || config_set_mail_root(config, NULL, e) != 0 ||
	    config_path(config, spool, sizeof(spool), e, "spool") != 0 ||
	    spool_create(spool, e) != 0 ||
	    state_make_tree(dir_fd, config, e) != 0 ||
	    spool_hold_all(spool, "restored from a backup", held_out, e) != 0 ||
	    state_own_tree(dir_fd, config, e) != 0)
		return -1;
	return syncfs(dir_fd) != 0 ? err_errno(e, "flush") : 0;
}

static int
restore_all(struct restore *r, struct err *e)
{
	struct cli *c = r->cli;
	const char *path =
	    c->state_arg ? c->state_arg : getenv("MAILSTEAD_STATE");
	size_t held = 0;
	int dir_fd, rc;

	if (path != NULL && mkdir(path, 0755) != 0 && errno != EEXIST)
		return err_errno(e, "%s", path);
	if (config_load_new(path, &c->config, e) != 0 ||
	    state_open_empty(c->config.state_dir, &dir_fd, e) != 0)
		return -1;
	umask(0);
	rc = fill(r, dir_fd, &held, e);
	if (rc != 0)
		state_empty(dir_fd);
	(void)close(dir_fd);
	if (rc != 0)
		return -1;
	if (c->json)
		printf("{\"held\": %zu}\n", held);
	else
		printf("restored %s from %s\n%zu messages of the queue are "
		       "held until `mailstead queue release`\n",
		    c->config.state_dir, r->copy, held);
	return 0;
}

/* --- accounts --------------------------------------------------------------------- */

/* The account exists now; false: it did not when the copy was made. */
static int
need_account(struct restore *r, const char *address, struct err *e)
{
	json_t *request, *reply;

	if (names_is_there(r->cli, "user show", "address", address))
		return 0;
	if (names_account(&r->names, address, &request, e) != 0 ||
	    cli_call(r->cli, request, &reply, e) != 0)
		return -1;
	json_array_append_new(r->made,
	    json_incref(
		json_object_get(json_object_get(reply, "user"), "address")));
	json_decref(reply);
	return 0;
}

/* --- messages --------------------------------------------------------------------- */

static int
bring_back(const struct maildir *from, const struct maildir *to,
    const struct maildir_entry *m, struct err *e)
{
	struct slice base = maildir_base_name(m->name);
	char name[MAILDIR_NAME_SIZE], out[MAILDIR_NAME_SIZE];
	struct iovec piece = { NULL, 0 };
	struct stat st;
	int fd, rc = -1;

	(void)snprintf(name, sizeof(name), "%.*s", (int)base.len, base.data);
	if (maildir_open_message(from, m->name, &fd, e) != 0)
		return -1;
	if (fstat(fd, &st) != 0) {
		err_errno(e, "%s", name);
		goto out;
	}
	piece.iov_len = (size_t)st.st_size;
	if (piece.iov_len > 0)
		piece.iov_base =
		    mmap(NULL, piece.iov_len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (piece.iov_base == MAP_FAILED) {
		err_errno(e, "%s", name);
		goto out;
	}
	rc = maildir_write_tmp(to, name, &piece, 1, e);
	if (rc == 0)
		rc = m->is_new
		    ? maildir_publish(to, name, e)
		    : maildir_publish_cur(to, name, m->flags, out, e);
	if (piece.iov_len > 0)
		(void)munmap(piece.iov_base, piece.iov_len);
out:
	(void)close(fd);
	return rc;
}

static int
compare_bases(const void *a, const void *b)
{
	return maildir_order(((const struct maildir_entry *)a)->name,
	    ((const struct maildir_entry *)b)->name);
}

static bool
is_wanted(const struct restore *r, const struct maildir_entry *m)
{
	char id[MAILDIR_UIDL_SIZE];

	maildir_uidl(m->name, id);
	return r->message == NULL || strcmp(id, r->message) == 0 ||
	    slice_starts(maildir_base_name(m->name), r->message);
}

static int
restore_folder(struct restore *r, const struct maildir *from,
    const struct maildir *to, size_t *restored, size_t *present, struct err *e)
{
	struct maildir_list then, now;
	int rc = 0;

	if (maildir_list(from, &then, e) != 0)
		return -1;
	if (maildir_list(to, &now, e) != 0) {
		maildir_list_release(&then);
		return -1;
	}
	for (size_t i = 0; rc == 0 && i < then.count; i++) {
		const struct maildir_entry *m = &then.items[i];

		if (!is_wanted(r, m))
			continue;
		if (now.count > 0 &&
		    bsearch(m, now.items, now.count, sizeof(*m),
			compare_bases) != NULL) {
			(*present)++;
			continue;
		}
		rc = bring_back(from, to, m, e);
		*restored += rc == 0;
	}
	maildir_list_release(&then);
	maildir_list_release(&now);
	return rc;
}

/* A folder by its directory ("" = the inbox) of one mailbox. */
static int
restore_dir(struct restore *r, int from_root, int to_root, const char *path,
    const char *dir, size_t counts[2], struct err *e)
{
	struct maildir from, to;
	int rc;

	if (maildir_open(from_root, path, dir, false, &from, e) != 0)
		return -1;
	if (maildir_open(to_root, path, dir, true, &to, e) != 0) {
		maildir_close(&from);
		return -1;
	}
	rc = restore_folder(r, &from, &to, &counts[0], &counts[1], e);
	if (rc == 0 && counts[0] > 0 &&
	    (syncfs(to.new_fd) != 0 || fsync(to.cur_fd) != 0))
		rc = err_errno(e, "flush %s", path);
	maildir_close(&from);
	maildir_close(&to);
	return rc;
}

static bool
is_inbox(const char *folder)
{
	return slice_ieq_str(slice_str(folder), "inbox");
}

static int
restore_folders(struct restore *r, int from_root, int to_root, const char *path,
    size_t counts[2], struct err *e)
{
	char wanted[MAILDIR_NAME_SIZE] = "";
	struct maildir_folders all = { 0 };
	struct maildir inbox;
	int rc;

	if (r->folder != NULL && !is_inbox(r->folder) &&
	    !maildir_folder_encode(slice_str(r->folder), wanted))
		return err_set(
		    e, ERR_PERM, "%s is not a folder name", r->folder);
	if (r->folder != NULL)
		return restore_dir(
		    r, from_root, to_root, path, wanted, counts, e);
	if (maildir_open(from_root, path, "", false, &inbox, e) != 0)
		return -1;
	rc = maildir_folder_list(&inbox, &all, e);
	maildir_close(&inbox);
	if (rc == 0)
		rc = restore_dir(r, from_root, to_root, path, "", counts, e);
	for (size_t i = 0; rc == 0 && i < all.count; i++)
		rc = restore_dir(
		    r, from_root, to_root, path, all.items[i].dir, counts, e);
	maildir_folders_release(&all);
	return rc;
}

/* A part of the copy below the state directory, where there is none now. */
static int
restore_file(struct restore *r, const char *file, struct err *e)
{
	struct tree t = { .from = r->copy_fd,
		.prev = -1,
		.from_path = r->copy,
		.to_path = r->cli->config.state_dir };
	int rc;

	t.to = open(t.to_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t.to < 0)
		return err_errno(e, "%s", t.to_path);
	rc = tree_copy(&t, file, e);
	tree_release(&t);
	(void)close(t.to);
	return rc;
}

static int
restore_mailbox(struct restore *r, const char *address, const char *path,
    size_t counts[2], struct err *e)
{
	int from, to, rc = -1;

	from = openat(r->copy_fd, "mail", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = open(r->cli->config.mail_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || to < 0)
		err_errno(e, "mail");
	else if (faccessat(from, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		rc = r->folder == NULL && r->message == NULL
		    ? 0
		    : err_set(e, ERR_PERM, "%s had no mailbox", address);
	else
		rc = restore_folders(r, from, to, path, counts, e);
	if (from >= 0)
		(void)close(from);
	if (to >= 0)
		(void)close(to);
	return rc;
}

static int
restore_account(struct restore *r, const char *address, struct err *e)
{
	struct slice all = slice_str(address);
	ptrdiff_t at = slice_rchr(all, '@');
	size_t counts[2] = { 0, 0 };
	json_t *name, *counted = json_array();
	char path[PATH_SIZE], web[PATH_SIZE + 16];
	int rc;

	if (at <= 0 ||
	    !maildir_path(slice_of(address, (size_t)at),
		slice_skip(all, (size_t)at + 1), path, sizeof(path))) {
		json_decref(counted);
		return err_set(e, ERR_PERM, "%s: not an address", address);
	}
	name = json_string(address);
	rc = need_account(r, address, e);
	if (rc == 0)
		rc = restore_mailbox(r, address, path, counts, e);
	/* contacts, labels and preferences */
	(void)snprintf(web, sizeof(web), "users/%s.db", path);
	if (rc == 0 && r->folder == NULL && r->message == NULL)
		rc = restore_file(r, web, e);
	if (rc == 0)
		rc = mailbox_recount(r->cli, name, counted, e);
	if (rc == 0 && r->message != NULL && counts[0] + counts[1] == 0)
		rc = err_set(
		    e, ERR_PERM, "no message %s in the copy", r->message);
	if (rc == 0)
		json_array_append_new(r->restored,
		    json_pack("{s:O,s:I,s:I}", "address", name, "restored",
			(json_int_t)counts[0], "present",
			(json_int_t)counts[1]));
	json_decref(name);
	json_decref(counted);
	return rc;
}

static int
need_domain(
    struct restore *r, const char *domain, const char *alias_of, struct err *e)
{
	json_t *request, *reply;

	if (names_is_there(r->cli, "domain show", "domain", domain))
		return 0;
	request = json_pack("{s:s,s:s}", "verb", "domain add", "name", domain);
	if (alias_of[0] != '\0')
		json_object_set_new(request, "alias_of", json_string(alias_of));
	if (cli_call(r->cli, request, &reply, e) != 0)
		return -1;
	json_decref(reply);
	(void)snprintf(r->new_domain, sizeof(r->new_domain), "%s", domain);
	return names_restore_keys(&r->names, domain, e);
}

static int
restore_domain(struct restore *r, struct err *e)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	json_t *alias_of, *accounts, *one;
	size_t i;
	int rc;

	if (domain_normalise(slice_str(r->domain), domain, e) != 0 ||
	    names_domain(&r->names, domain, &alias_of, &accounts, e) != 0)
		return -1;
	rc = need_domain(r, domain, json_string_value(alias_of), e);
	json_array_foreach(accounts, i, one)
		if (rc == 0)
			rc = restore_account(r, json_string_value(one), e);
	if (rc == 0)
		rc = names_restore_domain(&r->names, domain, e);
	json_decref(alias_of);
	json_decref(accounts);
	return rc;
}

/*
 * Names last: a role may be about a list that was made anew, and what the
 * domain says about an account.
 */
static int
restore_names(struct restore *r, struct err *e)
{
	char look[PATH_SIZE];
	json_t *one;
	size_t i;

	json_array_foreach(r->made, i, one)
		if (names_restore_account(
			&r->names, json_string_value(one), e) != 0)
			return -1;
	if (r->new_domain[0] == '\0')
		return 0;
	(void)snprintf(look, sizeof(look), "domains/%s", r->new_domain);
	if (restore_file(r, look, e) != 0)
		return -1;
	return names_restore_properties(&r->names, r->new_domain, e);
}

static void
print(struct restore *r)
{
	static const char *const columns[] = { "address", "restored", "present",
		NULL };
	static const char *const names[] = { "address", "what", "name", "state",
		NULL };
	json_t *o = json_pack("{s:O,s:O,s:O}", "accounts", r->restored,
	    "need_password", r->made, "names", r->names.report);
	json_t *address;
	size_t i;

	if (r->cli->json) {
		cli_print_json(o);
	} else {
		cli_print_table(r->restored, columns);
		if (json_array_size(r->names.report) > 0)
			cli_print_table(r->names.report, names);
		json_array_foreach(r->made, i, address)
			printf("%s was made anew: mailstead user passwd %s\n",
			    json_string_value(address),
			    json_string_value(address));
	}
	json_decref(o);
}

static int
restore_part(struct restore *r, struct err *e)
{
	char path[PATH_SIZE + 32], secrets[PATH_SIZE + 32];
	int rc;

	(void)snprintf(
	    path, sizeof(path), "%s/directory/directory.db", r->copy);
	(void)snprintf(
	    secrets, sizeof(secrets), "%s/directory/secrets.db", r->copy);
	if (config_load(r->cli->state_arg, &r->cli->config, e) != 0)
		return -1;
	if (sql_open(path, SQL_READ, &r->names.then, e) != 0 ||
	    sql_open(secrets, SQL_READ, &r->names.secrets, e) != 0) {
		sql_close(r->names.then);
		return -1;
	}
	r->restored = json_array();
	r->made = json_array();
	r->names.cli = r->cli;
	r->names.report = json_array();
	rc = r->account != NULL ? restore_account(r, r->account, e)
				: restore_domain(r, e);
	if (rc == 0)
		rc = restore_names(r, e);
	if (rc == 0)
		print(r);
	sql_close(r->names.then);
	sql_close(r->names.secrets);
	json_decref(r->names.report);
	json_decref(r->restored);
	json_decref(r->made);
	return rc;
}

int
command_restore(struct cli *c)
{
	struct restore r = { .cli = c, .copy_fd = -1 };
	const char *path;
	struct err e;
	int rc;

	r.domain = cli_option(c, "--domain");
	r.account = cli_option(c, "--account");
	r.folder = cli_option(c, "--folder");
	r.message = cli_option(c, "--message");
	path = cli_argument(c);
	if (path == NULL || (r.domain != NULL && r.account != NULL) ||
	    (r.account == NULL && (r.folder != NULL || r.message != NULL)))
		return cli_usage("restore COPY [--domain D | --account A "
				 "[--folder F] [--message ID]]");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	rc = open_copy(&r, path, &e);
	if (rc == 0)
		rc = r.domain != NULL || r.account != NULL
		    ? restore_part(&r, &e)
		    : restore_all(&r, &e);
	if (r.copy_fd >= 0)
		(void)close(r.copy_fd);
	return rc == 0 ? CLI_DONE : cli_fail(&e);
}
