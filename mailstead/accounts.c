/*
 * domain, user, alias, list, totp, audit, dkim, ban: each line of the table is
 * one verb of accountd with the arguments it takes; the loop below turns
 * arguments into a request and the answer into text.  What is allowed and
 * valid is accountd's to say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/slice.h"

#include "mailstead/cli.h"
#include "mailstead/left.h"
#include "mailstead/look.h"
#include "mailstead/user_table.h"

enum flags {
	F_PASSWORD = 1,  /* read a password from standard input */
	F_KEYS = 2,      /* key=value arguments into "set" */
	F_TARGETS = 4,   /* all remaining arguments into "targets" */
	F_LIST = 8,      /* the answer is a list in pages */
	F_OBJECT = 16,   /* the answer is one object */
	F_OPTIONAL = 32, /* the argument may be missing */
	F_SELECTOR = 64, /* a second argument, optional: "selector" */
	F_CODE = 128,    /* a second argument, optional: "code" */
	F_ADD = 256,     /* all remaining arguments into "add" */
	F_REMOVE = 512,  /* the same into "remove" */
	F_TOP = 1024,    /* key=value arguments into the request itself */
	F_WHOLE = 2048,  /* the whole answer is the object */
	F_LEAVES = 4096, /* a mailbox is left over: put it aside */
};

struct option {
	const char *name; /* "--quota-bytes" */
	const char *key;  /* "quota_bytes" */

	enum {
		INTO_REQUEST,
		INTO_NUMBER,
		INTO_SET,
		INTO_ARRAY,
		AS_FLAG
	} kind;
};

struct verb {
	const char *name;
	const char *verb;     /* accountd's */
	const char *argument; /* key of the plain argument, or NULL */
	const char *result;   /* key in the answer, for lists and objects */
	unsigned flags;
	struct option options[14];
	const char *columns[8]; /* of a list, or of one object as a row */
};

/* clang-format off */
static const struct verb domain_verbs[] = {
	{ "add", "domain add", "name", NULL, 0,
	  { { "--alias-of", "alias_of", INTO_REQUEST },
	    { "--default", "default", AS_FLAG } }, { NULL } },
	{ "list", "domain list", NULL, "items", F_LIST, { { 0 } },
	  { "name", "alias_of", "default", "disabled", "accounts", "catchall", NULL } },
	{ "show", "domain show", "domain", "domain", F_OBJECT, { { 0 } }, { NULL } },
	{ "set", "domain set", "domain", NULL, F_KEYS, { { 0 } }, { NULL } },
	{ "disable", "domain disable", "domain", NULL, 0, { { 0 } }, { NULL } },
	{ "enable", "domain enable", "domain", NULL, 0, { { 0 } }, { NULL } },
	{ "delete", "domain delete", "domain", NULL, 0, { { 0 } }, { NULL } },
	{ 0 },
};

static const struct verb user_verbs[] = {
	{ "add", "user add", "address", NULL, F_PASSWORD,
	  { { "--name", "name", INTO_REQUEST },
	    { "--role", "roles", INTO_ARRAY },
	    { "--quota-bytes", "quota_bytes", INTO_SET },
	    { "--quota-messages", "quota_messages", INTO_SET },
	    { "--max-message-bytes", "max_message_bytes", INTO_SET },
	    { "--lang", "lang", INTO_SET },
	    { "--zone", "zone", INTO_SET },
	    { "--keep-mailbox", "keep_mailbox", AS_FLAG },
	    { "--aside-mailbox", "aside_mailbox", AS_FLAG },
	    { "--generate", "generate", AS_FLAG },
	    { "--must-change", "must_change", AS_FLAG },
	    { "--list", "lists", INTO_ARRAY },
	    { "--group", "groups", INTO_ARRAY } }, { NULL } },
	{ "list", "user list", "domain", "items", F_LIST | F_OPTIONAL,
	  { { "--match", "match", INTO_REQUEST },
	    { "--admins", "admins", AS_FLAG },
	    { "--disabled", "disabled", AS_FLAG } },
	  { "address", "name", "roles", "disabled", "quota_bytes", "used_bytes", NULL } },
	{ "show", "user show", "address", "user", F_OBJECT, { { 0 } }, { NULL } },
	{ "set", "user set", "address", NULL, F_KEYS, { { 0 } }, { NULL } },
	{ "passwd", "user passwd", "address", NULL, F_PASSWORD,
	  { { "--generate", "generate", AS_FLAG },
	    { "--must-change", "must_change", AS_FLAG } }, { NULL } },
	{ "disable", "user disable", "address", NULL, 0,
	  { { "--until", "until", INTO_REQUEST } }, { NULL } },
	{ "enable", "user enable", "address", NULL, 0, { { 0 } }, { NULL } },
	{ "sessions", "user sessions", "address", "items", F_LIST, { { 0 } },
	  { "id", "program", "ip", "agent", "created_at", "seen_at", NULL } },
	{ "sign-out", "user sign-out", "address", NULL, 0,
	  { { "--id", "id", INTO_NUMBER } }, { NULL } },
	{ "delete", "user delete", "address", NULL, F_LEAVES, { { 0 } }, { NULL } },
	{ 0 },
};

