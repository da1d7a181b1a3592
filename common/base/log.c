/*
 * The event log: lines built on the caller's stack, appended with one write.
 *
 * Writers take no lock.  The descriptor number never changes once a file is
 * open: at midnight the new day's file is put under the same number by dup3(),
 * which is atomic, so a write under way ends in the old file and the next one
 * goes into the new.  So it is when somebody has moved the file away, which is
 * looked for about once a second.  Only that change, and the memory of repeated
 * texts, are under a mutex.
 *
 * Runs in any thread; log_open() before there are several.
 */
#include "base/log.h"

#include <sys/stat.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"

enum {
	DAY_MS = 86400 * 1000,
	REPEAT_MS = 1000,
	LOOK_MS = 1000,
	REPEAT_SLOTS = 16, /* texts that are remembered */
	CUT_LEN = 3,       /* "..." */
};

static struct {
	char program[32];
	int dir_fd; /* -1: no files, stderr only */
	bool also_stderr;
	atomic_int fd;    /* of the day's file, -1 before the first line */
	atomic_llong day; /* since 1970, of the open file; -1: open it anew */
	atomic_llong look_ms; /* when it was last looked for, wall clock */
	atomic_ullong lost;   /* lines since the last that was written */
	atomic_bool torn;     /* a line was written in part */
} log_state = { .dir_fd = -1, .also_stderr = true, .fd = -1, .day = -1 };

static pthread_mutex_t log_switch_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t log_repeat_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct {
	uint64_t hash;
	int64_t mono_ms;
} log_repeats[REPEAT_SLOTS];

void
log_open(const char *program, const char *dir, bool also_stderr)
{
	struct err e;
	int old_fd = atomic_exchange(&log_state.fd, -1);

	if (old_fd >= 0)
		(void)close(old_fd);
	if (log_state.dir_fd >= 0)
		(void)close(log_state.dir_fd);
	(void)snprintf(
	    log_state.program, sizeof(log_state.program), "%s", program);
	atomic_store(&log_state.day, -1);
	log_state.dir_fd = -1;
	log_state.also_stderr = also_stderr || dir == NULL;
	if (dir == NULL)
		return;
	if (file_mkdir(AT_FDCWD, dir, 02750, &e) == 0) {
		log_state.dir_fd =
		    open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (log_state.dir_fd >= 0)
			return;
		(void)err_errno(&e, "open %s", dir);
	}
	/* better on stderr than nowhere */
	log_state.also_stderr = true;
	log_error("no log files: %s", e.text);
}

enum {
	NAME_SIZE = CLOCK_DAY_SIZE + sizeof(".log")
};

static void
file_name(int64_t day, char out[NAME_SIZE])
{
	clock_day(day * DAY_MS, out);
	memcpy(out + CLOCK_DAY_SIZE - 1, ".log", sizeof(".log"));
}

/* Is the open file no longer the one of that name? */
static void
look_for_file(int64_t now_ms)
{
	int64_t since_ms = now_ms - atomic_load(&log_state.look_ms);
	int fd = atomic_load(&log_state.fd);
	char name[NAME_SIZE];
	struct stat here, there;

	if (fd < 0 || (since_ms >= 0 && since_ms < LOOK_MS))
		return;
	atomic_store(&log_state.look_ms, now_ms);
	file_name(now_ms / DAY_MS, name);
	if (fstat(fd, &here) != 0)
		return;
	if (fstatat(log_state.dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) != 0
		? errno == ENOENT
		: here.st_ino != there.st_ino)
		atomic_store(&log_state.day, -1);
}

/* Make the descriptor that of `day`'s file; false with errno if it cannot. */
static bool
switch_day(int64_t day)
{
	char name[NAME_SIZE];
	bool done = true;
	int fd;

	(void)pthread_mutex_lock(&log_switch_mutex);
	if (atomic_load(&log_state.day) == day)
		goto out;
	file_name(day, name);
	fd = openat(log_state.dir_fd, name,
	    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0) {
		done = false;
		goto out;
	}
	if (atomic_load(&log_state.fd) < 0) {
		atomic_store(&log_state.fd, fd);
	} else {
		done = dup3(fd, atomic_load(&log_state.fd), O_CLOEXEC) >= 0;
		(void)close(fd);
	}
	if (done)
		atomic_store(&log_state.day, day);
out:
	(void)pthread_mutex_unlock(&log_switch_mutex);
	return done;
}

