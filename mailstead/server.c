/*
 * Commands about the server as a whole: init, wait, status, version,
 * tls install.  (`run` is in run.c.)
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/mem.h"
#include "base/num.h"
#include "mail/address.h"
#include "net/tls.h"
#include "proc/service.h"

#include "queue/spool.h"

#include "mailstead/run.h"
#include "mailstead/state.h"

enum {
	PEM_MAX = 1024 * 1024,
	POLL_MS = 100,
	WAIT_DEFAULT_S = 60
};

/* --- status -------------------------------------------------------------- */

static json_t *
listeners_json(const struct service_status *s)
{
	json_t *list = json_array();
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];
		char ip[IP_TEXT_SIZE];
		if (l->path[0] != '\0') {
			json_array_append_new(list, json_string(l->path));
			continue;
		}
		ip_format(&l->ip, ip);
		json_array_append_new(list,
		    json_sprintf(strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip,
			(unsigned)l->port));
	}
	return list;
}

static json_t *
service_json(const char *name, const struct service_status *s)
{
	char started[CLOCK_RFC3339_SIZE];
	json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:o,s:I,s:I,s:I}", "name", name,
	    "state", service_state_name(s->state), "version", s->version, "pid",
	    (int)s->pid, "listeners", listeners_json(s), "workers",
	    (json_int_t)s->workers, "connections", (json_int_t)s->connections,
	    "restarts", (json_int_t)s->restarts);
	if (s->state != SERVICE_STOPPED) {
		clock_rfc3339(s->started_wall_ms, started);
		json_object_set_new(o, "started_at", json_string(started));
	}
	return o;
}

/* The whole status; *ready_out: every service that shall run does. */
static json_t *
status_json(struct cli *c, bool *ready_out)
{
	json_t *services = json_array();
	struct service_status s;
	struct err e;

	*ready_out = true;
	for (size_t i = 0; service_names[i] != NULL; i++) {
		memset(&s, 0, sizeof(s));
		if (service_status_read(
			c->config.state_dir, service_names[i], &s, &e) != 0)
			fprintf(stderr, "mailstead: %s\n", e.text);
		if (s.state != SERVICE_RUNNING && s.state != SERVICE_DISABLED)
			*ready_out = false;
		json_array_append_new(
		    services, service_json(service_names[i], &s));
	}
	return json_pack("{s:b,s:s,s:o,s:o}", "ready", *ready_out, "version",
	    MAILSTEAD_VERSION, "services", services, "queue",
	    state_queue_counts(c));
}

int
command_status(struct cli *c)
{
	static const char *const columns[] = { "name", "state", "pid",
		"workers", "connections", "listeners", NULL };
	bool ready;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	json_t *status = status_json(c, &ready);
	if (c->json) {
		cli_print_json(status);
	} else {
		cli_print_table(json_object_get(status, "services"), columns);
		const json_t *queue = json_object_get(status, "queue");
		printf("queue: %" JSON_INTEGER_FORMAT
		       " active, %" JSON_INTEGER_FORMAT
		       " deferred, %" JSON_INTEGER_FORMAT " held\n",
		    json_integer_value(json_object_get(queue, "active")),
		    json_integer_value(json_object_get(queue, "deferred")),
		    json_integer_value(json_object_get(queue, "held")));
	}
	json_decref(status);
	return ready ? CLI_DONE : CLI_REFUSED;
}

int
command_wait(struct cli *c)
{
	const char *what = cli_option(c, "--for");
	const char *limit = cli_option(c, "--timeout");
	uint64_t seconds = WAIT_DEFAULT_S;
	int64_t since = clock_wall_ms();
	bool empty = what != NULL && strcmp(what, "empty") == 0;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (what == NULL || (!empty && strcmp(what, "ready") != 0))
		return cli_usage("wait --for ready|empty [--timeout SECONDS]");
	if (limit != NULL && !num_parse(slice_str(limit), 86400, &seconds))
		return cli_usage("--timeout %s is not a number", limit);
	int64_t end = clock_mono_ms() + (int64_t)seconds * 1000;
	for (;;) {
		bool done;
		if (empty)
			done = state_queue_is_idle(c, since);
		else
			json_decref(status_json(c, &done));
		if (done)
			return CLI_DONE;
		if (clock_mono_ms() >= end)
			break;
		usleep(POLL_MS * 1000);
	}
	fprintf(stderr, "mailstead: not %s after %llu s\n", what,
	    (unsigned long long)seconds);
	return CLI_LATER;
}

