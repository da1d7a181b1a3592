/*
 * Commands about the server as a whole: init, wait, status, version.
 * (`run` is in run.c, `tls` in tls.c.)
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
#include "directory/certs.h"
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
		json_object_set_new(o, "uptime_s",
		    json_integer(
			(clock_wall_ms() - s->started_wall_ms) / 1000));
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

static json_t *
disk_json(const struct cli *c)
{
	struct file_space space;
	struct err e;

	if (file_space(c->config.state_dir, &space, &e) != 0)
		return NULL;
	return json_pack("{s:I,s:I,s:i}", "total",
	    (json_int_t)space.total_bytes, "free", (json_int_t)space.free_bytes,
	    "used_percent", space.used_percent);
}

static void
print_status(const json_t *status)
{
	static const char *const columns[] = { "name", "state", "version",
		"pid", "uptime_s", "workers", "connections", "listeners",
		NULL };
	static const char *const certs[] = { "name", "not_after", "names",
		NULL };
	const json_t *queue = json_object_get(status, "queue");
	const json_t *disk = json_object_get(status, "disk");

	cli_print_table(json_object_get(status, "services"), columns);
	printf("queue: %" JSON_INTEGER_FORMAT " active, %" JSON_INTEGER_FORMAT
	       " deferred, %" JSON_INTEGER_FORMAT " held\n",
	    json_integer_value(json_object_get(queue, "active")),
	    json_integer_value(json_object_get(queue, "deferred")),
	    json_integer_value(json_object_get(queue, "held")));
	if (json_is_true(json_object_get(queue, "flush_fails")))
		printf("queue: local mail waits, as the disk fails to flush: "
		       "see queue-runner's log\n");
	if (disk != NULL)
		printf("disk: %" JSON_INTEGER_FORMAT
		       " %% used, %" JSON_INTEGER_FORMAT " MB free\n",
		    json_integer_value(json_object_get(disk, "used_percent")),
		    json_integer_value(json_object_get(disk, "free")) >> 20);
	printf("certificates:\n");
	cli_print_table(json_object_get(status, "certificates"), certs);
}

static int
command_status(struct cli *c)
{
	json_t *certificates = NULL, *disk, *status;
	struct err e;
	bool ready;

	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	status = status_json(c, &ready);
	if ((disk = disk_json(c)) != NULL)
		json_object_set_new(status, "disk", disk);
	if (certs_json(c->config.state_dir, &certificates, &e) != 0)
		fprintf(stderr, "mailstead: %s\n", e.text);
	else
		json_object_set_new(status, "certificates", certificates);
	if (c->json)
		cli_print_json(status);
	else
		print_status(status);
	json_decref(status);
	return ready ? CLI_DONE : CLI_REFUSED;
}

static int
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
			return cli_changed(c, json_object());
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
	{ "status", "", "Show services, queue, disk and certificates.", false,
	    command_status },
	{ "version", "", "Show the version.", true, command_version },
	{ "tls",
	    "list; install NAME CERT KEY; self-signed NAME [HOST]; delete NAME",
	    "Certificates: which there are, put one in, make one, take one "
	    "away.",
	    false, command_tls },
	{ 0 },
};
