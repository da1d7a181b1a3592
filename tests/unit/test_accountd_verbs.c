/*
 * What accountd may be asked and by whom: the rights of every role, sessions,
 * the rules that hold for everybody, paging, the audit log.
 */
#include "base/buf.h"

#include "accountd/names.h"
#include "accountd/store_directory.h"
#include "accountd_fixture.h"

static struct fixture fx;
static struct link op, web, admin, mta, runner;
static char *server_session, *domain_session, *user_session;

static char *
sign_in(struct link *l, const char *login64, const char *password64)
{
	json_t *r = ask_ok(l,
	    json_pack("{ss,ss,ss,ss}", "verb", "session create", "login",
		login64, "password", password64, "ip", "192.0.2.1"));
	const char *token = json_string_value(json_object_get(r, "session"));
	char *copy = token ? mem_strdup(token) : NULL;

	json_decref(r);
	return copy;
}

static int
setup(void **state)
{
	(void)state;
	fixture_setup(&fx);
	fixture_fill(&fx);
	link_open(&op, fx.core, FROM_MAILSTEAD, true);
	link_open(&web, fx.core, FROM_WEBMAIL, false);
	link_open(&admin, fx.core, FROM_ADMIN, false);
	link_open(&mta, fx.core, FROM_MTAD, false);
	link_open(&runner, fx.core, FROM_QUEUE, false);
	do_ok(&op,
	    json_pack("{ss,ss,ss,s[s]}", "verb", "user add", "address",
		"chief@other.example", "password", "another password", "roles",
		"domain_admin"));
	server_session =
	    sign_in(&admin, "YWRtaW4=", "dGhyZWUgYmxpbmQgbWljZQ==");
	domain_session = sign_in(
	    &admin, "Y2hpZWZAb3RoZXIuZXhhbXBsZQ==", "YW5vdGhlciBwYXNzd29yZA==");
	user_session = sign_in(&web, "am9l", "c2VlIGhvdyB0aGV5IHJ1bg==");
	return server_session && domain_session && user_session ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	link_close(&op);
	link_close(&web);
	link_close(&admin);
	link_close(&mta);
	link_close(&runner);
	free(server_session);
	free(domain_session);
	free(user_session);
	fixture_teardown(&fx);
	return 0;
}

static json_t *
show(const char *session, const char *address)
{
	return json_pack("{ss,ss,ss}", "verb", "user show", "session", session,
	    "address", address);
}

static json_t *
set(const char *session, const char *address, const char *key,
    const char *value)
{
	return json_pack("{ss,ss,ss,s{ss}}", "verb", "user set", "session",
	    session, "address", address, "set", key, value);
}

static void
roles(void **state)
{
	(void)state;
	/* the server's administrator: everybody */
	do_ok(&admin, show(server_session, "joe@example.org"));
	do_ok(&admin, set(server_session, "joe@example.org", "name", "J."));
	/* a domain's administrator: his domain only */
	do_ok(&admin, show(domain_session, "joe@other.example"));
	do_ok(&admin,
	    set(domain_session, "joe@other.example", "quota_bytes", "5M"));
	refused(&admin, show(domain_session, "joe@example.org"), "not allowed");
	refused(
	    &admin, show(domain_session, "nobody@example.org"), "not allowed");
	refused(&admin, show(domain_session, "nobody@other.example"),
	    "no such user");
	refused(&admin,
	    json_pack("{ss,ss,ss,ss}", "verb", "user add", "session",
		domain_session, "address", "new@example.org", "password",
		"a fine password"),
	    "not allowed");
	refused(&admin,
	    json_pack("{ss,ss,ss}", "verb", "domain add", "session",
		domain_session, "name", "new.example"),
	    "not allowed");
	refused(&admin,
	    json_pack("{ss,ss,ss,ss}", "verb", "setting set", "session",
		domain_session, "name", "relay.mode", "value", "anyone"),
	    "not allowed");
	refused(&admin,
	    json_pack(
		"{ss,ss}", "verb", "audit list", "session", domain_session),
	    "not allowed");
	/* a user: himself, and only what is his to change */
	do_ok(&web, show(user_session, "joe@example.org"));
	do_ok(&web, set(user_session, "joe@example.org", "name", "Joe B."));
	do_ok(&web,
	    set(user_session, "joe@example.org", "forward", "j@example.net"));
	refused(&web, set(user_session, "joe@example.org", "quota_bytes", "0"),
	    "may not change quota_bytes");
	refused(&web, show(user_session, "admin@example.org"), "not allowed");
	refused(&web, set(user_session, "joe@other.example", "name", "x"),
	    "not allowed");
	refused(&web,
	    json_pack("{ss,ss,s{s[s]}}", "verb", "user set", "session",
		user_session, "set", "roles", "server_admin"),
	    "may not");
	/* nobody */
	refused(&admin, show("no-such-token", "joe@example.org"),
	    "session has ended");
	refused(&admin,
	    json_pack(
		"{ss,ss}", "verb", "user show", "address", "joe@example.org"),
	    "not signed in");
}

