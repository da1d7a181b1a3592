/*
 * What deleted users leave behind, by command; see left.h.
 */
#include "mailstead/left.h"

#include <string.h>

#include "base/clock.h"
#include "base/num.h"

#include "maildir/left.h"

#include "mailstead/mailbox.h"

enum {
	DAYS_USUAL = 30,
	DAY_MS = 86400000
};

static int
open_roots(struct cli *c, struct left_roots *out, struct err *e)
{
	char users[CONFIG_PATH_SIZE * 2];

	*out = (struct left_roots){ -1, -1 };
	return config_path(&c->config, users, sizeof(users), e, "users") != 0
	    ? -1
	    : left_open(c->config.mail_root, users, out, e);
}

/* Put an act down before it; the address as accountd knows it (new). */
static int
put_down(struct cli *c, const char *verb, const char *address,
    json_t **address_out, struct err *e)
{
	json_t *reply;

	if (cli_call(c,
		json_pack("{s:s,s:s}", "verb", verb, "address", address),
		&reply, e) != 0)
		return -1;
	*address_out = json_incref(json_object_get(reply, "address"));
	json_decref(reply);
	return 0;
}

int
left_settle(struct cli *c, const char *address, struct err *e)
{
	struct left_roots roots;
	json_t *name, *reply;
	int rc;

	if (put_down(c, "mailbox aside", address, &name, e) != 0)
		return -1;
	rc = open_roots(c, &roots, e);
	if (rc == 0)
		rc = left_put_aside(&roots, json_string_value(name), e);
	left_close(&roots);
	if (rc == 0)
		rc = cli_call(c,
		    json_pack("{s:s,s:O}", "verb", "mailbox settled", "address",
			name),
		    &reply, e);
	if (rc == 0)
		json_decref(reply);
	json_decref(name);
	return rc;
}

int
left_command_aside(struct cli *c)
{
	char *address = cli_argument(c);
	struct err e;

	if (!cli_complete(c, address != NULL, "mailbox aside ADDRESS"))
		return CLI_USAGE;
	return left_settle(c, address, &e) == 0 ? CLI_DONE : cli_fail(&e);
}

static void
add_found(void *arg, const char *domain, const char *name, int64_t time_ms)
{
	char time[CLOCK_RFC3339_SIZE];
	json_t *list = arg;

	clock_rfc3339(time_ms, time);
	json_array_append_new(list,
	    json_pack("{s:o,s:s}", "address",
		json_sprintf(
		    "%.*s@%s", (int)(strrchr(name, '~') - name), name, domain),
		"aside_at", time));
}

static int
print_list(struct cli *c, json_t *list, const char *const *columns)
{
	if (c->json || json_array_size(list) > 0)
		cli_print(c, list, columns);
	json_decref(list);
	return CLI_DONE;
}

int
left_command_left(struct cli *c)
{
	static const char *const columns[] = { "address", "aside_at",
		"deleted_at", NULL };
	struct left_roots roots = { -1, -1 };
	json_t *list = json_array(), *there = NULL;
	struct err e;
	int rc = cli_end(c);

	if (rc == CLI_DONE &&
	    (open_roots(c, &roots, &e) != 0 ||
		left_list(&roots, add_found, list, &e) != 0 ||
		cli_call_paged(c, json_pack("{s:s}", "verb", "mailbox left"),
		    "items", &there, &e) != 0))
		rc = cli_fail(&e);
	left_close(&roots);
	json_array_extend(list, there);
	json_decref(there);
	if (rc == CLI_DONE)
		return print_list(c, list, columns);
	json_decref(list);
	return rc;
}

static int
put_back(struct cli *c, const char *address, struct err *e)
{
	json_t *name, *counted = json_array();
	struct left_roots roots;
	int rc = put_down(c, "mailbox back", address, &name, e);

	if (rc == 0) {
		rc = open_roots(c, &roots, e);
		if (rc == 0)
			rc = left_put_back(&roots, json_string_value(name), e);
		left_close(&roots);
		if (rc == 0)
			rc = mailbox_recount(c, name, counted, e);
		json_decref(name);
	}
	json_decref(counted);
	return rc;
}

int
left_command_back(struct cli *c)
{
	char *address = cli_argument(c);
	struct err e;

	if (!cli_complete(c, address != NULL, "mailbox back ADDRESS"))
		return CLI_USAGE;
	return put_back(c, address, &e) == 0 ? CLI_DONE : cli_fail(&e);
}

struct gone {
	struct cli *cli;
	json_t *paths;
};

static void
add_gone(void *arg, const char *root, const char *path)
{
	const struct gone *g = arg;
	const struct config *config = &g->cli->config;

	json_array_append_new(g->paths,
	    json_pack("{s:o}", "path",
		strcmp(root, "mail") == 0
		    ? json_sprintf("%s/%s", config->mail_root, path)
		    : json_sprintf("%s/%s/%s", config->state_dir, root, path)));
}

int
left_command_purge(struct cli *c)
{
	static const char *const columns[] = { "path", NULL };
	const char *text = cli_option(c, "--days");
	const char *address = cli_option(c, "--address");
	struct gone g = { .cli = c };
	struct left_roots roots;
	uint64_t days = DAYS_USUAL;
	json_t *reply;
	struct err e;
	int rc;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (text != NULL && !num_parse(slice_str(text), 36500, &days))
		return cli_usage("mailbox purge [--days N] [--address A]");
	if (cli_call(c,
		json_pack("{s:s,s:s*,s:I}", "verb", "mailbox purge", "address",
		    address, "days", (json_int_t)days),
		&reply, &e) != 0)
		return cli_fail(&e);
	json_decref(reply);
	g.paths = json_array();
	rc = open_roots(c, &roots, &e);
	if (rc == 0)
		rc = left_purge(&roots, address,
		    clock_wall_ms() - (int64_t)days * DAY_MS, add_gone, &g, &e);
	left_close(&roots);
	(void)print_list(c, g.paths, columns);
	return rc != 0 ? cli_fail(&e) : CLI_DONE;
}