static int
command_version(struct cli *c)
{
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (c->json) {
		json_t *o = json_pack("{s:s}", "version", MAILSTEAD_VERSION);
		cli_print_json(o);
		json_decref(o);
	} else {
		puts("mailstead " MAILSTEAD_VERSION);
	}
	return CLI_DONE;
}

/* --- tls install ---------------------------------------------------------- */

static int
install_pair(struct cli *c, const char *name, const char *cert_path,
    const char *key_path, int64_t *not_after_out, struct err *e)
{
	struct buf cert;
	struct buf key;
	char file[ADDRESS_DOMAIN_MAX + 8];
	char dir[CONFIG_PATH_SIZE * 2];
	int dir_fd = -1;
	int result = -1;

	buf_init(&cert, PEM_MAX);
	buf_init(&key, PEM_MAX);
	if (file_read(AT_FDCWD, cert_path, &cert, e) != 0 ||
	    file_read(AT_FDCWD, key_path, &key, e) != 0) {
		e->kind = ERR_PERM; /* what was named is not there */
		goto out;
	}
	if (tls_check_pair(slice_of(cert.data, cert.len),
		slice_of(key.data, key.len), not_after_out, e) != 0 ||
	    config_path(&c->config, dir, sizeof(dir), e, "tls") != 0)
		goto out;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		err_errno(e, "%s", dir);
		goto out;
	}
	/* The key first: a server that reloads between finds a pair or not. */
	snprintf(file, sizeof(file), "%s.key", name);
	if (file_replace(dir_fd, file, 0640, key.data, key.len, e) != 0)
		goto out;
	snprintf(file, sizeof(file), "%s.crt", name);
	result = file_replace(dir_fd, file, 0640, cert.data, cert.len, e);
out:
	mem_wipe(key.data, key.len);
	buf_release(&key);
	buf_release(&cert);
	if (dir_fd >= 0)
		close(dir_fd);
	return result;
}

static int
command_tls(struct cli *c)
{
	const char *verb = cli_argument(c);
	const char *name = cli_argument(c);
	const char *cert = cli_argument(c);
	const char *key = cli_argument(c);
	char host[ADDRESS_DOMAIN_MAX + 1];
	char until[CLOCK_RFC3339_SIZE];
	int64_t not_after;
	struct err e;

	if (verb == NULL || strcmp(verb, "install") != 0 || key == NULL)
		return cli_usage("tls install NAME CERT KEY");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	if (domain_normalise(slice_str(name), host, &e) != 0 ||
	    install_pair(c, host, cert, key, &not_after, &e) != 0)
		return cli_fail(&e);
	clock_rfc3339(not_after, until);
	printf("%s installed, valid until %s\n", host, until);
	return CLI_DONE;
}

const struct command commands_server[] = {
	{ "init",
	    "--hostname H --domain D --admin ADDRESS [--listen IP]... "
	    "[--port-offset N]",
	    "Make a new state directory; the administrator's password is read "
	    "from standard input.",
	    true, command_init },
	{ "run", "", "Run all daemons in the foreground.", false, command_run },
	{ "wait", "--for ready|empty [--timeout SECONDS]",
	    "Wait until all listen, or until nothing is deliverable.", false,
	    command_wait },
	{ "status", "", "Show services and queue.", false, command_status },
	{ "version", "", "Show the version.", true, command_version },
	{ "tls", "install NAME CERT KEY",
	    "Install a certificate and its key for a host name.", false,
	    command_tls },
	{ 0 },
};
