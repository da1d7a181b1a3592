/*
 * Users as a table; see user_csv.h.
 */
#include "directory/user_csv.h"

#include <stdlib.h>
#include <string.h>

#include "directory/accountd.h"

enum {
	BATCH_MAX = 200,
	BATCH_BYTES = ACCOUNTD_PACKET_MAX / 2,
	/* each costs its hash: an answer must not take long */
	BATCH_PASSWORDS = 40,
};

enum place {
	IN_USER, /* the user object itself */
	IN_SET,  /* its "set" */
	IN_ACCESS,
	IN_LIST, /* of the user object, separated by blanks */
};

/* clang-format off */
static const struct column {
	const char *name;
	enum place place;
} columns[] = {
	{ "address", IN_USER },
	{ "name", IN_USER },
	{ "password", IN_USER },
	{ "must_change", IN_USER },
	{ "quota_bytes", IN_SET },
	{ "quota_messages", IN_SET },
	{ "max_message_bytes", IN_SET },
	{ "lang", IN_SET },
	{ "zone", IN_SET },
	{ "may_change_password", IN_SET },
	{ "pop3", IN_ACCESS },
	{ "smtp", IN_ACCESS },
	{ "web", IN_ACCESS },
	{ "forward", IN_SET },
	{ "forward_keep", IN_SET },
	{ "aliases", IN_LIST },
	{ "roles", IN_SET },
	{ "disabled", IN_USER },
};

/* clang-format on */

static int
find_column(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		if (slice_ieq_str(slice_trim(slice_str(name)), columns[i].name))
			return (int)i;
	}
	return -1;
}

int
user_csv_init(struct user_csv *c, struct slice text, struct err *e)
{
	const char *fields[TABLE_FIELDS_MAX];
	bool has_address = false;

	*c = (struct user_csv){ .seen = json_object() };
	table_init(&c->table, text);
	if (table_next(&c->table, &c->pool, fields, &c->count, e) != 1)
		return err_set(e, ERR_SYNTAX,
		    "there is no first line that "
		    "names the columns");
	for (size_t i = 0; i < c->count; i++) {
		c->columns[i] = find_column(fields[i]);
		if (c->columns[i] < 0)
			return err_set(
			    e, ERR_SYNTAX, "unknown column \"%s\"", fields[i]);
		for (size_t k = 0; k < i; k++)
			if (c->columns[k] == c->columns[i])
				return err_set(e, ERR_SYNTAX,
				    "two columns are named \"%s\"", fields[i]);
		has_address |= c->columns[i] == 0;
		c->has_roles |=
		    strcmp(columns[c->columns[i]].name, "roles") == 0;
	}
	if (!has_address)
		return err_set(e, ERR_SYNTAX, "there is no column \"address\"");
	return 0;
}

void
user_csv_release(struct user_csv *c)
{
	json_decref(c->seen);
	pool_release(&c->pool);
}

static json_t *
words(const char *text)
{
	struct slice rest = slice_str(text), word;
	json_t *list = json_array();

	while (rest.data != NULL) {
		rest = slice_cut(rest, ' ', &word);
		if (word.len > 0)
			json_array_append_new(
			    list, json_stringn(word.data, word.len));
	}
	return list;
}

/*
 * A name that a spreadsheet would run as a formula, which users could leave
 * for their administrator: it goes out with a quote mark before it, and such
 * a mark is taken away again.
 */
static bool
is_formula(const char *name)
{
	name += strspn(name, "'");
	return name[0] != '\0' && strchr("=+-@", name[0]) != NULL;
}

static json_t *
user_of(struct user_csv *c, const char **fields, size_t count)
{
	json_t *set = json_object();
	json_t *user = json_pack("{so}", "set", set);

	for (size_t i = 0; i < count; i++) {
		const struct column *k = &columns[c->columns[i]];

		if (fields[i][0] == '\0')
			continue;
		if (strcmp(k->name, "name") == 0 && fields[i][0] == '\'' &&
		    is_formula(fields[i] + 1))
			fields[i]++;
		if (k->place == IN_LIST)
			json_object_set_new(user, k->name, words(fields[i]));
		else
			json_object_set_new(k->place == IN_USER ? user : set,
			    k->name, json_string(fields[i]));
	}
	return user;
}

/*
 * The next user, new, as the verb "user import" takes it: 1; 0 = no more;
 * -1 = this line is not one (go on).  The line's number is c->table.line.
 */
static int
user_csv_next(struct user_csv *c, json_t **user_out, struct err *e)
{
	const char *fields[TABLE_FIELDS_MAX], *address;
	size_t count;
	json_t *user;
	int got;
	char *key;

	pool_reset(&c->pool);
	got = table_next(&c->table, &c->pool, fields, &count, e);
	if (got != 1)
		return got;
	if (count > c->count)
		return err_set(e, ERR_SYNTAX,
		    "more fields than the first line has columns");
	user = user_of(c, fields, count);
	address = json_string_value(json_object_get(user, "address"));
	if (address == NULL) {
		json_decref(user);
		return err_set(e, ERR_SYNTAX, "there is no address");
	}
	key = pool_strdup(&c->pool, address);
	ascii_lower_str(key);
	if (json_object_get(c->seen, key) != NULL) {
		err_set(e, ERR_SYNTAX, "%s stands in the table twice", address);
		json_decref(user);
		return -1;
	}
	json_object_set_new(c->seen, key, json_true());
	*user_out = user;
	return 1;
}

