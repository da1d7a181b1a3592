/*
 * `mailstead mail-program`: what a mail program wants to know to be set up for
 * an address, as a table or as the file it reads.
 */
#include "mailstead/program.h"

#include <stdio.h>
#include <string.h>

#include "directory/client_config.h"
#include "directory/directory.h"
#include "mail/address.h"

enum {
	FILE_MAX = 64 * 1024
};

static json_t *
config_json(const struct client_config *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->count; i++)
		json_array_append_new(list,
		    json_pack("{s:s,s:s,s:i,s:s}", "protocol",
			c->servers[i].is_incoming ? "pop3" : "smtp", "host",
			c->host, "port", (int)c->servers[i].port, "security",
			c->servers[i].is_tls ? "tls" : "starttls"));
	return list;
}

/* 0: printed; -1: there is no such form. */
static int
print_file(const struct client_config *c, const char *address, const char *form)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, FILE_MAX);
	if (strcmp(form, "thunderbird") == 0)
		client_config_thunderbird(c, address, &b);
	else if (strcmp(form, "outlook") == 0)
		client_config_outlook(c, address, &b);
	else if (strcmp(form, "apple") == 0)
		client_config_apple(c, address, "", &b);
	else
		rc = -1;
	(void)fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	return rc;
}

int
command_mail_program(struct cli *c)
{
	static const char *const columns[] = { "protocol", "host", "port",
		"security", NULL };
	const char *form = cli_option(c, "--as"), *text = cli_argument(c);
	struct client_config config;
	struct settings *s = NULL;
	struct pool pool = { 0 };
	struct address a;
	struct err e;
	const char *address;
	json_t *list;
	int rc;

	if (!cli_complete(c, text != NULL,
		"mail-program ADDRESS [--as "
		"thunderbird|outlook|apple]"))
		return CLI_USAGE;
	if (address_parse(slice_str(text), 0, &pool, &a, &e) != 0 ||
	    directory_read_settings(c->config.state_dir, &s, &e) != 0) {
		pool_release(&pool);
		return cli_fail(&e);
	}
	address = address_format(&a, &pool);
	client_config_make(s, strrchr(address, '@') + 1, &config);
	list = config_json(&config);
	rc = CLI_DONE;
	if (form != NULL && print_file(&config, address, form) != 0)
		rc = cli_usage("--as thunderbird, outlook or apple");
	else if (form == NULL)
		cli_print(c, list, columns);
	json_decref(list);
	settings_free(s);
	pool_release(&pool);
	return rc;
}