static void
escalation(void **state)
{
	(void)state;
	refused(&admin,
	    json_pack("{ss,ss,ss,s{s[s]}}", "verb", "user set", "session",
		domain_session, "address", "joe@other.example", "set", "roles",
		"server_admin"),
	    "may not give");
	refused(&admin,
	    json_pack("{ss,ss,ss,s{s[s]}}", "verb", "user set", "session",
		domain_session, "address", "joe@other.example", "set", "roles",
		"domain_admin:example.org"),
	    "may not give");
	/* somebody in his domain who may more than he */
	do_ok(&op,
	    json_pack("{ss,ss,s{s[s]}}", "verb", "user set", "address",
		"joe@other.example", "set", "roles",
		"domain_admin:example.org"));
	refused(&admin,
	    json_pack("{ss,ss,ss,ss}", "verb", "user passwd", "session",
		domain_session, "address", "joe@other.example", "password",
		"stolen by the chief"),
	    "not allowed");
	do_ok(&op,
	    json_pack("{ss,ss,s{s[]}}", "verb", "user set", "address",
		"joe@other.example", "set", "roles"));
	do_ok(&admin,
	    json_pack("{ss,ss,ss,ss}", "verb", "user passwd", "session",
		domain_session, "address", "joe@other.example", "password",
		"set by the chief"));
}

static void
sockets(void **state)
{
	(void)state;
	/* a session is of the program it was made by */
	refused(
	    &admin, show(user_session, "joe@example.org"), "session has ended");
	refused(
	    &web, show(server_session, "joe@example.org"), "session has ended");
	/* joe administers nothing */
	assert_null(sign_in(&admin, "am9l", "c2VlIGhvdyB0aGV5IHJ1bg=="));
	refused(
	    &mta, json_pack("{ss}", "verb", "user list"), "not by this socket");
	refused(&web,
	    json_pack("{ss,ss}", "verb", "credential get", "name", "x"),
	    "not by this socket");
	do_ok(&runner,
	    json_pack(
		"{ss,ss}", "verb", "session check", "session", server_session));
	refused(&runner,
	    json_pack(
		"{ss,ss}", "verb", "session check", "session", user_session),
	    "session has ended");
	refused(&runner,
	    json_pack("{ss,ss,ss,ss}", "verb", "auth password", "login", "",
		"password", "", "ip", "::1"),
	    "not by this socket");
	refused(&op, json_pack("{ss}", "verb", "sing"), "unknown verb");
	refused(&op, json_pack("{si}", "verb", 5), "must be a text");
	refused(&op, json_pack("{}"), "verb is missing");
	refused(&op,
	    json_pack("{ss,ss,ss,ss,ss}", "verb", "init", "hostname", "h",
		"domain", "d.example", "address", "a@d.example", "password",
		"a fine password"),
	    "not empty");
}

