/*
 * Tools that ask others: look-ups, a dialogue with any server, and what there
 * is to know of a domain.  See tools.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/domain_check.h"
#include "mail/address.h"
#include "net/dns.h"
#include "net/sock.h"
#include "net/stream.h"
#include "net/tls.h"

#include "queue/tools.h"

enum {
	ANSWER_LINES_MAX = 100,
	LINE_MAX_LEN = 2000,
	COMMANDS_MAX = 50,
	EXCHANGERS_MAX = 10,
};

/* Short waits: somebody is looking at an empty page. */
static int
resolver(
    struct runner *r, const char *server, struct dns_config *out, struct err *e)
{
	struct settings *s = directory_settings(r->directory);
	int rc = dns_config_parse(
	    server[0] != '\0' ? server : settings_text(s, SET_DNS_SERVERS), out,
	    e);

	settings_free(s);
	out->timeout_s = 2;
	out->tries = 2;
	return rc;
}

json_t *
tool_lookup(struct runner *r, const json_t *args, struct err *e)
{
	static const char *const words[] = { [DNS_OK] = "ok",
		[DNS_NODATA] = "nodata",
		[DNS_NXDOMAIN] = "nxdomain",
		[DNS_TEMP] = "temp" };
	const char *type = tool_arg(args, "type");
	struct dns_text_list found = { 0 };
	int64_t started = clock_mono_ms();
	struct pool pool = { 0 };
	json_t *answers = json_array();
	struct dns_config dns;
	enum dns_status status;

	if (resolver(r, tool_arg(args, "server"), &dns, e) != 0) {
		json_decref(answers);
		return NULL;
	}
	status = dns_any(&dns, tool_arg(args, "name"),
	    type[0] != '\0' ? type : "A", &pool, &found);
	for (size_t i = 0; i < found.count; i++)
		json_array_append_new(answers, json_string(found.items[i]));
	pool_release(&pool);
	return json_pack("{s:s,s:o,s:I}", "status", words[status], "answers",
	    answers, "ms", (json_int_t)(clock_mono_ms() - started));
}

/* --- dialogues -------------------------------------------------------------------- */

static void
say(struct dialogue *d, const char *from, struct slice text)
{
	struct buf clean;

	buf_init(&clean, LINE_MAX_LEN * 4);
	for (size_t i = 0; i < text.len && i < LINE_MAX_LEN; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c >= 0x20 && c < 0x7f)
			buf_addc(&clean, (char)c);
		else
			buf_addf(&clean, "\\x%02X", c);
	}
	json_array_append_new(d->lines,
	    json_pack("{s:s,s:o}", "from", from, "text",
		json_stringn(clean.data != NULL ? clean.data : "", clean.len)));
	buf_release(&clean);
}

/* A multi-line answer of POP3 goes on after +OK until a dot. */
static bool
goes_on(const struct dialogue *d, const char *command, struct slice line,
    bool first)
{
	static const char *const longs[] = { "CAPA", "LIST", "UIDL", "RETR",
		"TOP" };

	if (!d->pop3)
		return line.len > 3 && line.data[3] == '-';
	if (!first)
		return !slice_eq_str(line, ".");
	for (size_t i = 0; i < ARRAY_LEN(longs); i++) {
		/* LIST and UIDL of one message are one line */
		if (strncasecmp(command, longs[i], strlen(longs[i])) == 0 &&
		    slice_starts(line, "+OK"))
			return (i != 1 && i != 2) ||
			    strchr(command, ' ') == NULL;
	}
	return false;
}

static int
read_answer(
    struct dialogue *d, struct stream *s, const char *command, struct err *e)
{
	struct slice line;
	bool more = true;

	for (int n = 0; more; n++) {
		if (n == ANSWER_LINES_MAX)
			return err_set(e, ERR_TEMP, "the answer has no end");
		if (stream_read_line(s, LINE_MAX_LEN, &line, NULL, e) != 0)
			return -1;
		say(d, "server", line);
		more = goes_on(d, command, line, n == 0);
	}
	return 0;
}

