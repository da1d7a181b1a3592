/*
 * Tools about this server: how it is, whether it is an open relay, what policy
 * says of an imagined message, a test message.  See tools.h.
 *
 * A check that cannot be made is "unknown", never "bad".
 */
#include <sys/timex.h>

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "directory/json_file.h"
#include "mail/address.h"
#include "net/dns.h"
#include "policy/route.h"

#include "queue/tools.h"

enum {
	DAY_MS = 86400000,
	DISK_BAD_PERCENT = 96,
	BACKUP_WARN_DAYS = 7,
	WAITING_MAX = 20, /* sign-ups that are told one by one */
	NOTE_MAX = 65536,
};

struct check {
	struct runner *r;
	const struct settings *settings;
	json_t *list;
};

/* `fix` may be "": nothing needs to be done. */
static void add(struct check *c, const char *id, const char *state,
    const char *fix, const char *fmt, ...) PRINTF_LIKE(5, 6);

static void
add(struct check *c, const char *id, const char *state, const char *fix,
    const char *fmt, ...)
{
	char found[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	json_array_append_new(c->list,
	    json_pack("{s:s,s:s,s:s,s:s}", "id", id, "state", state, "found",
		found, "fix", strcmp(state, "ok") == 0 ? "" : fix));
}

/* --- the checks ------------------------------------------------------------------- */

static void
check_services(struct check *c)
{
	static const char *const names[] = { "accountd", "mailstead-parse",
		"mtad", "popd", "webmail-cgi", "admin-cgi" };
	struct service_status s;
	char id[64];
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(id, sizeof(id), "service.%s", names[i]);
		if (service_status_read(c->r->state_dir, names[i], &s, &e) != 0)
			add(c, id, "unknown", "Look at its log.", "%s", e.text);
		else
			add(c, id,
			    s.state == SERVICE_RUNNING ||
				    s.state == SERVICE_DISABLED
				? "ok"
				: "bad",
			    "Start the service; its log says why it ended.",
			    "%s", service_state_name(s.state));
	}
}

/* Where we listen ourselves: the first address, or loopback. */
static const char *
own_address(const struct settings *s)
{
	const char *own = settings_count(s, SET_SMTP_LISTEN) > 0
	    ? settings_item(s, SET_SMTP_LISTEN, 0)
	    : settings_count(s, SET_LISTEN) > 0
	    ? settings_item(s, SET_LISTEN, 0)
	    : "127.0.0.1";

	return strchr(own, '/') == NULL && strchr(own, '-') == NULL
	    ? own
	    : "127.0.0.1";
}

static void
check_ports(struct check *c)
{
	static const struct {
		const char *id;
		enum setting_id setting;
		bool tls, pop3;
	} ports[] = {
		{ "port.smtp", SET_SMTP_PORT, false, false },
		{ "port.submission", SET_SMTP_SUBMISSION_PORT, false, false },
		{ "port.submissions", SET_SMTP_SUBMISSIONS_PORT, true, false },
		{ "port.pop3", SET_POPD_PORT, false, true },
		{ "port.pop3s", SET_POPD_TLS_PORT, true, true },
	};

	json_t *quit = json_pack("[s]", "QUIT");

	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		int64_t port = settings_int(c->settings, ports[i].setting);
		struct dialogue d = { .host = own_address(c->settings),
			.tls = ports[i].tls,
			.pop3 = ports[i].pop3 };
		struct err e;
		int rc;

		if (port == 0)
			continue;
		port += settings_int(c->settings, SET_PORT_OFFSET);
		d.port = (uint16_t)port;
		d.lines = json_array();
		rc = dialogue_run(c->r, &d, quit, &e);
		add(c, ports[i].id, rc == 0 ? "ok" : "bad",
		    "Is the service running, is the port taken by another "
		    "program?",
		    "%s", rc == 0 ? "answers" : e.text);
		json_decref(d.lines);
		json_decref(d.connected);
	}
	json_decref(quit);
}