static const struct verb alias_verbs[] = {
	{ "add", "alias add", "address", NULL, F_TARGETS, { { 0 } }, { NULL } },
	{ "list", "alias list", "domain", "items", F_LIST | F_OPTIONAL,
	  { { "--match", "match", INTO_REQUEST } },
	  { "address", "targets", NULL } },
	{ "show", "alias show", "address", "alias", F_OBJECT, { { 0 } }, { NULL } },
	{ "delete", "alias delete", "address", NULL, 0, { { 0 } }, { NULL } },
	{ 0 },
};

static const struct verb list_verbs[] = {
	{ "add", "list add", "address", NULL, F_ADD,
	  { { "--name", "name", INTO_REQUEST } }, { NULL } },
	{ "list", "list list", "domain", "items", F_LIST | F_OPTIONAL,
	  { { "--match", "match", INTO_REQUEST } },
	  { "address", "name", "members_only", "auth_required", "member_count", NULL } },
	{ "show", "list show", "address", "list", F_OBJECT, { { 0 } }, { NULL } },
	{ "members", "list show", "address", "items", F_LIST, { { 0 } }, { NULL } },
	{ "set", "list set", "address", NULL, F_KEYS | F_TOP, { { 0 } }, { NULL } },
	{ "join", "list set", "address", NULL, F_ADD, { { 0 } }, { NULL } },
	{ "leave", "list set", "address", NULL, F_REMOVE, { { 0 } }, { NULL } },
	{ "delete", "list delete", "address", NULL, 0, { { 0 } }, { NULL } },
	{ 0 },
};

static const struct verb totp_verbs[] = {
	{ "begin", "totp begin", "address", NULL, F_WHOLE, { { 0 } }, { NULL } },
	{ "confirm", "totp confirm", "address", NULL, F_CODE | F_WHOLE, { { 0 } }, { NULL } },
	{ "remove", "totp remove", "address", NULL, F_CODE, { { 0 } }, { NULL } },
	{ 0 },
};

static const struct verb app_verbs[] = {
	{ "add", "app add", "address", NULL, 0,
	  { { "--name", "name", INTO_REQUEST } }, { NULL } },
	{ "list", "app list", "address", "items", F_LIST, { { 0 } },
	  { "id", "name", "created_at", NULL } },
	{ "delete", "app delete", "address", NULL, 0,
	  { { "--id", "id", INTO_NUMBER } }, { NULL } },
	{ 0 },
};

static const struct verb credential_verbs[] = {
	{ "set", "credential set", "name", NULL, F_PASSWORD,
	  { { "--user", "user", INTO_REQUEST } }, { NULL } },
	{ "list", "credential list", NULL, "items", F_LIST, { { 0 } },
	  { "name", "user", NULL } },
	{ "delete", "credential delete", "name", NULL, 0, { { 0 } }, { NULL } },
	{ 0 },
};

static const struct verb audit_verb =
	{ "list", "audit list", "domain", "items", F_LIST | F_OPTIONAL,
	  { { "--who", "who", INTO_REQUEST },
	    { "--what", "what", INTO_REQUEST },
	    { "--act", "act", INTO_REQUEST },
	    { "--day", "day", INTO_REQUEST } },
	  { "time", "actor", "ip", "verb", "target", NULL } };

