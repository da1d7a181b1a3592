/*
 * set, get, settings: values of the registry.  Reading goes straight to the
 * directory; writing is accountd's.  The manual page mailstead-settings(5) is
 * printed from the registry, so it cannot lag behind.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"
#include "base/slice.h"
#include "directory/directory.h"

#include "mailstead/cli.h"

enum {
	APPLY_MAX = 1024 * 1024
};

static const char *const type_names[] = {
	[SETTING_BOOL] = "yes or no",
	[SETTING_INT] = "number",
	[SETTING_SIZE] = "size in bytes (units K, M, G)",
	[SETTING_DURATION] = "duration in seconds (units s, m, h, d, w)",
	[SETTING_CHOICE] = "one of",
	[SETTING_TEXT] = "text",
	[SETTING_LIST] = "list",
	[SETTING_IP_LIST] = "addresses (single, prefix, range, address/mask)",
	[SETTING_DURATIONS] = "list of durations",
	[SETTING_HOST] = "host name",
	[SETTING_SERVER_LIST] = "list of servers, as 192.0.2.1 or [::1]:5353",
};

static const struct setting *
known_setting(const char *name)
{
	const struct setting *s = setting_find(name);
	if (s == NULL)
		fprintf(stderr, "mailstead: no setting \"%s\"\n", name);
	return s;
}

/* Ask for a change, and say so when it is only tried. */
static int
change(struct cli *c, json_t *request)
{
	json_t *reply;
	struct err e;
	json_int_t seconds;

	if (cli_call(c, request, &reply, &e) != 0)
		return cli_fail(&e);
	seconds = json_integer_value(json_object_get(reply, "trial_s"));
	if (seconds > 0 && !c->json)
		printf("Goes back in %d seconds unless kept: mailstead "
		       "settings keep\n",
		    (int)seconds);
	return cli_changed(c, reply);
}

static int
command_set(struct cli *c)
{
	const char *domain = cli_option(c, "--domain");
	bool trial = cli_flag(c, "--trial");
	const char *name = cli_argument(c);
	const char *value = cli_argument(c);

	if (!cli_complete(c, value != NULL && (!trial || domain == NULL),
		"set [--domain D | --trial] NAME VALUE"))
		return CLI_USAGE;
	if (known_setting(name) == NULL)
		return CLI_REFUSED;
	return change(c,
	    json_pack("{s:s,s:s,s:s,s:b,s:s*}", "verb", "setting set", "name",
		name, "value", value, "trial", trial, "domain", domain));
}

/* Sizes are bytes, durations seconds; a list is text, as `set` takes it. */
static json_t *
value_json(const struct setting *s, const char *value)
{
	bool is_number = s->type == SETTING_INT || s->type == SETTING_SIZE ||
	    s->type == SETTING_DURATION;
	uint64_t n;

	if (s->type == SETTING_BOOL)
		return json_boolean(strcmp(value, "yes") == 0);
	if (is_number && num_parse(slice_str(value), INT64_MAX, &n))
		return json_integer((json_int_t)n);
	return json_string(value);
}

static int
print_value(const struct cli *c, const struct setting *s, const char *value)
{
	json_t *o;

	if (!c->json) {
		puts(value);
		return CLI_DONE;
	}
	o = value_json(s, value);
	cli_print_json(o);
	json_decref(o);
	return CLI_DONE;
}

/* A domain's values are only accountd's to know. */
static int
get_of_domain(struct cli *c, const struct setting *s, const char *domain)
{
	const char *value = "";
	json_t *reply;
	struct err e;
	int rc;

	if (cli_call(c,
		json_pack("{s:s,s:s,s:s}", "verb", "setting get", "name",
		    s->name, "domain", domain),
		&reply, &e) != 0)
		return cli_fail(&e);
	(void)json_unpack(reply, "{s:s}", "value", &value);
	rc = print_value(c, s, value);
	json_decref(reply);
	return rc;
}