static void
check_resolver(struct check *c)
{
	const char *host = settings_text(c->settings, SET_HOSTNAME);
	int64_t started = clock_mono_ms();
	struct dns_ip_list found;
	struct pool pool = { 0 };
	struct dns_config dns;
	enum dns_status status;
	struct err e;

	if (dns_config_parse(
		settings_text(c->settings, SET_DNS_SERVERS), &dns, &e) != 0)
		return;
	dns.timeout_s = 2;
	status = dns_ip(&dns, host, false, &pool, &found);
	if (status == DNS_NODATA)
		status = dns_ip(&dns, host, true, &pool, &found);
	add(c, "resolver", status == DNS_TEMP ? "bad" : "ok",
	    "No mail leaves without a resolver: see dns.servers.",
	    status == DNS_TEMP ? "no answer" : "answers in %lld ms",
	    (long long)(clock_mono_ms() - started));
	if (status != DNS_TEMP)
		add(c, "hostname", status == DNS_OK ? "ok" : "bad",
		    "Publish an A or AAAA record for server.hostname.",
		    status == DNS_OK ? "%s has an address"
				     : "%s has no address",
		    host);
	pool_release(&pool);
}

static void
check_clock(struct check *c)
{
	struct timex t = { 0 };
	int state = adjtimex(&t);

	add(c, "clock", state < 0 || state == TIME_ERROR ? "unknown" : "ok",
	    "Run a time service (chrony, systemd-timesyncd).",
	    state < 0 || state == TIME_ERROR ? "nobody keeps it in step"
					     : "kept in step");
}

static void
check_disk(struct check *c)
{
	int64_t warn = settings_int(c->settings, SET_ALERT_DISK);
	struct file_space space;
	struct err e;

	if (atomic_load(&c->r->flush_fails)) {
		add(c, "disk", "bad", "See the log of queue-runner.",
		    "what is delivered cannot be made durable");
		return;
	}
	if (file_space(c->r->state_dir, &space, &e) != 0) {
		add(c, "disk", "unknown", "", "cannot tell");
		return;
	}
	add(c, "disk",
	    warn == 0 || space.used_percent < warn      ? "ok"
		: space.used_percent < DISK_BAD_PERCENT ? "warn"
							: "bad",
	    "Make room, or move mailboxes: mailstead mailbox move.",
	    "%llu MB free (%d %%)", (unsigned long long)space.free_bytes >> 20,
	    100 - space.used_percent);
}

static void
check_queue(struct check *c)
{
	int64_t warn = settings_int(c->settings, SET_ALERT_QUEUE);
	struct spool_counts n;

	spool_count(c->r->spool, &n);
	add(c, "queue", warn > 0 && n.deferred >= (size_t)warn ? "warn" : "ok",
	    "mailstead queue groups, or the page Queue.",
	    "%zu waiting, %zu held", n.deferred, n.held);
	if (n.corrupt > 0)
		add(c, "queue.corrupt", "bad",
		    "Look into spool/corrupt/: mailstead queue check.",
		    "%zu messages nobody understands", n.corrupt);
}

/* Of one certificate, by the days it is still good for. */
static void
check_certificate(struct check *c, const json_t *cert)
{
	static const char fix[] = "Renew it: mailstead tls install.";
	int64_t warn = settings_int(c->settings, SET_ALERT_CERTIFICATE);
	int64_t until = 0, days;
	char id[300];

	(void)snprintf(
	    id, sizeof(id), "certificate.%s", tool_arg(cert, "name"));
	if (!clock_parse_rfc3339(
		slice_str(tool_arg(cert, "not_after")), &until)) {
		add(c, id, "bad", fix, "%s", tool_arg(cert, "error"));
		return;
	}
	days = (until - clock_wall_ms()) / DAY_MS;
	add(c, id,
	    until < clock_wall_ms() ? "bad"
		: days < warn       ? "warn"
				    : "ok",
	    fix, "%lld days left", (long long)days);
}

/* accountd looks: the runner may not read tls/. */
static json_t *
check_certificates(struct check *c)
{
	json_t *all = json_array(), *reply, *last = NULL;
	struct err e;

	do {
		json_t *ask = json_pack("{s:s,s:o*}", "verb", "tls check",
		    "after", json_copy(last));

		reply = NULL;
		if (accountd_call(
			c->r->accountd, ask, TOOL_LIMIT_MS, &reply, &e) != 0)
			add(c, "certificate", "unknown", "", "%s", e.text);
		json_array_extend(all, json_object_get(reply, "items"));
		json_decref(last);
		last = json_incref(json_object_get(reply, "next"));
		json_decref(reply);
	} while (last != NULL);
	for (size_t i = 0; i < json_array_size(all); i++)
		check_certificate(c, json_array_get(all, i));
	return all;
}

static void
check_relay(struct check *c)
{
	struct err e;
	json_t *result = tool_relay(c->r, NULL, &e);
	bool open = json_is_true(json_object_get(result, "open"));

	add(c, "relay", open ? "bad" : "ok",
	    "Set relay.mode: spammers find such a server within hours.", "%s",
	    open ? "strangers may send to strangers" : "not an open relay");
	json_decref(result);
}