/* Passwords are sent, and not shown. */
static void
say_command(struct dialogue *d, const char *command)
{
	static const char *const secret[] = { "AUTH", "PASS", "APOP" };

	for (size_t i = 0; i < ARRAY_LEN(secret); i++) {
		if (strncasecmp(command, secret[i], 4) == 0) {
			say(d, "client", slice_str(secret[i]));
			return;
		}
	}
	say(d, "client", slice_str(command));
}

static int
start_tls(struct runner *r, struct dialogue *d, struct stream *s, struct err *e)
{
	char note[160];

	if (stream_start_tls_client(s, r->tls_any, d->host, e) != 0)
		return -1;
	d->not_after_ms = tls_peer_not_after(s->tls);
	(void)snprintf(note, sizeof(note), "%s, certificate %s",
	    tls_version(s->tls),
	    d->not_after_ms > clock_wall_ms() ? "not expired" : "EXPIRED");
	say(d, "note", slice_str(note));
	return 0;
}

static int
speak(struct runner *r, struct dialogue *d, struct stream *s,
    const json_t *commands, struct err *e)
{
	size_t n = json_array_size(commands);

	if (d->tls && start_tls(r, d, s, e) != 0)
		return -1;
	if (read_answer(d, s, "", e) != 0)
		return -1;
	for (size_t i = 0; i < n && i < COMMANDS_MAX; i++) {
		const char *command =
		    json_string_value(json_array_get(commands, i));

		if (command == NULL || strpbrk(command, "\r\n") != NULL)
			return err_set(e, ERR_PERM, "not a command");
		say_command(d, command);
		stream_set_timeout(s, TOOL_LIMIT_MS);
		if (stream_printf(s, e, "%s\r\n", command) != 0 ||
		    stream_flush(s, e) != 0 ||
		    read_answer(d, s, command, e) != 0)
			return -1;
		if ((strcasecmp(command, "STARTTLS") == 0 ||
			strcasecmp(command, "STLS") == 0) &&
		    start_tls(r, d, s, e) != 0)
			return -1;
	}
	return 0;
}

/* The first address that answers, of at most four. */
static int
connect_host(struct runner *r, struct dialogue *d, int *fd_out, struct err *e)
{
	struct dns_ip_list v4 = { 0 }, v6 = { 0 };
	struct pool pool = { 0 };
	struct dns_config dns;
	struct ip literal, tried[4];
	size_t count = 0;
	char text[IP_TEXT_SIZE];
	int rc = -1;

	if (ip_parse(slice_str(d->host), &literal)) {
		tried[count++] = literal;
	} else {
		if (resolver(r, "", &dns, e) != 0)
			return -1;
		(void)dns_ip(&dns, d->host, false, &pool, &v4);
		(void)dns_ip(&dns, d->host, true, &pool, &v6);
		for (size_t i = 0; i < v4.count && count < 2; i++)
			tried[count++] = v4.items[i];
		for (size_t i = 0; i < v6.count && count < 4; i++)
			tried[count++] = v6.items[i];
	}
	if (count == 0)
		err_set(e, ERR_TEMP, "%s has no address", d->host);
	for (size_t i = 0; i < count && rc != 0; i++) {
		rc = sock_connect_tcp(&tried[i], d->port, NULL,
		    clock_mono_ms() + TOOL_LIMIT_MS, NULL, fd_out, e);
		ip_format(&tried[i], text);
		if (rc != 0)
			err_prefix(e, "%s", text);
		else
			d->connected = json_string(text);
	}
	pool_release(&pool);
	return rc;
}

int
dialogue_run(
    struct runner *r, struct dialogue *d, const json_t *commands, struct err *e)
{
	struct stream s;
	int fd, rc;

	if (connect_host(r, d, &fd, e) != 0)
		return -1;
	stream_init(&s, fd);
	stream_set_timeout(&s, TOOL_LIMIT_MS);
	rc = speak(r, d, &s, commands, e);
	stream_close(&s);
	stream_release(&s);
	return rc;
}