static const struct verb dkim_verbs[] = {
	{ "add", "dkim add", "domain", NULL, F_SELECTOR, { { 0 } }, { NULL } },
	{ "list", "dkim list", "domain", "items", F_LIST, { { 0 } },
	  { "selector", "algorithm", "state", "needed_until", "record", NULL } },
	{ "activate", "dkim activate", "domain", NULL, F_SELECTOR, { { 0 } }, { NULL } },
	{ "retire", "dkim retire", "domain", NULL, F_SELECTOR, { { 0 } }, { NULL } },
	{ "delete", "dkim delete", "domain", NULL, F_SELECTOR,
	  { { "--force", "force", AS_FLAG } }, { NULL } },
	{ 0 },
};

static const struct verb ban_verbs[] = {
	{ "list", "ban list", NULL, "items", F_LIST, { { 0 } },
	  { "address", "until", "failures", "limit", "service", "since", NULL } },
	{ "check", "ban check", "ip", NULL, F_WHOLE, { { 0 } },
	  { "verdict", "failures", "limit", "wait_s", "until", NULL } },
	{ "lift", "ban lift", "ip", NULL, 0, { { 0 } }, { NULL } },
	{ 0 },
};

/* clang-format on */

static int
take_options(struct cli *c, const struct verb *v, json_t *request)
{
	json_t *set = json_object();

	for (const struct option *o = v->options; o->name != NULL; o++) {
		if (o->kind == AS_FLAG) {
			if (cli_flag(c, o->name))
				json_object_set_new(
				    request, o->key, json_true());
			continue;
		}
		const char *text = cli_option(c, o->name);
		json_t *value = text != NULL ? json_string(text) : NULL;
		if (text != NULL && value == NULL) {
			json_decref(set);
			return cli_usage("%s is not valid UTF-8", o->name);
		}
		if (value == NULL)
			continue;
		uint64_t n;
		if (o->kind == INTO_NUMBER &&
		    !num_parse(slice_str(text), INT64_MAX, &n)) {
			json_decref(value);
			json_decref(set);
			return cli_usage("%s needs a number", o->name);
		}
		if (o->kind == INTO_NUMBER) {
			json_decref(value);
			json_object_set_new(
			    request, o->key, json_integer((json_int_t)n));
		} else if (o->kind == INTO_SET)
			json_object_set_new(set, o->key, value);
		else if (o->kind == INTO_ARRAY)
			json_object_set_new(
			    request, o->key, json_pack("[o]", value));
		else
			json_object_set_new(request, o->key, value);
	}
	if (json_object_size(set) > 0)
		json_object_set(request, "set", set);
	json_decref(set);
	return CLI_DONE;
}

static int
take_keys(struct cli *c, json_t *changes)
{
	bool any = false;
	char *pair;

	while ((pair = cli_argument(c)) != NULL) {
		char *equals = strchr(pair, '=');
		if (equals == NULL)
			return cli_usage("\"%s\" is not key=value", pair);
		*equals = '\0';
		json_t *value = json_string(equals + 1);
		if (value == NULL)
			return cli_usage("%s is not valid UTF-8", pair);
		json_object_set_new(changes, pair, value);
		any = true;
	}
	if (!any)
		return cli_usage("nothing to set: give key=value");
	return CLI_DONE;
}

/* All remaining arguments as one array. */
static json_t *
take_rest(struct cli *c)
{
	json_t *list = json_array();
	char *word;

	while ((word = cli_argument(c)) != NULL)
		json_array_append_new(list, json_string(word));
	return list;
}

static int
take_more(struct cli *c, const struct verb *v, json_t *request)
{
	const char *key = (v->flags & F_SELECTOR) != 0 ? "selector" : "code";
	char *argument;
	json_t *set;

	if ((v->flags & (F_SELECTOR | F_CODE)) != 0 &&
	    (argument = cli_argument(c)) != NULL)
		json_object_set_new(request, key, json_string(argument));
	if ((v->flags & F_TOP) != 0)
		return take_keys(c, request);
	if ((v->flags & F_KEYS) != 0) {
		set = json_object();
		json_object_set_new(request, "set", set);
		return take_keys(c, set);
	}
	if ((v->flags & F_ADD) != 0)
		json_object_set_new(request, "add", take_rest(c));
	if ((v->flags & F_REMOVE) != 0)
		json_object_set_new(request, "remove", take_rest(c));
	if ((v->flags & F_TARGETS) != 0) {
		json_object_set_new(request, "targets", take_rest(c));
		if (json_array_size(json_object_get(request, "targets")) == 0)
			return cli_usage("an alias needs at least one target");
	}
	return CLI_DONE;
}