static void
check_backup(struct check *c)
{
	json_t *note =
	    json_file_read(c->r->state_dir, "run/backup.json", NOTE_MAX);
	int64_t made = 0, days;

	if (note == NULL ||
	    !clock_parse_rfc3339(
		slice_str(json_string_value(json_object_get(note, "made_at"))),
		&made)) {
		add(c, "backup", "warn", "mailstead backup DIRECTORY",
		    "none was made");
	} else {
		days = (clock_wall_ms() - made) / DAY_MS;
		add(c, "backup", days > BACKUP_WARN_DAYS ? "warn" : "ok",
		    "mailstead backup DIRECTORY, from a timer",
		    "made %lld days ago", (long long)days);
	}
	json_decref(note);
}

/*
 * What deleted users leave is moved by us (maildir/left.h).  The state of an
 * installation from before that has webmail's folders for webmail alone.
 */
static void
check_mailboxes(struct check *c)
{
	struct dirent *d;
	char path[512], fix[700];
	DIR *dir;
	bool good;

	(void)snprintf(path, sizeof(path), "%s/users", c->r->state_dir);
	dir = opendir(path);
	good = dir != NULL && access(path, W_OK | X_OK) == 0;
	while (good && (d = readdir(dir)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/users/%s",
		    c->r->state_dir, d->d_name);
		if (d->d_name[0] != '.')
			good = access(path, W_OK | X_OK) == 0;
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)snprintf(fix, sizeof(fix),
	    "systemd-sysusers; find %s/users -type d"
	    " -exec chgrp mailstead-users {} + -exec chmod 2770 {} +"
	    "; systemctl restart mailstead-queue-runner",
	    c->r->state_dir);
	add(c, "mailboxes", good ? "ok" : "bad", fix,
	    good ? "what deleted users leave can be put aside"
		 : "queue-runner may not move files in %s",
	    path);
}

/*
 * Each is a cause of its own: the next one is news again.  By number, as
 * run/health.json and the metrics are not for everybody's addresses.
 */
static void
check_waiting(struct check *c)
{
	struct dir_waiting list[WAITING_MAX];
	struct pool pool = { 0 };
	size_t count = 0;
	struct err e;

	if (dir_waiting(c->r->directory, &pool, list, ARRAY_LEN(list), &count,
		&e) == DIR_TEMP)
		add(c, "signup", "unknown", "", "%s", e.text);
	for (size_t i = 0; i < count; i++) {
		const char *id =
		    pool_printf(&pool, "signup.%lld", (long long)list[i].id);
		char since[CLOCK_RFC3339_SIZE];

		clock_rfc3339(list[i].since_ms, since);
		add(c, id, "warn",
		    "Enable or delete the account: mailstead user enable, or"
		    " the page Users.",
		    "somebody signed up at %s on %.10s and waits for approval",
		    list[i].domain, since);
	}
	pool_release(&pool);
}

json_t *
tools_health(struct runner *r, const struct settings *s)
{
	struct check c = { r, s, json_array() };
	json_t *certificates, *address;

	check_services(&c);
	check_disk(&c);
	check_queue(&c);
	check_relay(&c);
	check_waiting(&c);
	certificates = check_certificates(&c);
	address = tools_address(r, s, c.list);
	return json_pack("{s:o,s:o,s:o*}", "checks", c.list, "certificates",
	    certificates, "address", address);
}

json_t *
tool_server(struct runner *r, const json_t *args, struct err *e)
{
	struct settings *s = directory_settings(r->directory);
	json_t *health = tools_health(r, s);
	struct check c = { r, s, json_object_get(health, "checks") };
	char when[CLOCK_RFC3339_SIZE];

	(void)args;
	(void)e;
	check_ports(&c);
	check_resolver(&c);
	check_clock(&c);
	check_backup(&c);
	check_mailboxes(&c);
	settings_free(s);
	clock_rfc3339(clock_wall_ms(), when);
	json_object_set_new(health, "at", json_string(when));
	return health;
}

/* --- policy ----------------------------------------------------------------------- */

static bool
ask_srs_key(void *arg, uint8_t *out)
{
	struct runner *r = arg;
	struct err e;

	return accountd_srs_key(r->accountd, TOOL_LIMIT_MS, out, &e) == 0;
}