static void
credentials(void **state)
{
	json_t *r;

	(void)state;
	do_ok(&op,
	    json_pack("{ss,ss,ss,ss}", "verb", "credential set", "name",
		"relay", "user", "u", "password", "hush-hush"));
	r = ask_ok(&runner,
	    json_pack("{ss,ss}", "verb", "credential get", "name", "relay"));
	assert_string_equal(
	    json_string_value(json_object_get(r, "password")), "hush-hush");
	json_decref(r);
	refused(&runner,
	    json_pack("{ss,ss}", "verb", "credential get", "name", "other"),
	    "no credential");
}

static void
always(void **state)
{
	(void)state;
	refused(&op,
	    json_pack("{ss,ss}", "verb", "user delete", "address",
		"admin@example.org"),
	    "last server administrator");
	refused(&op,
	    json_pack("{ss,ss}", "verb", "user disable", "address",
		"admin@example.org"),
	    "last server administrator");
	refused(&op,
	    json_pack("{ss,ss,s{s[]}}", "verb", "user set", "address",
		"admin@example.org", "set", "roles"),
	    "last server administrator");
	refused(&op,
	    json_pack("{ss,ss}", "verb", "alias delete", "address",
		"abuse@example.org"),
	    "redirected");
	refused(&op,
	    json_pack("{ss,ss,s[]}", "verb", "alias add", "address",
		"abuse@example.org", "targets"),
	    "at least one");
	refused(&op,
	    json_pack(
		"{ss,ss}", "verb", "domain delete", "domain", "other.example"),
	    "has users");
	refused(&op,
	    json_pack("{ss,ss,ss}", "verb", "user add", "address",
		"JOE@example.org", "password", "a fine password"),
	    "exists already");
	refused(&op,
	    json_pack("{ss,ss,ss}", "verb", "user add", "address",
		"x@nowhere.example", "password", "a fine password"),
	    "no such domain");
	refused(&op,
	    json_pack("{ss,ss,ss}", "verb", "user add", "address", "no address",
		"password", "a fine password"),
	    "not an address");
	refused(
	    &op, json_pack("{ss,ss}", "verb", "domain add", "name", "a b"), "");
	refused(&op,
	    json_pack("{ss,ss}", "verb", "domain add", "name", "example.org"),
	    "exists already");
}

/* An alias that led to a deleted user goes; abuse@ finds somebody else. */
static void
deletion(void **state)
{
	struct err e;
	json_t *r;

	(void)state;
	do_ok(&op,
	    json_pack("{ss,ss,ss}", "verb", "user add", "address",
		"temp@example.org", "password", "a fine password"));
	do_ok(&op,
	    json_pack("{ss,ss,s[s]}", "verb", "alias add", "address",
		"abuse@example.org", "targets", "temp@example.org"));
	do_ok(&op,
	    json_pack("{ss,ss,s[s]}", "verb", "alias add", "address",
		"t@example.org", "targets", "temp@example.org"));
	do_ok(&op,
	    json_pack("{ss,ss}", "verb", "user delete", "address",
		"temp@example.org"));
	r = ask_ok(&op,
	    json_pack(
		"{ss,ss}", "verb", "alias list", "domain", "example.org"));
	assert_int_equal(json_array_size(json_object_get(r, "items")), 2);
	assert_string_equal(
	    json_string_value(json_array_get(
		json_object_get(
		    json_array_get(json_object_get(r, "items"), 0), "targets"),
		0)),
	    "admin@example.org");
	json_decref(r);
	assert_null(ask(&op,
	    json_pack(
		"{ss,ss}", "verb", "alias delete", "address", "t@example.org"),
	    &e));
}

static void
password(const char *text, const char *part)
{
	refused(&op,
	    json_pack("{ss,ss,ss}", "verb", "user passwd", "address",
		"joe@other.example", "password", text),
	    part);
}

