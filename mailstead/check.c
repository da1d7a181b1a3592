/*
 * `mailstead check domain`: what the DNS should say of a domain and says.
 *
 * `mailstead check route`: gathers the facts of an imagined message and asks
 * the same functions as the SMTP server (common/policy).  Nothing is sent and
 * nothing changed; DNS is asked where the settings want it.
 *
 * With --user the message comes over submission, else from a stranger's
 * server to port 25.
 */
#include "mailstead/check.h"

#include <stdio.h>
#include <string.h>

#include "directory/accountd.h"
#include "directory/domain_check.h"
#include "mail/srs.h"
#include "policy/route.h"

#include "mailstead/tool.h"

static bool
ask_srs_key(void *arg, uint8_t *out)
{
	json_t *reply = NULL;
	struct err e;
	bool have = cli_call(arg, json_pack("{ss}", "verb", "srs key"), &reply,
			&e) == 0 &&
	    accountd_read_srs_key(reply, out, &e) == 0;

	json_decref(reply);
	return have;
}

static void
print_verdict(json_t *v)
{
	static const char *const keys[] = { "rule", "next", "reason" };

	(void)printf("%s: %s\n",
	    json_string_value(json_object_get(v, "verdict")),
	    json_string_value(json_object_get(v, "reply")));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *text =
		    json_string_value(json_object_get(v, keys[i]));
		if (text != NULL && text[0] != '\0')
			(void)printf("%s: %s\n", keys[i], text);
	}
}

static int
check_route(struct cli *c)
{
	struct policy_question q = { .ip = cli_option(c, "--ip"),
		.user = cli_option(c, "--user"),
		.srs_key = ask_srs_key,
		.arg = c };
	struct directory *d = NULL;
	json_t *verdict;
	struct err e;

	q.from = cli_argument(c);
	q.to = cli_argument(c);
	if (!cli_complete(c, q.to != NULL && q.ip != NULL,
		"check route FROM TO --ip A [--user U]"))
		return CLI_USAGE;
	int rc = directory_open(c->config.state_dir, &d, &e);
	if (rc == 0)
		rc = policy_route(d, &q, &verdict, &e);
	directory_close(d);
	if (rc != 0)
		return cli_fail(&e);
	if (c->json)
		cli_print_json(verdict);
	else
		print_verdict(verdict);
	json_decref(verdict);
	return CLI_DONE;
}

/* --- check domain ------------------------------------------------------------- */

static void
print_domain(json_t *result)
{
	static const char *const checks[] = { "state", "id", "text", NULL };
	json_t *record, *part;
	size_t i, k;

	json_array_foreach(json_object_get(result, "records"), i, record) {
		const char *type, *name, *value, *state, *relative;

		if (json_unpack(record, "{ss,ss,ss,ss,ss}", "type", &type,
			"name", &name, "value", &value, "state", &state,
			"short_name", &relative) != 0)
			continue;
		(void)printf("%s: %s %s\n", state, type, name);
		if (strcmp(name, relative) != 0)
			(void)printf("    in the zone: %s\n", relative);
		(void)printf("    publish:");
		json_array_foreach(json_object_get(record, "strings"), k, part)
			(void)printf(
			    strcmp(type, "TXT") == 0 ? " \"%s\"" : " %s",
			    json_string_value(part));
		putchar('\n');
		json_array_foreach(json_object_get(record, "found"), k, part)
			(void)printf(
			    "    found: %s\n", json_string_value(part));
	}
	putchar('\n');
	cli_print_table(json_object_get(result, "checks"), checks);
}

static int
ask_keys(struct cli *c, const char *domain, json_t **out, struct err *e)
{
	return cli_call(c,
	    json_pack(
		"{ss,ss,sb}", "verb", "dkim list", "domain", domain, "test", 1),
	    out, e);
}

static int
check_domain(struct cli *c)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	const char *text = cli_argument(c);
	struct domain_check q = { .domain = name };
	json_t *reply = NULL, *result = NULL;
	struct settings *s = NULL;
	struct err e;
	int rc = -1;

	if (!cli_complete(c, text != NULL, "check domain DOMAIN"))
		return CLI_USAGE;
	if (domain_normalise(slice_str(text), name, &e) == 0 &&
	    ask_keys(c, name, &reply, &e) == 0 &&
	    directory_read_settings(c->config.state_dir, &s, &e) == 0) {
		q.settings = s;
		q.keys = json_object_get(reply, "items");
		rc = domain_check(&q, &result, &e);
	}
	if (rc == 0 && c->json)
		cli_print_json(result);
	else if (rc == 0)
		print_domain(result);
	json_decref(result);
	json_decref(reply);
	settings_free(s);
	return rc == 0 ? CLI_DONE : cli_fail(&e);
}

int
command_check(struct cli *c)
{
	const char *verb = cli_argument(c);

	if (verb == NULL)
		return command_check_server(c);
	if (strcmp(verb, "route") == 0)
		return check_route(c);
	if (strcmp(verb, "domain") == 0)
		return check_domain(c);
	return cli_usage("check route FROM TO --ip A [--user U]; "
			 "check domain DOMAIN");
}