json_t *
tool_route(struct runner *r, const json_t *args, struct err *e)
{
	const struct policy_question q = { tool_arg(args, "from"),
		tool_arg(args, "to"), tool_arg(args, "ip"),
		tool_arg(args, "user"), ask_srs_key, r };
	json_t *out;

	directory_refresh(r->directory);
	return policy_route(r->directory, &q, &out, e) == 0 ? out : NULL;
}

/*
 * What a stranger asks who looks for an open relay, from an address that can
 * be nobody's (RFC 5737).  DNS of the made-up sender is not the question.
 */
json_t *
tool_relay(struct runner *r, const json_t *args, struct err *e)
{
	static const char *const froms[] = { "", "spammer@relay-test.invalid",
		"postmaster@" };
	static const char *const tos[] = { "victim@relay-test.invalid",
		"victim%relay-test.invalid@",
		"\"victim@relay-test.invalid\"@" };
	struct settings *s = directory_settings(r->directory);
	const char *host = settings_text(s, SET_HOSTNAME);
	char from[400], to[400];
	json_t *tried = json_array(), *v;
	bool open = false;

	(void)args;
	directory_refresh(r->directory); /* the policy as it is now */
	for (size_t i = 0; i < ARRAY_LEN(froms) * ARRAY_LEN(tos); i++) {
		const char *f = froms[i / ARRAY_LEN(tos)];
		const char *t = tos[i % ARRAY_LEN(tos)];
		const struct policy_question q = { from, to, "198.51.100.77",
			NULL, ask_srs_key, r };

		(void)snprintf(from, sizeof(from), "%s%s", f,
		    f[0] != '\0' && f[strlen(f) - 1] == '@' ? host : "");
		(void)snprintf(to, sizeof(to), "%s%s", t,
		    t[strlen(t) - 1] == '@' ? host : "");
		if (policy_route(r->directory, &q, &v, e) != 0)
			continue; /* no such address can be given */
		open |= strcmp(tool_arg(v, "verdict"), "accept") == 0 &&
		    strcmp(tool_arg(v, "next"), "local") != 0;
		json_object_set_new(v, "from", json_string(from));
		json_object_set_new(v, "to", json_string(to));
		json_array_append_new(tried, v);
	}
	settings_free(s);
	return json_pack("{s:b,s:o}", "open", open, "tried", tried);
}

/* --- mail ------------------------------------------------------------------------- */

int
tools_mail(struct runner *r, const char *to, const char *subject,
    const char *text, char *id_out, struct err *e)
{
	struct settings *s = directory_settings(r->directory);
	char date[CLOCK_RFC5322_SIZE];
	struct envelope v = { 0 };
	struct spool_message *m;
	struct buf body;
	int rc = -1;

	buf_init(&body, NOTE_MAX);
	if (spool_begin(r->writer, &m, e) != 0)
		goto out;
	if (id_out != NULL)
		memcpy(id_out, spool_id(m), ID_SIZE);
	clock_rfc5322(clock_wall_ms(), date);
	buf_addf(&body,
	    "From: Mailstead <postmaster@%s>\nTo: <%s>\nSubject: %s\n"
	    "Date: %s\nMessage-ID: <%s@%s>\nAuto-Submitted: auto-generated\n"
	    "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
	    "\n%s",
	    settings_text(s, SET_HOSTNAME), to, subject, date, spool_id(m),
	    settings_text(s, SET_HOSTNAME), text);
	v.sender = v.client_ip = v.client_name = v.helo = v.auth_user =
	    v.session_id = "";
	v.flags = ENVELOPE_GENERATED;
	v.accepted_ms = clock_wall_ms();
	for (size_t i = 0; i < body.len; i++)
		v.body_lines += body.data[i] == '\n';
	envelope_add(&v)->address = to;
	if (spool_write(m, body.data, body.len, e) != 0)
		spool_abort(m);
	else
		rc = spool_commit(m, &v, e);
out:
	envelope_release(&v);
	buf_release(&body);
	settings_free(s);
	return rc;
}

json_t *
tool_send(struct runner *r, const json_t *args, struct err *e)
{
	const char *to = tool_arg(args, "to");
	struct pool pool = { 0 };
	struct address a;
	char id[ID_SIZE];
	int rc = address_parse(slice_str(to), 0, &pool, &a, e);

	if (rc == 0)
		rc = tools_mail(r, address_format(&a, &pool),
		    "Test message from Mailstead",
		    "This is a test message an administrator asked for.\n", id,
		    e);
	pool_release(&pool);
	return rc == 0 ? json_pack("{s:s}", "id", id) : NULL;
}