static void
passwords(void **state)
{
	char longest[300];

	(void)state;
	password("short", "fewer than 12");
	password("\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6",
	    "fewer than 12");
	password("my name is Joe@other.example", "contains the name");
	password("call me joe now", "contains the name");
	password("password1234567", "too common");
	password("PasswordPassword", "too common");
	password("aaaaaaaaaaaaaaa", "too common");
	password("12345678901234", "too common");
	password("qwertyuiop123!", "too common");
	password("tab\tin the middle", "control");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	password(longest, "more than 256");
	refused(&web,
	    json_pack("{ss,ss,ss}", "verb", "user passwd", "session",
		user_session, "password", "a fine password"),
	    "old_password is missing");
	refused(&web,
	    json_pack("{ss,ss,ss,ss}", "verb", "user passwd", "session",
		user_session, "password", "a fine password", "old_password",
		"guess"),
	    "old password is wrong");
	do_ok(&web,
	    json_pack("{ss,ss,ss,ss}", "verb", "user passwd", "session",
		user_session, "password", "a fine password", "old_password",
		JOE_PASSWORD));
	/* that ended all sessions but this one: e2e/test_admin_people */
	do_ok(&web, show(user_session, "joe@example.org"));
}

static void
paging(void **state)
{
	struct err e;
	const char *after = "";
	char last[64] = "";
	size_t users = 0, pages = 0;

	(void)state;
	assert_int_equal(sql_begin(fx.core->db, &e), 0);
	for (int i = 0; i < 1000; i++) {
		char local[16];

		snprintf(local, sizeof(local), "u%04d", i);
		assert_true(sql_run(fx.core->db, &e,
				"INSERT INTO account (domain_id, local,"
				" created_ms) VALUES (1, ?1, 0)",
				"s", local) == 1);
	}
	assert_int_equal(sql_commit(fx.core->db, &e), 0);
	while (after != NULL) {
		json_t *r = ask_ok(&op,
		    json_pack("{ss,ss,ss,ss}", "verb", "user list", "after",
			after, "domain", "example.org", "match", "u0"));
		const char *next =
		    json_string_value(json_object_get(r, "next"));

		users += json_array_size(json_object_get(r, "items"));
		pages++;
		snprintf(last, sizeof(last), "%s", next ? next : "");
		after = next ? last : NULL;
		json_decref(r);
	}
	assert_int_equal(users, 1000);
	assert_in_range(pages, 2, 20);
}

/* Who is found, in order, as "address address "; by an operator. */
static void
assert_found(const char *match, const char *domain, const char *after,
    const char *expected)
{
	json_t *item,
	    *r = ask_ok(&op,
		json_pack("{ss,ss,ss*,ss*}", "verb", "user list", "match",
		    match, "domain", domain, "after", after));
	struct buf found;
	size_t i;

	buf_init(&found, 4096);
	json_array_foreach(json_object_get(r, "items"), i, item)
		buf_addf(&found, "%s ",
		    json_string_value(json_object_get(item, "address")));
	assert_string_equal(found.data, expected);
	buf_release(&found);
	json_decref(r);
}

/* Behind accountd's back, as another process would. */
static void
write_beside(const char *query)
{
	struct sql *db;
	struct err e;

	assert_int_equal(store_directory_open(fx.dir, &db, &e), 0);
	assert_true(sql_run(db, &e, query, "") >= 0);
	sql_close(db);
}