json_t *
tool_console(struct runner *r, const json_t *args, struct err *e)
{
	struct dialogue d = { .host = tool_arg(args, "host"),
		.tls = json_is_true(json_object_get(args, "tls")) };
	uint64_t port;
	json_t *o;

	if (!num_parse(slice_str(tool_arg(args, "port")), UINT16_MAX, &port) ||
	    port == 0) {
		err_set(e, ERR_PERM, "not a port");
		return NULL;
	}
	d.port = (uint16_t)port;
	d.pop3 = strcmp(tool_arg(args, "protocol"), "pop3") == 0;
	d.lines = json_array();
	o = json_pack("{s:O}", "dialogue", d.lines);
	if (dialogue_run(r, &d, json_object_get(args, "commands"), e) != 0)
		json_object_set_new(o, "error", json_string(e->text));
	if (d.connected != NULL)
		json_object_set_new(o, "address", d.connected);
	json_decref(d.lines);
	return o;
}

/* --- a domain --------------------------------------------------------------------- */

static bool
is_own_host(struct runner *r, const char *host, const char *address)
{
	struct settings *s = directory_settings(r->directory);
	struct ip ip;
	bool own = strcasecmp(host, settings_text(s, SET_HOSTNAME)) == 0 ||
	    (address != NULL && ip_parse(slice_str(address), &ip) &&
		(settings_has_ip(s, SET_NAT_ADDRESSES, &ip) ||
		    settings_has_ip(s, SET_LISTEN, &ip) ||
		    settings_has_ip(s, SET_SMTP_LISTEN, &ip)));

	settings_free(s);
	return own;
}

static json_t *
try_exchanger(struct runner *r, const struct dns_mx *mx, uint16_t port)
{
	struct dialogue d = { .host = mx->name, .port = port };
	json_t *commands, *o;
	struct settings *s = directory_settings(r->directory);
	struct err e;
	int rc;

	commands = json_pack("[o,s]",
	    json_sprintf("EHLO %s", settings_text(s, SET_HOSTNAME)), "QUIT");
	settings_free(s);
	d.lines = json_array();
	rc = dialogue_run(r, &d, commands, &e);
	o = json_pack("{s:i,s:s,s:s,s:b,s:o}", "preference",
	    (int)mx->preference, "host", mx->name, "state",
	    rc == 0 ? "ok" : "failed", "is_own",
	    is_own_host(r, mx->name, json_string_value(d.connected)),
	    "dialogue", d.lines);
	if (d.connected != NULL)
		json_object_set_new(o, "address", d.connected);
	if (rc != 0)
		json_object_set_new(o, "error", json_string(e.text));
	json_decref(commands);
	return o;
}

static json_t *
exchangers(struct runner *r, const char *domain, struct err *e)
{
	struct dns_mx_list list = { 0 };
	struct dns_mx self = { 0, mem_strdup(domain) };
	struct settings *s = directory_settings(r->directory);
	uint16_t port = (uint16_t)settings_int(s, SET_REMOTE_PORT);
	json_t *array = json_array();
	struct pool pool = { 0 };
	struct dns_config dns;
	enum dns_status status = DNS_TEMP;

	settings_free(s);
	if (resolver(r, "", &dns, e) == 0)
		status = dns_mx(&dns, domain, &pool, &list);
	if (status == DNS_NODATA) { /* RFC 5321 5.1: the name itself */
		list.items = &self;
		list.count = 1;
	}
	for (size_t i = 0; i < list.count && i < EXCHANGERS_MAX; i++) {
		if (list.items[i].name[0] != '\0')
			json_array_append_new(
			    array, try_exchanger(r, &list.items[i], port));
	}
	free(self.name);
	pool_release(&pool);
	return array;
}

json_t *
tool_domain(struct runner *r, const json_t *args, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct domain_check q = { .domain = name };
	struct settings *s;
	json_t *reply = NULL, *result = NULL;
	int rc;

	if (domain_normalise(slice_str(tool_arg(args, "domain")), name, e) != 0)
		return NULL;
	/* of a domain that is not ours there are no keys */
	if (accountd_call(r->accountd,
		json_pack("{s:s,s:s,s:b}", "verb", "dkim keys", "domain", name,
		    "test", 1),
		TOOL_LIMIT_MS, &reply, e) != 0)
		reply = NULL;
	s = directory_settings(r->directory);
	q.settings = s;
	q.keys = json_object_get(reply, "items");
	rc = domain_check(&q, &result, e);
	settings_free(s);
	json_decref(reply);
	if (rc != 0)
		return NULL;
	if (json_is_true(json_object_get(args, "connect")))
		json_object_set_new(
		    result, "exchangers", exchangers(r, name, e));
	return result;
}
