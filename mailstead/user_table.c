/*
 * Users as a table (directory/user_csv.h) in and out.
 */
#include "mailstead/user_table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "directory/accountd.h"
#include "directory/user_csv.h"

enum {
	TABLE_MAX = 64 * 1024 * 1024,
	PIECE = 64 * 1024,
};

struct run {
	struct cli *cli;
	json_t *lines;
};

static int
call(void *arg, json_t *request, json_t **reply_out, struct err *e)
{
	struct run *run = arg;

	return cli_call(run->cli, request, reply_out, e);
}

static void
line(void *arg, size_t number, const char *address, const char *error)
{
	struct run *run = arg;

	json_array_append_new(run->lines,
	    json_pack("{sI,ss,sb,ss}", "line", (json_int_t)number, "address",
		address, "ok", error == NULL, "text",
		error != NULL ? error : ""));
}

static int
read_table(const char *path, struct buf *out, struct err *e)
{
	size_t n;

	if (strcmp(path, "-") != 0)
		return file_read(AT_FDCWD, path, out, e);
	do {
		char *space = buf_reserve(out, PIECE);

		if (space == NULL)
			return err_set(e, ERR_PERM, "the table is too large");
		n = fread(space, 1, PIECE, stdin);
		buf_commit(out, n);
	} while (n > 0);
	return 0;
}

/* Refused lines are shown, and make it exit 1; the others are done. */
int
user_table_import(struct cli *c)
{
	static const char *const columns[] = { "line", "address", "text",
		NULL };
	struct run run = { .cli = c };
	struct user_import i = { .call = call, .line = line, .arg = &run };
	const char *path;
	struct buf table;
	struct err e;
	int rc;

	(void)cli_argument(c);
	i.dry_run = cli_flag(c, "--dry-run");
	path = cli_argument(c);
	if (!cli_complete(c, path != NULL,
		"user import: which FILE? (- is standard input)"))
		return CLI_USAGE;
	buf_init(&table, TABLE_MAX);
	run.lines = json_array();
	rc = read_table(path, &table, &e);
	if (rc == 0)
		rc = user_import(&i, buf_slice(&table), &e);
	buf_release(&table);
	for (size_t n = json_array_size(run.lines); n-- > 0 && !c->json;)
		if (json_is_true(
			json_object_get(json_array_get(run.lines, n), "ok")))
			json_array_remove(run.lines, n);
	if (c->json || json_array_size(run.lines) > 0)
		cli_print(c, run.lines, columns);
	json_decref(run.lines);
	if (rc != 0)
		return cli_fail(&e);
	if (!c->json)
		printf("%zu %s, %zu refused\n", i.good,
		    i.dry_run ? "would be added" : "added", i.bad);
	return i.bad > 0 ? CLI_REFUSED : CLI_DONE;
}

int
user_table_export(struct cli *c)
{
	const char *domain;
	json_t *request, *reply, *one;
	struct buf out;
	struct err e;
	bool more = true;
	size_t i;

	(void)cli_argument(c);
	domain = cli_argument(c);
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	request =
	    json_pack("{s:s,s:s*}", "verb", "user list", "domain", domain);
	buf_init(&out, (size_t)4 * ACCOUNTD_PACKET_MAX);
	user_csv_put_header(&out);
	while (more) {
		if (cli_call(c, json_incref(request), &reply, &e) != 0) {
			json_decref(request);
			buf_release(&out);
			return cli_fail(&e);
		}
		json_array_foreach(json_object_get(reply, "items"), i, one)
			user_csv_put(&out, one);
		fwrite(out.data, 1, out.len, stdout);
		buf_reset(&out);
		more = json_object_get(reply, "next") != NULL;
		if (more)
			json_object_set(
			    request, "after", json_object_get(reply, "next"));
		json_decref(reply);
	}
	json_decref(request);
	buf_release(&out);
	return CLI_DONE;
}
