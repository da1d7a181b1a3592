/*
 * The endpoint for monitoring; see metrics.h.  One short request a connection,
 * whose headers are read and ignored; all of it within a few seconds.
 */
#include "admin-cgi/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "net/stream.h"

#include "queue/spool_stat.h"

#include "admin-cgi/flow.h"
#include "admin-cgi/health.h"

enum {
	LIMIT_MS = 5000,
	LINE_MAX_LEN = 8192,
	LINES_MAX = 100,
	TEXT_MAX = 1024 * 1024,
};

/* One family: its help and type, before its samples. */
static void
family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A value of a label: what would end it is escaped. */
static void
add_label(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			buf_addf(b, "\\%c", *text);
		else if ((unsigned char)*text >= ' ')
			buf_addf(b, "%c", *text);
	}
}

static void
add_services(const struct admin *a, struct buf *b)
{
	struct service_status s[HEALTH_PROGRAMS];
	const size_t n = HEALTH_PROGRAMS;
	struct err e;

	for (size_t i = 0; i < n; i++)
		if (service_status_read(
			a->state_dir, health_programs[i].name, &s[i], &e) != 0)
			memset(&s[i], 0, sizeof(s[i]));
	family(b, "mailstead_service_up", "gauge",
	    "Whether a service runs (1) or not (0).");
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "mailstead_service_up{service=\"%s\"} %d\n",
		    health_programs[i].name, s[i].state == SERVICE_RUNNING);
	family(b, "mailstead_service_start_time_seconds", "gauge",
	    "When a service was started, in seconds since 1970.");
	for (size_t i = 0; i < n; i++)
		if (s[i].state != SERVICE_STOPPED)
			buf_addf(b,
			    "mailstead_service_start_time_seconds{service="
			    "\"%s\"} %lld\n",
			    health_programs[i].name,
			    (long long)s[i].started_wall_ms / 1000);
	family(b, "mailstead_service_connections", "gauge",
	    "Connections a service has now.");
	for (size_t i = 0; i < n; i++)
		buf_addf(b,
		    "mailstead_service_connections{service=\"%s\"} %u\n",
		    health_programs[i].name, (unsigned)s[i].connections);
	family(b, "mailstead_service_worker_restarts_total", "counter",
	    "Workers replaced after a crash.");
	for (size_t i = 0; i < n; i++)
		buf_addf(b,
		    "mailstead_service_worker_restarts_total{service=\"%s\"} "
		    "%llu\n",
		    health_programs[i].name, (unsigned long long)s[i].restarts);
}

static void
add_queue(const struct admin *a, struct buf *b)
{
	struct spool_stat st;
	char path[4096];
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/run/queue.stat", a->state_dir);
	if (spool_stat_read(path, &st, &e) != 0)
		return;
	family(b, "mailstead_queue_messages", "gauge",
	    "Messages in the queue, by state.");
	buf_addf(b,
	    "mailstead_queue_messages{state=\"active\"} %llu\n"
	    "mailstead_queue_messages{state=\"deferred\"} %llu\n"
	    "mailstead_queue_messages{state=\"held\"} %llu\n",
	    (unsigned long long)st.active, (unsigned long long)st.deferred,
	    (unsigned long long)st.held);
	family(b, "mailstead_queue_updated_seconds", "gauge",
	    "When the queue was counted, in seconds since 1970.");
	buf_addf(b, "mailstead_queue_updated_seconds %lld\n",
	    (long long)st.written_ms / 1000);
}

static void
add_disk(const struct admin *a, struct buf *b)
{
	struct file_space space;
	struct err e;

	if (file_space(a->state_dir, &space, &e) != 0)
		return;
	family(b, "mailstead_disk_bytes", "gauge",
	    "Size of the state directory's file system.");
	buf_addf(b, "mailstead_disk_bytes %llu\n",
	    (unsigned long long)space.total_bytes);
	family(b, "mailstead_disk_free_bytes", "gauge", "What is free of it.");
	buf_addf(b, "mailstead_disk_free_bytes %llu\n",
	    (unsigned long long)space.free_bytes);
}