static int
command_get(struct cli *c)
{
	const char *domain = cli_option(c, "--domain");
	const char *name = cli_argument(c);
	struct settings *all;
	struct err e;
	int rc;

	if (!cli_complete(c, name != NULL, "get [--domain D] NAME"))
		return CLI_USAGE;
	const struct setting *s = known_setting(name);
	if (s == NULL)
		return CLI_REFUSED;
	if (domain != NULL)
		return get_of_domain(c, s, domain);
	if (directory_read_settings(c->config.state_dir, &all, &e) != 0)
		return cli_fail(&e);
	rc = print_value(c, s, settings_text(all, setting_id_of(s)));
	settings_free(all);
	return rc;
}

static json_t *
settings_json(const struct settings *all)
{
	json_t *list = json_array();
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];
		json_array_append_new(list,
		    json_pack("{s:s,s:o,s:o,s:s,s:s}", "name", s->name, "value",
			value_json(s, settings_text(all, (enum setting_id)i)),
			"default", value_json(s, s->fallback), "type",
			type_names[s->type], "help", s->help));
	}
	return list;
}

static int
list_settings(struct cli *c)
{
	static const char *const columns[] = { "name", "value", "help", NULL };
	struct settings *all;
	struct err e;

	if (directory_read_settings(c->config.state_dir, &all, &e) != 0)
		return cli_fail(&e);
	json_t *list = settings_json(all);
	cli_print(c, list, columns);
	json_decref(list);
	settings_free(all);
	return CLI_DONE;
}

/* Text that `apply` reads: what differs from the default. */
static int
export_settings(struct cli *c, const char *path)
{
	json_t *changed = json_object();
	struct settings *all;
	const char *name;
	json_t *text;
	struct err e;

	if (path != NULL && freopen(path, "w", stdout) == NULL) {
		json_decref(changed);
		err_errno(&e, "open %s", path);
		return cli_fail(&e);
	}
	if (directory_read_settings(c->config.state_dir, &all, &e) != 0) {
		json_decref(changed);
		return cli_fail(&e);
	}
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];
		char fallback[SETTING_VALUE_SIZE];
		const char *value = settings_text(all, (enum setting_id)i);
		if (setting_check(
			s, s->fallback, fallback, sizeof(fallback), &e) == 0 &&
		    strcmp(value, fallback) != 0)
			json_object_set_new(
			    changed, s->name, json_string(value));
	}
	settings_free(all);
	if (c->json)
		cli_print_json(changed);
	else
		json_object_foreach(changed, name, text)
			printf("%s = %s\n", name, json_string_value(text));
	json_decref(changed);
	return CLI_DONE;
}

/* "name = value" lines into an object; '#' starts a comment line. */
static int
parse_lines(struct slice text, json_t *object, struct err *e)
{
	struct slice line;
	for (unsigned number = 1; text.data != NULL; number++) {
		text = slice_cut(text, '\n', &line);
		line = slice_trim(line);
		if (line.len == 0 || line.data[0] == '#')
			continue;
		struct slice name;
		struct slice value = slice_cut(line, '=', &name);
		name = slice_trim(name);
		value = slice_trim(value);
		char key[128];
		if (value.data == NULL || !slice_copy(name, key, sizeof(key)))
			return err_set(e, ERR_SYNTAX,
			    "line %u is not \"name = value\"", number);
		json_t *content = json_stringn(value.data, value.len);
		if (content == NULL)
			return err_set(
			    e, ERR_SYNTAX, "line %u is not UTF-8", number);
		json_object_set_new(object, key, content);
	}
	return 0;
}

static int
read_all(const char *path, struct buf *out, struct err *e)
{
	char chunk[4096];
	size_t n;

	if (path != NULL && file_read(AT_FDCWD, path, out, e) != 0) {
		e->kind = ERR_PERM; /* what was named is not there */
		return -1;
	}
	if (path != NULL)
		return 0;
	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		buf_add(out, chunk, n);
	if (buf_overflowed(out))
		return err_set(e, ERR_PERM, "too much input");
	return 0;
}

static int
apply_settings(struct cli *c, const char *path, bool trial)
{
	json_t *values = json_object();
	struct buf text;
	struct err e;

	buf_init(&text, APPLY_MAX);
	int result = read_all(path, &text, &e);
	if (result == 0)
		result = parse_lines(slice_of(text.data, text.len), values, &e);
	buf_release(&text);
	if (result != 0) {
		json_decref(values);
		return cli_fail(&e);
	}
	return change(c,
	    json_pack("{s:s,s:o,s:b}", "verb", "setting apply", "settings",
		values, "trial", trial));
}