/* --- Writing ------------------------------------------------------------------ */

void
user_csv_put_header(struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_addf(out, "%s%s", i > 0 ? "," : "", columns[i].name);
	buf_addstr(out, "\r\n");
}

static void
put_value(struct buf *out, const json_t *value)
{
	json_t *one;
	size_t i;

	if (json_is_string(value))
		table_put(out, json_string_value(value));
	else if (json_is_boolean(value))
		buf_addstr(out, json_is_true(value) ? "yes" : "no");
	else if (json_is_integer(value))
		buf_addf(out, "%lld", (long long)json_integer_value(value));
	json_array_foreach(value, i, one)
		buf_addf(out, "%s%s", i > 0 ? " " : "", json_string_value(one));
}

static void
put_name(struct buf *out, const char *name)
{
	struct buf text;

	buf_init(&text, 4096);
	buf_addf(&text, "%s%s", is_formula(name) ? "'" : "", name);
	table_put(out, text.data);
	buf_release(&text);
}

void
user_csv_put(struct buf *out, const json_t *user)
{
	const json_t *access = json_object_get(user, "access");
	const json_t *until = json_object_get(user, "disabled_until");

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		const json_t *from =
		    columns[i].place == IN_ACCESS ? access : user;

		if (i > 0)
			buf_addc(out, ',');
		if (strcmp(columns[i].name, "name") == 0)
			put_name(out,
			    json_string_value(json_object_get(user, "name")));
		else if (strcmp(columns[i].name, "disabled") == 0 &&
		    until != NULL)
			put_value(out, until);
		else
			put_value(out, json_object_get(from, columns[i].name));
	}
	buf_addstr(out, "\r\n");
}

/* --- Import ------------------------------------------------------------------- */

struct batch {
	json_t *users;
	size_t lines[BATCH_MAX];
	size_t bytes, passwords;
};

static void
tell(struct user_import *i, size_t line, const char *address, const char *error)
{
	if (error == NULL)
		i->good++;
	else
		i->bad++;
	i->line(i->arg, line, address, error);
}

static int
send_batch(struct user_import *i, struct batch *b, struct err *e)
{
	json_t *users = b->users, *reply = NULL, *item;
	size_t n;
	int r = 0;

	b->users = json_array();
	b->bytes = b->passwords = 0;
	if (json_array_size(users) > 0)
		r = i->call(i->arg,
		    json_pack("{ss,sO,sb}", "verb", "user import", "users",
			users, "dry_run", i->dry_run),
		    &reply, e);
	if (r == 0 && reply != NULL) {
		json_array_foreach(json_object_get(reply, "items"), n, item)
			tell(i, b->lines[n],
			    json_string_value(json_object_get(
				json_array_get(users, n), "address")),
			    json_is_true(json_object_get(item, "ok"))
				? NULL
				: json_string_value(
				      json_object_get(item, "text")));
	}
	json_decref(reply);
	json_decref(users);
	return r;
}

static int
add_user(struct user_import *i, struct batch *b, size_t line, json_t *user,
    struct err *e)
{
	size_t size = json_dumpb(user, NULL, 0, JSON_COMPACT) + 1;
	bool has_password = json_object_get(user, "password") != NULL;

	if (size > BATCH_BYTES) {
		tell(i, line, "", "the line is too long");
		json_decref(user);
		return 0;
	}
	if ((json_array_size(b->users) == BATCH_MAX ||
		b->bytes + size > BATCH_BYTES ||
		b->passwords + has_password > BATCH_PASSWORDS) &&
	    send_batch(i, b, e) != 0) {
		json_decref(user);
		return -1;
	}
	b->lines[json_array_size(b->users)] = line;
	b->bytes += size;
	b->passwords += has_password;
	json_array_append_new(b->users, user);
	return 0;
}

int
user_import(struct user_import *i, struct slice text, struct err *e)
{
	struct batch *b = mem_zalloc(sizeof(*b));
	struct user_csv c;
	json_t *user = NULL;
	struct err why;
	int r = user_csv_init(&c, text, e), got;

	b->users = json_array();
	while (r == 0 && (got = user_csv_next(&c, &user, &why)) != 0) {
		if (got > 0)
			r = add_user(i, b, c.table.line, user, e);
		else
			tell(i, c.table.line, "", why.text);
	}
	if (r == 0)
		r = send_batch(i, b, e);
	json_decref(b->users);
	free(b);
	user_csv_release(&c);
	return r;
}