void
log_expire(const char *dir, int64_t days)
{
	char last[CLOCK_DAY_SIZE];
	DIR *d = days > 0 ? opendir(dir) : NULL;
	struct dirent *entry;

	if (d == NULL)
		return;
	clock_day(clock_wall_ms() - days * DAY_MS, last);
	while ((entry = readdir(d)) != NULL) {
		const char *name = entry->d_name;

		if (strlen(name) != CLOCK_DAY_SIZE - 1 + 4 ||
		    strspn(name, "0123456789-") != CLOCK_DAY_SIZE - 1 ||
		    strcmp(name + CLOCK_DAY_SIZE - 1, ".log") != 0 ||
		    strncmp(name, last, CLOCK_DAY_SIZE - 1) >= 0)
			continue;
		if (unlinkat(dirfd(d), name, 0) != 0)
			log_error(
			    "%s/%s: %s", dir, name, strerrordesc_np(errno));
	}
	(void)closedir(d);
}

/* One write; what is written in part is lost too. */
static bool
append(const char *text, size_t len)
{
	ssize_t n;

	do {
		n = write(atomic_load(&log_state.fd), text, len);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len)
		return true;
	if (n > 0)
		atomic_store(&log_state.torn, true);
	return false;
}

/* Say how many lines are missing, before the first that is not. */
static void
report_lost(void)
{
	unsigned long long count = atomic_exchange(&log_state.lost, 0);
	bool torn = atomic_exchange(&log_state.torn, false);
	char now[CLOCK_RFC3339_SIZE], text[128];
	int len;

	if (count == 0)
		return;
	clock_rfc3339(clock_wall_ms(), now);
	len =
	    snprintf(text, sizeof(text), "%s%s - - event=log-lost count=%llu\n",
		torn ? "\n" : "", now, count);
	if (len > 0 && append(text, (size_t)len))
		return;
	atomic_fetch_add(&log_state.lost, count);
	if (torn)
		atomic_store(&log_state.torn, true);
}

/* In one write as well: several programs may share a terminal. */
static void
write_to_stderr(const char *text, size_t len)
{
	char copy[sizeof(log_state.program) + 2 + LOG_LINE_SIZE];
	size_t name_len = strlen(log_state.program);
	size_t at = 0;

	if (name_len > 0) {
		memcpy(copy, log_state.program, name_len);
		memcpy(copy + name_len, ": ", 2);
		at = name_len + 2;
	}
	memcpy(copy + at, text, len);
	/* nowhere to complain if stderr is gone */
	if (file_write_all(STDERR_FILENO, copy, at + len) != 0)
		return;
}

/* The day's file is open, and says what is missing up to now. */
static bool
make_ready(void)
{
	int64_t now_ms = clock_wall_ms(), day = now_ms / DAY_MS;

	look_for_file(now_ms);
	/* rather in yesterday's file than nowhere */
	if (atomic_load(&log_state.day) != day && !switch_day(day) &&
	    atomic_load(&log_state.fd) < 0)
		return false;
	if (atomic_load(&log_state.lost) > 0)
		report_lost();
	return true;
}

void
log_catch_up(void)
{
	if (log_state.dir_fd >= 0 && atomic_load(&log_state.lost) > 0)
		(void)make_ready();
}

static void
write_line(const char *text, size_t len)
{
	if (log_state.dir_fd >= 0 && (!make_ready() || !append(text, len)))
		atomic_fetch_add(&log_state.lost, 1);
	if (log_state.also_stderr)
		write_to_stderr(text, len);
}

/* Room left for text, the line's newline set aside. */
static size_t
room(const struct log_line *l)
{
	return sizeof(l->text) - 1 - l->len;
}

static void
add_raw(struct log_line *l, const char *text, size_t len)
{
	assert(len <= room(l));
	memcpy(l->text + l->len, text, len);
	l->len += (uint32_t)len;
}

