/*
 * Opening and making what accountd works on.  Runs in a worker after it was
 * forked (SQLite handles never cross a fork), or in the command line's own
 * accountd.
 *
 * Invariant: it fails closed: a secrets.db that others can read or that is a
 * link is not used.
 */
#include "core.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#include "names.h"
#include "password.h"
#include "sasl.h"
#include "store_directory.h"

static int
check_file(
    const char *state_dir, const char *name, mode_t forbidden, struct err *e)
{
	char *path = mem_printf("%s/directory/%s", state_dir, name);
	struct stat st;
	int r;

	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		r = err_set(e, ERR_PERM, "%s must be a file", path);
	else
		r = file_check_mode(path, forbidden, e);
	free(path);
	return r;
}

static int
open_parts(struct core *c, struct err *e)
{
	struct stat st;

	if (stat(c->state_dir, &st) != 0) {
		err_errno(e, "%s", c->state_dir);
		e->kind = ERR_PERM;
		return -1;
	}
	c->owner = st.st_uid;
	if (check_file(c->state_dir, "secrets.db", S_IRWXG | S_IRWXO, e) != 0 ||
	    check_file(c->state_dir, "directory.db", S_IWGRP | S_IRWXO, e) !=
		0 ||
	    store_directory_open(c->state_dir, &c->db, e) != 0 ||
	    secrets_open(c->state_dir, &c->secrets, e) != 0 ||
	    directory_open(c->state_dir, &c->directory, e) != 0)
		return -1;
	if (sasl_init(c) != 0)
		return err_set(e, ERR_PERM, "GNU SASL does not start");
	return 0;
}

int
core_open(const char *state_dir, struct core **out, struct err *e)
{
	struct core *c = mem_zalloc(sizeof(*c));

	c->state_dir = mem_strdup(state_dir);
	pthread_mutex_init(&c->write_lock, NULL);
	c->throttle = throttle_new();
	c->bans = bans_new(state_dir);
	c->cache = login_cache_new();
	c->dkim = dkim_keys_new();
	c->names = names_new();
	if (open_parts(c, e) != 0) {
		core_close(c);
		return -1;
	}
	*out = c;
	return 0;
}

void
core_close(struct core *c)
{
	if (c == NULL)
		return;
	sasl_release(c);
	directory_close(c->directory);
	secrets_close(c->secrets);
	sql_close(c->db);
	login_cache_free(c->cache);
	dkim_keys_free(c->dkim);
	names_free(c->names);
	throttle_free(c->throttle);
	bans_free(c->bans);
	pthread_mutex_destroy(&c->write_lock);
	free(c->state_dir);
	free(c);
}

bool
core_is_gone(const struct core *c)
{
	return sql_is_gone(c->db) || secrets_is_gone(c->secrets);
}

int
core_create(const char *state_dir, struct err *e)
{
	static const struct {
		const char *path;
		mode_t mode;
	} folders[] = { { "directory", 02750 }, { "log", 0755 },
		{ "log/audit", 02750 }, { "run", 0755 },
		{ "run/accountd", 0711 } };

	int dir = open(state_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (dir < 0) {
		err_errno(e, "%s", state_dir);
		e->kind = ERR_PERM;
		return -1;
	}
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(folders); i++)
		r = file_mkdir(dir, folders[i].path, folders[i].mode, e);
	close(dir);
	if (r == 0)
		r = store_directory_create(state_dir, e);
	if (r == 0)
		r = secrets_create(state_dir, e);
	return r;
}
