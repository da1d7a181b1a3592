/*
 * `mailstead tls`: accountd keeps the certificates; this reads the files that
 * are put in, also as the hook of an ACME client.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include "mailstead/run.h"

enum {
	PEM_MAX = 60 * 1024 /* what fits into one question to accountd */
};

static int
list(struct cli *c)
{
	static const char *const columns[] = { "name", "not_after",
		"self_signed", "issuer", "names", "error", NULL };

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	return cli_list(
	    c, json_pack("{ss}", "verb", "tls list"), "items", columns);
}

/* Ask for the change, and print what accountd answers. */
static int
change(struct cli *c, json_t *request, const char *done)
{
	const char *until;
	json_t *reply;
	struct err e;
	char name[256];

	(void)snprintf(name, sizeof(name), "%s",
	    json_string_value(json_object_get(request, "name")));
	if (cli_call(c, request, &reply, &e) != 0)
		return cli_fail(&e);
	until = json_string_value(json_object_get(reply, "not_after"));
	if (c->json)
		return cli_changed(c, reply);
	if (until != NULL)
		printf("%s %s, valid until %s\n", name, done, until);
	else
		printf("%s %s\n", name, done);
	json_decref(reply);
	return CLI_DONE;
}

/* Links are followed: ACME clients hand out one to the newest file. */
static int
read_file(const char *path, struct buf *out, struct err *e)
{
	char *real = realpath(path, NULL);
	int rc;

	if (real == NULL)
		return err_set(e, ERR_PERM, "%s: not there", path);
	rc = file_read(AT_FDCWD, real, out, e);
	if (rc != 0)
		e->kind = ERR_PERM; /* what was named cannot be used */
	free(real);
	return rc;
}

static int
install(struct cli *c, const char *name, const char *cert_path,
    const char *key_path)
{
	json_t *request = NULL;
	struct buf cert, key;
	struct err e;

	buf_init(&cert, PEM_MAX);
	buf_init(&key, PEM_MAX);
	if (read_file(cert_path, &cert, &e) == 0 &&
	    read_file(key_path, &key, &e) == 0 &&
	    (request = json_pack("{s:s,s:s,s:s%,s:s%}", "verb", "tls install",
		 "name", name, "certificate", cert.data, cert.len, "key",
		 key.data, key.len)) == NULL)
		(void)err_set(
		    &e, ERR_PERM, "%s, %s: not PEM files", cert_path, key_path);
	if (key.alloc > 0)
		mem_wipe(key.data, key.len);
	buf_release(&key);
	buf_release(&cert);
	return request != NULL ? change(c, request, "installed") : cli_fail(&e);
}

int
command_tls(struct cli *c)
{
	const char *verb = cli_argument(c), *name = cli_argument(c);
	const char *first = cli_argument(c), *second = cli_argument(c);

	if (verb != NULL && strcmp(verb, "list") == 0 && name == NULL)
		return list(c);
	if (verb == NULL || name == NULL)
		return cli_usage("tls list; tls install NAME CERT KEY; tls "
				 "self-signed NAME [HOST]; tls delete NAME");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (strcmp(verb, "install") == 0 && second != NULL)
		return install(c, name, first, second);
	if (strcmp(verb, "self-signed") == 0 && second == NULL)
		return change(c,
		    json_pack("{s:s,s:s,s:s*}", "verb", "tls self-signed",
			"name", name, "host", first),
		    "made");
	if (strcmp(verb, "delete") == 0 && first == NULL)
		return change(c,
		    json_pack("{s:s,s:s}", "verb", "tls delete", "name", name),
		    "deleted");
	return cli_usage("tls: no verb \"%s\" with these arguments", verb);
}