/* What a search shows is what the directory says at that time. */
static void
searching(void **state)
{
	(void)state;
	assert_found("zeb", NULL, NULL, "");
	write_beside("INSERT INTO account (domain_id, local, name, created_ms)"
		     " VALUES (1, 'Zebra', 'Stripes A', 0),"
		     " (2, 'zebu', 'Humps\nand ears', 0),"
		     " (1, 'yak', 'not a zebra', 0)");
	assert_found("zeb", NULL, NULL,
	    "yak@example.org Zebra@example.org zebu@other.example ");
	assert_found("ZEB?", NULL, NULL, "zebu@other.example ");
	assert_found("z*a", NULL, NULL, "Zebra@example.org ");
	assert_found("*and ears", NULL, NULL, "zebu@other.example ");
	assert_found("*humps*ears", NULL, NULL, "zebu@other.example ");
	assert_found(
	    "zeb@*", NULL, NULL, "Zebra@example.org zebu@other.example ");
	assert_found("zeb@oth", NULL, NULL, "zebu@other.example ");
	assert_found(
	    "zeb", "example.org", NULL, "yak@example.org Zebra@example.org ");
	assert_found("zeb", NULL, "YAK@example.org",
	    "Zebra@example.org zebu@other.example ");
	assert_found("zeb", NULL, "Zebra@example.org", "zebu@other.example ");
	assert_found("zeb", NULL, "zebu@other.example", "");

	write_beside("UPDATE account SET name = 'Long hair'"
		     " WHERE local = 'yak'");
	assert_found("zeb", "example.org", NULL, "Zebra@example.org ");
	assert_found("*long*", NULL, NULL, "yak@example.org ");
	write_beside("DELETE FROM account WHERE local = 'zebra'");
	assert_found("zeb", NULL, NULL, "zebu@other.example ");
	do_ok(&op,
	    json_pack("{ss,ss}", "verb", "user delete", "address",
		"zebu@other.example"));
	assert_found("zeb", NULL, NULL, "");
}

/* The ids that fit, in order, as text. */
static void
names_of(struct names *n, struct sql *db, const char *pattern, struct buf *out)
{
	const struct match m = {
		.local = pattern, .domain = "*", .either = true
	};
	struct names_search s = { .match = &m };
	struct pool pool = { 0 };
	struct err e;
	int64_t id;

	buf_reset(out);
	assert_int_equal(names_start(n, db, &s, &pool, &e), 0);
	while ((id = names_next(n, &s)) != 0)
		buf_addf(out, "%lld ", (long long)id);
	pool_release(&pool);
}

/* A change of one of some fifty accounts in five domains. */
static void
change_names(struct sql *db, unsigned random)
{
	const int64_t id = 10 + random / 8 % 50, domain = 10 + random / 8 % 5;
	char text[16];
	struct err e;
	int got = -1;

	snprintf(text, sizeof(text), "n%u", random / 512 % 1000);
	switch (random % 8) {
	case 0:
		got = sql_run(
		    db, &e, "DELETE FROM account WHERE id = ?1", "i", id);
		break;
	case 1:
		got = sql_run(db, &e,
		    "UPDATE OR IGNORE account SET local = ?2 WHERE id = ?1",
		    "is", id, text);
		break;
	case 2:
		got = sql_run(db, &e,
		    "UPDATE account SET name = ?2 WHERE id = ?1", "is", id,
		    text);
		break;
	case 3: /* another domain in its place, with its number */
		got = sql_run(db, &e,
		    "DELETE FROM account WHERE domain_id = ?1", "i", domain);
		assert_true(got >= 0);
		got = sql_run(
		    db, &e, "DELETE FROM domain WHERE id = ?1", "i", domain);
		break;
	default:
		got = sql_run(db, &e,
		    "INSERT OR IGNORE INTO domain (id, name, created_ms)"
		    " VALUES (?1, ?2 || '.d' || ?1, 0)",
		    "is", domain, text);
		assert_true(got >= 0);
		got = sql_run(db, &e,
		    "INSERT OR IGNORE INTO account (id, domain_id, local,"
		    " name, created_ms) VALUES (?1, ?2, ?3, 'N ' || ?3, 0)",
		    "iis", id, domain, text);
	}
	assert_true(got >= 0);
}