static bool
is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* Escaped into `out`, which takes 4 bytes; returns how many it took. */
static size_t
escape(unsigned char c, char *out)
{
	static const char digits[] = "0123456789abcdef";

	if (is_plain(c) || c == ' ') {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	if (c == '"' || c == '\\') {
		out[1] = (char)c;
		return 2;
	}
	out[1] = 'x';
	out[2] = digits[c >> 4];
	out[3] = digits[c & 15];
	return 4;
}

/* A value with quotes; at most `max` bytes, cut with "..." if need be. */
static void
add_quoted(struct log_line *l, struct slice value, size_t max)
{
	size_t start = l->len, cut_at = l->len + 1;
	char piece[4];

	add_raw(l, "\"", 1);
	for (size_t i = 0; i < value.len; i++) {
		size_t len = escape((unsigned char)value.data[i], piece);

		if (l->len - start + len + 1 > max) {
			l->len = (uint32_t)cut_at;
			add_raw(l, "...", CUT_LEN);
			break;
		}
		add_raw(l, piece, len);
		if (l->len - start + CUT_LEN + 1 <= max)
			cut_at = l->len;
	}
	add_raw(l, "\"", 1);
}

/* The value if its line has room for more than the mark of a cut. */
static void
add_value(struct log_line *l, struct slice value)
{
	size_t max = num_min(LOG_VALUE_MAX, room(l));
	size_t plain = 0;

	while (plain < value.len && plain < max &&
	    is_plain((unsigned char)value.data[plain]))
		plain++;
	if (value.len > 0 && plain == value.len) {
		add_raw(l, value.data, value.len);
	} else if (plain == max) {
		add_raw(l, value.data, max - CUT_LEN);
		add_raw(l, "...", CUT_LEN);
	} else {
		add_quoted(l, value, max);
	}
}

void
log_slice(struct log_line *l, const char *key, struct slice value)
{
	size_t key_len = strlen(key);

	/* a field that would have room for nothing but a cut is left out */
	if (room(l) < key_len + 2 + 8)
		return;
	add_raw(l, " ", 1);
	add_raw(l, key, key_len);
	add_raw(l, "=", 1);
	add_value(l, value);
}

void
log_begin(struct log_line *l, const char *event, const char *session_id,
    const char *message_id)
{
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(), now);
	l->len = 0;
	add_raw(l, now, strlen(now));
	add_raw(l, " ", 1);
	add_value(l, slice_str(session_id != NULL ? session_id : "-"));
	add_raw(l, " ", 1);
	add_value(l, slice_str(message_id != NULL ? message_id : "-"));
	log_str(l, "event", event);
}

void
log_str(struct log_line *l, const char *key, const char *value)
{
	log_slice(l, key, slice_str(value));
}

void
log_int(struct log_line *l, const char *key, int64_t value)
{
	char text[24];
	size_t at = sizeof(text);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		text[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		text[--at] = '-';
	log_slice(l, key, slice_of(text + at, sizeof(text) - at));
}

static void PRINTF_LIKE(3, 0)
    log_vfmt(struct log_line *l, const char *key, const char *fmt, va_list args)
{
	/* one byte over the limit, so that a cut here is seen as one */
	char text[LOG_VALUE_MAX + 2];
	int len = vsnprintf(text, sizeof(text), fmt, args);

	if (len < 0)
		len = 0;
	log_slice(
	    l, key, slice_of(text, num_min((size_t)len, sizeof(text) - 1)));
}

void
log_end(struct log_line *l)
{
	l->text[l->len++] = '\n';
	write_line(l->text, l->len);
}

/* True if this text was written less than a second ago. */
static bool
is_repeated(const char *text, size_t len)
{
	int64_t now = clock_mono_ms();
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	size_t slot;
	bool repeated;

	for (size_t i = 0; i < len; i++)
		hash =
		    (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	slot = hash % REPEAT_SLOTS;
	(void)pthread_mutex_lock(&log_repeat_mutex);
	repeated = log_repeats[slot].hash == hash &&
	    now - log_repeats[slot].mono_ms < REPEAT_MS;
	if (!repeated) {
		log_repeats[slot].hash = hash;
		log_repeats[slot].mono_ms = now;
	}
	(void)pthread_mutex_unlock(&log_repeat_mutex);
	return repeated;
}

static void PRINTF_LIKE(2, 0)
    log_service(const char *level, const char *fmt, va_list args)
{
	struct log_line l;
	size_t fields;

	log_begin(&l, "service", NULL, NULL);
	fields = l.len;
	log_str(&l, "level", level);
	log_vfmt(&l, "text", fmt, args);
	if (!is_repeated(l.text + fields, l.len - fields))
		log_end(&l);
}

void
log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_service("error", fmt, args);
	va_end(args);
}

void
log_warning(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_service("warning", fmt, args);
	va_end(args);
}

void
log_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_service("info", fmt, args);
	va_end(args);
}