static void
add_health(const struct admin *a, struct buf *b)
{
	json_t *health = health_read(a->state_dir), *o;
	size_t i;

	family(b, "mailstead_certificate_not_after_seconds", "gauge",
	    "When a certificate ends, in seconds since 1970.");
	json_array_foreach(json_object_get(health, "certificates"), i, o) {
		const char *name =
		    json_string_value(json_object_get(o, "name"));
		const char *until =
		    json_string_value(json_object_get(o, "not_after"));
		int64_t ms;

		if (until == NULL ||
		    !clock_parse_rfc3339(slice_str(until), &ms))
			continue;
		buf_addf(b, "mailstead_certificate_not_after_seconds{name=\"");
		add_label(b, name);
		buf_addf(b, "\"} %lld\n", (long long)ms / 1000);
	}
	family(b, "mailstead_needs_attention", "gauge",
	    "What was told to somebody and is not over.");
	json_array_foreach(json_object_get(health, "told"), i, o) {
		buf_addf(b, "mailstead_needs_attention{id=\"");
		add_label(b, json_string_value(json_object_get(o, "id")));
		buf_addf(b, "\"} 1\n");
	}
	json_decref(health);
}

static void
add_flow(const struct admin *a, struct buf *b)
{
	static const char *const names[] = { "delivered", "sent", "refused" };
	json_t *flow = flow_json(a->flow);

	family(b, "mailstead_mail_24h", "gauge",
	    "Mail of the last 24 hours, by what became of it.");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		buf_addf(b, "mailstead_mail_24h{outcome=\"%s\"} %lld\n",
		    names[i],
		    (long long)json_integer_value(
			json_object_get(flow, names[i])));
	json_decref(flow);
}

/* "GET /metrics HTTP/1.1": the status to answer with. */
static const char *
status_of(struct slice request)
{
	struct slice method, path;
	struct slice rest = slice_cut(request, ' ', &method);

	(void)slice_cut(rest, ' ', &path);
	if (!slice_eq_str(method, "GET") && !slice_eq_str(method, "HEAD"))
		return "405 Method Not Allowed";
	return slice_eq_str(path, "/metrics") ? "200 OK" : "404 Not Found";
}

/* The request line; headers are read to their end. */
static const char *
read_request(struct stream *s, bool *head_out, struct err *e)
{
	const char *status = NULL;
	struct slice line;

	for (int i = 0; i < LINES_MAX; i++) {
		if (stream_read_line(s, LINE_MAX_LEN, &line, NULL, e) != 0)
			return NULL;
		if (line.len == 0 && status != NULL)
			return status;
		if (status == NULL) {
			status = status_of(line);
			*head_out = slice_starts(line, "HEAD ");
		}
	}
	return NULL;
}

static void
answer(struct admin *a, struct stream *s)
{
	bool head = false;
	const char *status;
	struct buf body;
	struct err e;

	status = read_request(s, &head, &e);
	if (status == NULL)
		return;
	buf_init(&body, TEXT_MAX);
	if (status[0] == '2') {
		add_services(a, &body);
		add_queue(a, &body);
		add_disk(a, &body);
		add_health(a, &body);
		add_flow(a, &body);
	} else {
		buf_addf(&body, "%s\n", status);
	}
	if (stream_printf(s, &e,
		"HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; "
		"charset=utf-8\r\nContent-Length: %zu\r\nCache-Control: "
		"no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: "
		"close\r\n\r\n",
		status, body.len) == 0 &&
	    (head || stream_write(s, body.data, body.len, &e) == 0))
		stream_close(s);
	buf_release(&body);
}

void
metrics_serve(struct admin *a, struct connection *c)
{
	struct settings *all = directory_settings(a->directory);
	bool may = settings_has_ip(all, SET_METRICS_ADDRESSES, &c->peer);
	struct stream s;

	settings_free(all);
	stream_init(&s, c->fd);
	stream_set_timeout(&s, LIMIT_MS);
	if (may)
		answer(a, &s);
	stream_release(&s);
}