/* Reading again what changed comes to the same as reading all. */
static void
names_follow(void **state)
{
	static const char *const patterns[] = { "*", "*7*", "n1?*" };
	struct names *kept = names_new();
	unsigned random = 1;
	struct buf a, b;
	struct sql *db;
	struct err e;

	(void)state;
	assert_int_equal(store_directory_open(fx.dir, &db, &e), 0);
	buf_init(&a, 100000);
	buf_init(&b, 100000);
	for (int i = 0; i < 1000; i++) {
		struct names *fresh = names_new();

		for (int k = i % 20 == 0 ? 100 : 1 + i % 5; k > 0; k--) {
			random = random * 1103515245 + 12345;
			change_names(db, random >> 8);
		}
		for (size_t p = 0; p < ARRAY_LEN(patterns); p++) {
			names_of(kept, db, patterns[p], &a);
			names_of(fresh, db, patterns[p], &b);
			assert_string_equal(a.data, b.data);
		}
		names_free(fresh);
	}
	assert_true(a.len > 0);
	buf_release(&a);
	buf_release(&b);
	sql_close(db);
	names_free(kept);
}

/* What searches ask of each name. */
static void
wildcards(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool fits;
	} rows[] = {
		{ "*", "", true },
		{ "", "", true },
		{ "", "a", false },
		{ "?", "", false },
		{ "*body*", "nobody", true },
		{ "*body*", "bobobodY", true },
		{ "*body", "body body b", false },
		{ "user0*9", "USER0119", true },
		{ "user0*9", "user0", false },
		{ "**a", "a", true },
		{ "*?a", "a", false },
		{ "*?a", "ba", true },
		{ "a?c",
		    "a\xc3\xa9"
		    "c",
		    true },
		{ "a??c",
		    "a\xc3\xa9"
		    "c",
		    false },
		{ "*\xc3\xa9", "caf\xc3\xa9", true },
		{ "100%_\\", "100%_\\", true },
		{ "a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sql_rows *r =
		    sql_query(fx.core->db, &e, "SELECT wild(?1, NULL, ?2)",
			"ss", rows[i].pattern, rows[i].text);

		assert_int_equal(sql_next(r, &e), 1);
		assert_int_equal(sql_int(r, 0), rows[i].fits);
		sql_done(r);
	}
}

/* Aliases of two domains, several targets each: every one comes once. */
static void
alias_paging(void **state)
{
	static const char *const domains[] = { "example.org", "other.example" };
	const char *after = "";
	char last[64] = "", before[64] = "";
	size_t found = 0, pages = 0, i;
	json_t *item;

	(void)state;
	for (int n = 0; n < 600; n++) {
		char address[64];

		snprintf(address, sizeof(address), "p%03d@%s", n / 2,
		    domains[n % 2]);
		do_ok(&op,
		    json_pack("{ss,ss,s[sss]}", "verb", "alias add", "address",
			address, "targets", "one@far.example",
			"two@far.example", "three@far.example"));
	}
	while (after != NULL) {
		json_t *r = ask_ok(&op,
		    json_pack("{ss,ss}", "verb", "alias list", "after", after));
		const char *next =
		    json_string_value(json_object_get(r, "next"));

		json_array_foreach(json_object_get(r, "items"), i, item) {
			const char *address =
			    json_string_value(json_object_get(item, "address"));

			assert_string_not_equal(address, before);
			snprintf(before, sizeof(before), "%s", address);
			if (address[0] != 'p' || address[1] == 'o')
				continue; /* postmaster@ */
			assert_int_equal(
			    json_array_size(json_object_get(item, "targets")),
			    3);
			found++;
		}
		pages++;
		snprintf(last, sizeof(last), "%s", next ? next : "");
		after = next ? last : NULL;
		json_decref(r);
	}
	assert_int_equal(found, 600);
	assert_in_range(pages, 2, 10);
}