/* Everything but the password, which is asked for last. */
static int
take_arguments(
    struct cli *c, const struct verb *v, const char *noun, json_t *request)
{
	int result = take_options(c, v, request);
	if (result != CLI_DONE)
		return result;
	if (v->argument != NULL) {
		char *argument = cli_argument(c);
		if (argument == NULL && (v->flags & F_OPTIONAL) == 0)
			return cli_usage(
			    "%s %s: which %s?", noun, v->name, v->argument);
		if (argument != NULL)
			json_object_set_new(
			    request, v->argument, json_string(argument));
		if (argument != NULL && (v->flags & F_OPTIONAL) != 0)
			json_object_set_new(request, "verb",
			    json_sprintf("%s domain", v->verb));
	}
	result = take_more(c, v, request);
	return result == CLI_DONE ? cli_end(c) : result;
}

static void
print_object(json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		if (json_is_string(value)) {
			printf("%s: %s\n", key, json_string_value(value));
			continue;
		}
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		printf("%s: %s\n", key, text);
		free(text);
	}
}

static void
print_row(json_t *object, const char *const *columns)
{
	json_t *rows = json_pack("[O]", object);

	cli_print_table(rows, columns);
	json_decref(rows);
}

static int
ask_and_print(struct cli *c, const struct verb *v, json_t *request)
{
	json_t *reply = NULL;
	struct err e;

	if ((v->flags & F_LIST) != 0)
		return cli_list(c, request, v->result, v->columns);
	if (cli_call(c, request, &reply, &e) != 0)
		return cli_fail(&e);
	if ((v->flags & (F_OBJECT | F_WHOLE)) != 0) {
		json_t *object = (v->flags & F_WHOLE) != 0
		    ? reply
		    : json_object_get(reply, v->result);

		(void)json_object_del(reply, "ok");
		if (c->json)
			cli_print_json(object);
		else if (v->columns[0] != NULL)
			print_row(object, v->columns);
		else
			print_object(object);
	} else {
		const json_t *made = json_object_get(reply, "password");

		if (made != NULL && !c->json)
			puts(json_string_value(made));
		(void)cli_changed(c, json_incref(reply));
	}
	int result = CLI_DONE;
	if ((v->flags & F_LEAVES) != 0 &&
	    left_settle(c, json_string_value(json_object_get(reply, "address")),
		&e) != 0)
		result = cli_fail(&e);
	json_decref(reply);
	return result;
}

/* What an earlier user of the name left, before the new one is added. */
static int
put_aside_first(struct cli *c, json_t *request)
{
	struct err e;

	if (json_object_get(request, "aside_mailbox") == NULL)
		return CLI_DONE;
	(void)json_object_del(request, "aside_mailbox");
	if (json_object_get(request, "keep_mailbox") != NULL)
		return cli_usage("either --keep-mailbox or --aside-mailbox");
	return left_settle(c,
		   json_string_value(json_object_get(request, "address")),
		   &e) == 0
	    ? CLI_DONE
	    : cli_fail(&e);
}

static int
run_verbs(struct cli *c, const char *noun, const struct verb *table)
{
	const struct verb *v = table;
	const char *name = cli_argument(c);
	struct err e;

	while (v->name != NULL && (name == NULL || strcmp(v->name, name) != 0))
		v++;
	if (v->name == NULL)
		return cli_usage("%s: %s", noun,
		    name ? "no such verb" : "what shall be done?");
	json_t *request = json_pack("{s:s}", "verb", v->verb);
	int result = take_arguments(c, v, noun, request);
	if (result == CLI_DONE && (v->flags & F_PASSWORD) != 0 &&
	    json_object_get(request, "generate") == NULL) {
		char *password;
		if (cli_read_password(&password, &e) != 0) {
			json_decref(request);
			return cli_fail(&e);
		}
		json_object_set_new(request, "password", json_string(password));
		mem_wipe(password, strlen(password));
		free(password);
	}
	if (result == CLI_DONE)
		result = put_aside_first(c, request);
	if (result != CLI_DONE) {
		json_decref(request);
		return result;
	}
	return ask_and_print(c, v, request);
}

