/*
 * Put messages straight into a spool, without an SMTP server: for tests of the
 * runner, where envelopes are wanted that no client could make.
 *
 *	spool_submit SPOOL [WRITER] < orders
 *
 * reads JSON orders, one a line: {"sender", "recipients": [...], "body",
 * "flags", "notify", "original", "envid", "accepted_ms", "count",
 * "local_prefix"}, commits each `count` times and prints an id a line.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#include "queue/spool.h"

static const char *
text(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static uint32_t
number(json_t *o, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(o, key));
}

static void
fill(json_t *o, const char *body, size_t len, struct pool *pool,
    struct envelope *v)
{
	json_t *list = json_object_get(o, "recipients"), *one;
	size_t i;

	v->sender = pool_strdup(pool, text(o, "sender"));
	v->client_ip = v->client_name = v->helo = v->auth_user = v->session_id =
	    pool_strdup(pool, "");
	if (text(o, "envid") != NULL)
		v->envid = pool_strdup(pool, text(o, "envid"));
	v->flags = number(o, "flags");
	v->local_prefix = number(o, "local_prefix");
	v->accepted_ms = json_integer_value(json_object_get(o, "accepted_ms"));
	if (v->accepted_ms == 0)
		v->accepted_ms = clock_wall_ms();
	for (i = 0; i < len; i++)
		v->body_lines += body[i] == '\n';
	json_array_foreach(list, i, one) {
		struct envelope_recipient *r = envelope_add(v);

		r->address = pool_strdup(pool, json_string_value(one));
		r->notify = number(o, "notify");
		if (text(o, "original") != NULL)
			r->original = pool_strdup(pool, text(o, "original"));
	}
}

static int
submit(struct spool_writer *w, json_t *o, struct err *e)
{
	json_t *body = json_object_get(o, "body");
	size_t len = json_string_length(body);
	struct envelope v = { 0 };
	struct spool_message *m;
	struct pool pool = { 0 };
	char id[ID_SIZE];
	int rc;

	if (spool_begin(w, &m, e) != 0)
		return -1;
	memcpy(id, spool_id(m), sizeof(id));
	rc = spool_write(m, json_string_value(body), len, e);
	if (rc != 0) {
		spool_abort(m);
		return rc;
	}
	fill(o, json_string_value(body), len, &pool, &v);
	rc = spool_commit(m, &v, e);
	if (rc == 0)
		puts(id);
	envelope_release(&v);
	pool_release(&pool);
	return rc;
}

int
main(int argc, char **argv)
{
	struct spool_writer *w;
	char notify[512];
	char *line = NULL;
	size_t size = 0;
	struct err e;
	int rc = 0;

	if (argc != 2 && argc != 3)
		return 2;
	snprintf(notify, sizeof(notify), "%s/notify.sock", argv[1]);
	if (spool_writer_open(argv[1], argc == 3 ? argv[2] : "submit", notify,
		0, &w, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	while (rc == 0 && getline(&line, &size, stdin) > 0) {
		json_t *o = json_loads(line, JSON_ALLOW_NUL, NULL);
		uint32_t i, count = number(o, "count");

		for (i = 0; rc == 0 && i < (count > 0 ? count : 1); i++)
			rc = submit(w, o, &e);
		json_decref(o);
	}
	if (rc != 0)
		fprintf(stderr, "%s\n", e.text);
	free(line);
	spool_writer_close(w);
	return rc != 0;
}
