/*
 * The last sign-ins of one user, from the log of the accounts service: what
 * is left of it is what there is to see.  Nobody needs a database that is
 * written at every fetch of mail for that.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logread.h"
#include "base/logtail.h"

#include "admin-cgi/ops.h"

enum {
	ROWS = 8,
	LINES = 400, /* looked at, as one row may stand for many */
	DAYS = 7,
	DAY_MS = 86400000,
	SCAN_MAX = LOGTAIL_SCAN_MAX /* bytes of the log, for all days */
};

struct gather {
	struct web_request *r;
	json_t *rows;
};

static bool
is_same(
    const json_t *row, const char *service, const char *ip, const char *words)
{
	return strcmp(json_text(row, "service"), service) == 0 &&
	    strcmp(json_text(row, "ip"), ip) == 0 &&
	    strcmp(json_text(row, "words"), words) == 0;
}

/* One more of the same in a row is counted, not shown. */
static void
add_line(void *arg, struct slice line)
{
	struct gather *g = arg;
	const char *text = pool_strndup(&g->r->pool, line.data, line.len);
	size_t count = json_array_size(g->rows);
	json_t *last = json_array_get(g->rows, count - 1);
	char event[16], service[32], ip[64], result[32], reason[64], time[32];
	const char *words;

	if (!log_field(text, "event", event, sizeof(event)) ||
	    strcmp(event, "login") != 0 ||
	    !log_field(text, "time", time, sizeof(time)) ||
	    !log_field(text, "service", service, sizeof(service)) ||
	    !log_field(text, "ip", ip, sizeof(ip)) ||
	    !log_field(text, "result", result, sizeof(result)))
		return;
	if (strcmp(result, "ok") == 0 ||
	    !log_field(text, "reason", reason, sizeof(reason)))
		words = ops_words(g->r, "signin", result);
	else
		words = ops_words(g->r, "signin", reason);
	if (last != NULL && is_same(last, service, ip, words)) {
		json_object_set_new(last, "times",
		    json_integer(
			json_integer_value(json_object_get(last, "n")) + 1));
		json_object_set(last, "n", json_object_get(last, "times"));
		return;
	}
	if (count == ROWS)
		return;
	last = json_pack("{ss,ss,ss,ss,si,sb}", "service", service, "how",
	    ops_words(g->r, "signin", service), "ip", ip, "words", words, "n",
	    1, "good", strcmp(result, "ok") == 0);
	ops_put_time(last, "at", time);
	json_array_append_new(g->rows, last);
}

json_t *
signins_of(struct web_request *r, const char *address)
{
	struct gather g = { r, json_array() };
	char *account = pool_strdup(&r->pool, address);
	struct logtail tail = { .max = LINES, .line = add_line, .arg = &g };
	const char *log_dir =
	    pool_printf(&r->pool, "%s/log", admin_of(r)->state_dir);
	int64_t now = clock_wall_ms(), seen = 0;

	ascii_lower_str(account);
	tail.needle = pool_printf(&r->pool, " account=%s ", account);
	for (int i = 0;
	     i < DAYS && seen < SCAN_MAX && json_array_size(g.rows) < ROWS;
	     i++) {
		char day[CLOCK_RFC3339_SIZE];
		int64_t size = 0;
		int fd;

		clock_rfc3339(now - (int64_t)i * DAY_MS, day);
		day[10] = '\0';
		fd = logtail_open(log_dir, "accountd", day, &size);
		if (fd < 0)
			continue;
		(void)logtail_read(fd, size, &tail);
		(void)close(fd);
		seen += size;
	}
	return g.rows;
}