static int
command_domain(struct cli *c)
{
	if (c->argc > 0 && strcmp(c->argv[0], "look") == 0)
		return command_look(c);
	return run_verbs(c, "domain", domain_verbs);
}

static int
command_user(struct cli *c)
{
	if (c->argc > 0 && strcmp(c->argv[0], "import") == 0)
		return user_table_import(c);
	if (c->argc > 0 && strcmp(c->argv[0], "export") == 0)
		return user_table_export(c);
	return run_verbs(c, "user", user_verbs);
}

static int
command_alias(struct cli *c)
{
	return run_verbs(c, "alias", alias_verbs);
}

static int
command_list(struct cli *c)
{
	return run_verbs(c, "list", list_verbs);
}

static int
command_totp(struct cli *c)
{
	return run_verbs(c, "totp", totp_verbs);
}

static int
command_audit(struct cli *c)
{
	json_t *request = json_pack("{s:s}", "verb", audit_verb.verb);
	int result = take_arguments(c, &audit_verb, "audit", request);

	if (result == CLI_DONE)
		return ask_and_print(c, &audit_verb, request);
	json_decref(request);
	return result;
}

static int
command_dkim(struct cli *c)
{
	return run_verbs(c, "dkim", dkim_verbs);
}

static int
command_app(struct cli *c)
{
	return run_verbs(c, "app-password", app_verbs);
}

static int
command_credential(struct cli *c)
{
	return run_verbs(c, "credential", credential_verbs);
}

static int
command_ban(struct cli *c)
{
	return run_verbs(c, "ban", ban_verbs);
}

const struct command commands_accounts[] = {
	{ "domain", "add|list|show|set|look|disable|enable|delete [NAME] ...",
	    "Domains: add NAME [--alias-of DOMAIN|--default], set NAME "
	    "key=value..., look NAME signature.txt|brand.css [FILE].",
	    false, command_domain },
	{ "user",
	    "add|list|show|set|passwd|disable|enable|sessions|sign-out|delete|"
	    "import|export [ADDRESS] ...",
	    "Users: add ADDRESS [--name T] [--role R] [--quota-bytes N] "
	    "[--quota-messages N] [--list L] [--group A] [--keep-mailbox|--aside-mailbox], add|passwd "
	    "[--generate] [--must-change].",
	    false, command_user },
	{ "alias", "add|list|show|delete [ADDRESS] [TARGET...]",
	    "Aliases with one or more targets.", false, command_alias },
	{ "list", "add|list|show|members|set|join|leave|delete [ADDRESS] ...",
	    "Distribution lists: add|join|leave ADDRESS MEMBER..., set ADDRESS "
	    "name=T members_only=yes auth_required=yes.",
	    false, command_list },
	{ "totp", "begin|confirm|remove ADDRESS [CODE]",
	    "Two-step sign-in of a user.", false, command_totp },
	{ "app-password", "list|add|delete ADDRESS [--name N] [--id N]",
	    "Passwords for mail programs, beside the user's own: add --name N "
	    "prints one, delete --id N.",
	    false, command_app },
	{ "credential", "list; set NAME --user USER; delete NAME",
	    "Users and passwords for smart hosts, which name them.", false,
	    command_credential },
	{ "audit",
	    "[DOMAIN] [--who W] [--what T] [--act VERB] [--day YYYY-MM-DD]",
	    "Who changed what, newest first.", false, command_audit },
	{ "dkim", "add|list|activate|retire|delete DOMAIN [SELECTOR]",
	    "Signing keys of a domain; `list --json` has the DNS records. "
	    "delete [--force].",
	    false, command_dkim },
	{ "ban", "list; check ADDRESS; lift ADDRESS",
	    "Who may not sign in, deliver or send for a while.", false,
	    command_ban },
	{ 0 },
};
