/*
 * Writing the audit log, and the verb that reads it back.  The file is opened
 * for each line: changes are rare, and the day changes by itself.
 */
#include "audit.h"

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/logtail.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/json_file.h"

#include "request.h"

static int
append(const char *path, const char *line, size_t len, struct err *e)
{
	int fd = open(
	    path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	int r = fd < 0 ? -1 : 0;

	if (r == 0 && file_write_all(fd, line, len) != 0)
		r = -1;
	if (r != 0)
		err_errno(e, "audit log %s", path);
	if (fd >= 0)
		close(fd);
	return r;
}

int
audit_append(const char *state_dir, json_t *entry, struct err *e)
{
	char time[CLOCK_RFC3339_SIZE], day[CLOCK_DAY_SIZE], *path, *line;
	int64_t now = clock_wall_ms();
	size_t len;
	int r;

	clock_rfc3339(now, time);
	clock_day(now, day);
	json_object_set_new(entry, "time", json_string(time));
	line = json_dumps(entry, JSON_COMPACT | JSON_SORT_KEYS);
	if (line == NULL)
		return err_set(e, ERR_TEMP, "audit log: entry not written");
	len = strlen(line);
	line[len] = '\n'; /* in place of the NUL: one write, no copy */
	path = mem_printf("%s/log/audit/%s.log", state_dir, day);
	r = append(path, line, len + 1, e);
	free(path);
	free(line);
	return r;
}

/* --- Reading --------------------------------------------------------------------- */

/* The newest day that is not after `limit`, or "". */
static void
newest_day(const char *dir, const char *limit, char out[CLOCK_DAY_SIZE])
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	out[0] = '\0';
	while (d != NULL && (entry = readdir(d)) != NULL) {
		const char *name = entry->d_name;

		if (strlen(name) != CLOCK_DAY_SIZE - 1 + 4 ||
		    strcmp(name + CLOCK_DAY_SIZE - 1, ".log") != 0 ||
		    !ascii_is_digit(name[0]) ||
		    strncmp(name, limit, CLOCK_DAY_SIZE - 1) > 0 ||
		    strncmp(name, out, CLOCK_DAY_SIZE - 1) <= 0)
			continue;
		memcpy(out, name, CLOCK_DAY_SIZE - 1);
		out[CLOCK_DAY_SIZE - 1] = '\0';
	}
	if (d != NULL)
		closedir(d);
}

/* Where the line before offset `end` starts. */
static size_t
line_start(struct slice text, size_t end)
{
	size_t i = end > 0 ? end - 1 : 0; /* its own newline */

	while (i > 0 && text.data[i - 1] != '\n')
		i--;
	return i;
}

/* What the reader wants to see of it, each NULL or a part of the text. */
struct search {
	const char *who, *what; /* actor; target or verb */
	const char *act;        /* the whole verb */
};

/*
 * Is it about the account or domain the reader may read of (none: all), and
 * what was searched for?
 */
static bool
is_wanted(const struct request *q, const json_t *item, const struct search *s)
{
	struct slice about = slice_str(json_text(item, "target"));
	const struct target *t = &q->target;

	if (t->account_id != 0 && !slice_ieq_str(about, t->address))
		return false;
	if (t->account_id == 0 && t->domain != NULL &&
	    !slice_ieq_str(
		slice_skip(about, (size_t)slice_rchr(about, '@') + 1),
		t->domain))
		return false;
	if (s->who != NULL &&
	    !slice_icontains(
		slice_str(json_text(item, "actor")), slice_str(s->who)))
		return false;
	if (s->act != NULL && strcmp(json_text(item, "verb"), s->act) != 0)
		return false;
	return s->what == NULL || slice_icontains(about, slice_str(s->what)) ||
	    slice_icontains(
		slice_str(json_text(item, "verb")), slice_str(s->what));
}

/* Lines from the end of the day; returns where the next page ends. */
static size_t
add_lines(struct request *q, struct page *p, struct slice text, size_t end,
    const struct search *search)
{
	while (end > 0) {
		size_t at = line_start(text, end);
		json_t *item = json_loadb(text.data + at, end - at, 0, NULL);

		if (item != NULL && !is_wanted(q, item, search)) {
			json_decref(item);
			item = NULL;
		}
		if (item != NULL && !page_add(p, item))
			break;
		end = at;
	}
	return end;
}

/*
 * Newest first; "who" and "what" are searched for, "act" is a whole verb.
 * "day" and "before" come from the last answer's "next": a page ends at a byte
 * offset of a day's file, which only grows.
 */
int
verb_audit_list(struct request *q, struct err *e)
{
	char *dir = pool_printf(&q->pool, "%s/log/audit", q->core->state_dir);
	json_t *before = json_object_get(q->in, "before");
	char day[CLOCK_DAY_SIZE], limit[CLOCK_DAY_SIZE];
	struct search search;
	const char *asked;
	struct buf text;
	struct page page;
	size_t end;

	if (req_optional(q, "day", &asked, e) != 0 ||
	    req_optional(q, "who", &search.who, e) != 0 ||
	    req_optional(q, "what", &search.what, e) != 0 ||
	    req_optional(q, "act", &search.act, e) != 0)
		return -1;
	if (asked != NULL && !logtail_is_day(asked))
		return refuse(q, e, "bad-day", "not a day: %s", asked);
	page_init(&page, q);
	newest_day(dir, asked ? asked : "9999-99-99", day);
	if (day[0] == '\0')
		return 0;
	buf_init(&text, (size_t)1 << 28);
	if (file_read(AT_FDCWD, pool_printf(&q->pool, "%s/%s.log", dir, day),
		&text, e) != 0) {
		buf_release(&text);
		return -1;
	}
	end = text.len;
	if (json_is_integer(before) && asked && strcmp(asked, day) == 0 &&
	    json_integer_value(before) >= 0)
		end = num_min(end, (size_t)json_integer_value(before));
	end = add_lines(q, &page, buf_slice(&text), end, &search);
	buf_release(&text);
	if (end > 0) {
		json_object_set_new(q->out, "next",
		    json_pack(
			"{ss,sI}", "day", day, "before", (json_int_t)end));
		return 0;
	}
	/* The day before this one starts the next page. */
	memcpy(limit, day, sizeof(limit));
	limit[CLOCK_DAY_SIZE - 2]--;
	newest_day(dir, limit, day);
	if (day[0] != '\0')
		json_object_set_new(
		    q->out, "next", json_pack("{ss}", "day", day));
	return 0;
}

/*
 * Somebody is about to change waiting messages, {id: what it is}.  All that
 * happens is the line.
 */
int
verb_queue_act(struct request *q, struct err *e)
{
	static const struct {
		const char *act, *after; /* what becomes of the message */
	} acts[] = { { "retry", "due" }, { "hold", "held" },
		{ "release", "due" }, { "bounce", "returned" },
		{ "delete", "deleted" } };

	json_t *before = json_object_get(q->in, "before"), *state;
	const char *act, *id;
	size_t i = 0;

	if (req_string(q, "act", &act, e) != 0)
		return -1;
	while (i < ARRAY_LEN(acts) && strcmp(acts[i].act, act) != 0)
		i++;
	if (i == ARRAY_LEN(acts) || !json_is_object(before))
		return refuse(q, e, "bad-act", "no act on the queue: %s", act);
	q->verb = pool_printf(&q->pool, "queue %s", act);
	q->before = json_incref(before);
	q->after = json_object();
	json_object_foreach(before, id, state)
		json_object_set_new(q->after, id, json_string(acts[i].after));
	return 0;
}