static void
audited(void **state)
{
	size_t found = 0, pages = 0;
	json_t *next = json_object(), *r, *item;
	size_t i;

	(void)state;
	do_ok(&op,
	    json_pack("{ss,ss,ss}", "verb", "setting set", "name",
		"queue.expire", "value", "3d"));
	while (next != NULL) {
		json_t *q = json_pack("{ss}", "verb", "audit list");

		json_object_update(q, next);
		json_decref(next);
		r = ask_ok(&op, q);
		if (pages++ == 0) { /* newest first */
			item = json_array_get(json_object_get(r, "items"), 0);
			assert_string_equal(
			    json_string_value(json_object_get(item, "verb")),
			    "setting set");
			assert_string_equal(json_string_value(json_object_get(
						json_object_get(item, "before"),
						"queue.expire")),
			    "432000");
			assert_string_equal(json_string_value(json_object_get(
						json_object_get(item, "after"),
						"queue.expire")),
			    "259200");
		}
		json_array_foreach(json_object_get(r, "items"), i, item) {
			char *text = json_dumps(item, 0);

			/* no secret, in whatever verb */
			assert_null(strstr(text, "hush-hush"));
			assert_null(strstr(text, "a fine password"));
			assert_null(strstr(text, JOE_PASSWORD));
			found++;
			free(text);
		}
		next = json_incref(json_object_get(r, "next"));
		json_decref(r);
	}
	assert_in_range(found, 600, 800);
}

static void
application_passwords(void **state)
{
	struct auth_peer peer = { "pop3", "192.0.2.1", "S", true, NULL };
	struct auth_exchange x;
	const char *token;
	json_t *r = ask_ok(&op,
	    json_pack("{ss,ss,ss}", "verb", "app add", "address",
		"joe@example.org", "name", "phone"));

	(void)state;
	token = json_string_value(json_object_get(r, "password"));
	assert_int_equal(auth_password(mta.client, SLICE_LIT("joe"),
			     slice_str(token), &peer, &x),
	    AUTH_OK);
	auth_release(&x);
	assert_int_equal(
	    auth_password(mta.client, SLICE_LIT("joe@other.example"),
		slice_str(token), &peer, &x),
	    AUTH_FAILED);
	auth_release(&x);
	do_ok(&op,
	    json_pack("{ss,ss,si}", "verb", "app delete", "address",
		"joe@example.org", "id", 1));
	assert_int_equal(auth_password(mta.client, SLICE_LIT("joe"),
			     slice_str(token), &peer, &x),
	    AUTH_FAILED);
	auth_release(&x);
	json_decref(r);
}

/* What became of each is told in their order, whatever the text quotes. */
static void
importing(void **state)
{
	static struct fixture f;
	struct link l;
	char odd[400];
	json_t *reply, *items;

	(void)state;
	fixture_setup(&f);
	fixture_fill(&f);
	link_open(&l, f.core, FROM_MAILSTEAD, true);
	odd[0] = 'x';
	for (size_t i = 1; i + 2 < sizeof(odd); i += 2)
		memcpy(odd + i, "\xc3\xa4", 3);
	for (int shift = 0; shift < 2; shift++) {
		reply = ask_ok(&l,
		    json_pack("{ss,sb,s[{ss},{ss}]}", "verb", "user import",
			"dry_run", 1, "users", "address", odd + shift * 3,
			"address", "new@example.org"));
		items = json_object_get(reply, "items");
		assert_int_equal(json_array_size(items), 2);
		assert_false(json_is_true(
		    json_object_get(json_array_get(items, 0), "ok")));
		assert_true(json_is_true(
		    json_object_get(json_array_get(items, 1), "ok")));
		json_decref(reply);
	}
	link_close(&l);
	fixture_teardown(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles),
		cmocka_unit_test(escalation),
		cmocka_unit_test(sockets),
		cmocka_unit_test(credentials),
		cmocka_unit_test(always),
		cmocka_unit_test(deletion),
		cmocka_unit_test(passwords),
		cmocka_unit_test(importing),
		cmocka_unit_test(paging),
		cmocka_unit_test(searching),
		cmocka_unit_test(names_follow),
		cmocka_unit_test(wildcards),
		cmocka_unit_test(alias_paging),
		cmocka_unit_test(audited),
		cmocka_unit_test(application_passwords),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