/* What is on trial. */
static int
show_trial(struct cli *c)
{
	static const char *const columns[] = { "name", "before", "value",
		NULL };
	json_t *reply, *items;
	struct err e;

	if (cli_call(c, json_pack("{s:s}", "verb", "setting trial"), &reply,
		&e) != 0)
		return cli_fail(&e);
	items = json_object_get(reply, "items");
	(void)json_object_del(reply, "ok");
	if (c->json) {
		cli_print_json(reply);
	} else if (json_array_size(items) > 0) {
		cli_print_table(items, columns);
		printf("Goes back in %d seconds.\n",
		    (int)json_integer_value(json_object_get(reply, "left_s")));
	}
	json_decref(reply);
	return CLI_DONE;
}

static void
roff(const char *s)
{
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '-')
			fputs("\\-", stdout);
		else
			putchar(*s);
	}
}

/* mailstead-settings(5). */
static int
print_manual(void)
{
	puts(
	    ".TH MAILSTEAD-SETTINGS 5 \"\" \"Mailstead\" \"Mailstead manual\"\n"
	    ".SH NAME\nmailstead\\-settings \\- settings of a Mailstead "
	    "server\n.SH DESCRIPTION\nSettings are changed with\n.B mailstead "
	    "set\nor in the web administration; running daemons take a change "
	    "up within a second unless the text says otherwise.\n"
	    ".SH SETTINGS");
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *s = &setting_table[i];
		fputs(".TP\n.B ", stdout);
		roff(s->name);
		putchar('\n');
		roff(s->help);
		fputs("\nType: ", stdout);
		roff(type_names[s->type]);
		if (s->choices[0] != '\0') {
			putchar(' ');
			roff(s->choices);
		} else if (s->max > 0 && s->type != SETTING_TEXT) {
			printf(", %lld to %lld", (long long)s->min,
			    (long long)s->max);
		}
		fputs("; default: ", stdout);
		roff(s->fallback[0] ? s->fallback : "empty");
		puts(s->needs_restart ? ". Needs a restart." : ".");
	}
	puts(".SH SEE ALSO\n.BR mailstead (1)");
	return CLI_DONE;
}

static int
command_settings(struct cli *c)
{
	bool trial = cli_flag(c, "--trial");
	const char *verb = cli_argument(c);
	bool has_file = verb != NULL &&
	    (strcmp(verb, "apply") == 0 || strcmp(verb, "export") == 0);
	const char *path = has_file ? cli_argument(c) : NULL;
	struct err e;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (verb != NULL && strcmp(verb, "manual") == 0)
		return print_manual();
	if (config_load(c->state_arg, &c->config, &e) != 0)
		return cli_fail(&e);
	if (verb != NULL && strcmp(verb, "list") == 0)
		return list_settings(c);
	if (verb != NULL && strcmp(verb, "export") == 0)
		return export_settings(c, path);
	if (verb != NULL && strcmp(verb, "apply") == 0)
		return apply_settings(c, path, trial);
	if (verb != NULL && strcmp(verb, "trial") == 0)
		return show_trial(c);
	if (verb != NULL && strcmp(verb, "keep") == 0)
		return change(c, json_pack("{s:s}", "verb", "setting keep"));
	if (verb != NULL && strcmp(verb, "undo") == 0)
		return change(c, json_pack("{s:s}", "verb", "setting undo"));
	return cli_usage(
	    "settings list|export [FILE]|apply [--trial] [FILE]|trial|"
	    "keep|undo|manual");
}

const struct command commands_settings[] = {
	{ "set", "[--domain D | --trial] NAME VALUE", "Change a setting.",
	    false, command_set },
	{ "get", "[--domain D] NAME", "Print a setting's value.", false,
	    command_get },
	{ "settings",
	    "list|export [FILE]|apply [--trial] [FILE]|trial|keep|undo|manual",
	    "List all settings, write them as text, read such text; keep or "
	    "undo what is only tried.",
	    true, command_settings },
	{ 0 },
};
