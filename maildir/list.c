/*
 * What lies in a mailbox: a listing of all of it, and finding one message.
 *
 * A mailbox of a million messages is read into one block of names and one
 * array; sizes come from the names.  new/ is read before cur/,
 * so a message that moves meanwhile is seen at least once, and cur/ is read
 * again if it changed under the reading (a rename may hide a file from a
 * reader).  Two names of one base are one message: the later seen stays.
 *
 * Not here: reading a directory (walk.c), opening and changing messages
 * (message.c), sizes of foreign names (sizes.c).  Any thread.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

#include "maildir/internal.h"
#include "maildir/maildir.h"
#include "maildir/name.h"
#include "maildir/sizes.h"

enum {
	ATTEMPTS = 3,
	DIGIT_BITS = 11,
	DIGITS = 1 << DIGIT_BITS,
	NAMES_MAX = 0x7fffffff, /* bytes of names in one mailbox */
	ROOM_MAX = 64 * 1024 * 1024,
	NAME_USUAL = 48
};

/* --- Scanning ------------------------------------------------------------- */

/*
 * During a scan `wire_size` holds the time of arrival.  Names are read once,
 * while they are at hand: after sorting each look costs a cache miss.
 */
struct scan {
	char *names;
	size_t names_len, names_alloc;
	size_t new_len; /* of names: those in new/ */
	struct maildir_slim *items;
	size_t count, items_alloc;
	bool too_big;
};

static bool
scan_add(void *arg, const char *name, size_t len)
{
	struct scan *s = arg;
	struct maildir_entry entry;
	struct maildir_slim *item;

	if (s->names_len + len + 1 > NAMES_MAX) {
		s->too_big = true;
		return false;
	}
	s->names =
	    mem_grow(s->names, &s->names_alloc, s->names_len + len + 1, 1);
	s->items = mem_grow(
	    s->items, &s->items_alloc, s->count + 1, sizeof(*s->items));
	item = &s->items[s->count++];
	item->told = MAILDIR_UNTOLD;
	if (maildir_parse_name(name, &entry) == 0 &&
	    entry.wire_size < MAILDIR_UNTOLD)
		item->told = (uint32_t)entry.wire_size;
	item->wire_size = (uint64_t)entry.arrived_ms;
	item->name = (uint32_t)s->names_len;
	memcpy(s->names + s->names_len, name, len + 1);
	s->names_len += len + 1;
	return true;
}

/* What lies in one directory, behind what was found before. */
static int
scan_dir(struct scan *s, int dirfd, struct err *e)
{
	struct scan rest = { 0 };
	int rc = maildir_walk_halves(dirfd, scan_add, s, &rest, e);

	if (s->names_len + rest.names_len > NAMES_MAX || rest.too_big)
		s->too_big = true;
	if (rc == 0 && rest.count > 0 && !s->too_big) {
		s->names = mem_grow(s->names, &s->names_alloc,
		    s->names_len + rest.names_len, 1);
		s->items = mem_grow(s->items, &s->items_alloc,
		    s->count + rest.count, sizeof(*s->items));
		memcpy(s->names + s->names_len, rest.names, rest.names_len);
		for (size_t i = 0; i < rest.count; i++) {
			rest.items[i].name += (uint32_t)s->names_len;
			s->items[s->count++] = rest.items[i];
		}
		s->names_len += rest.names_len;
	}
	free(rest.names);
	free(rest.items);
	return rc;
}

/* Bytes of the base decide where the times are equal. */
static int
compare_bases(const char *a, const char *b)
{
	size_t i = 0;

	while (a[i] == b[i] && a[i] != '\0' && a[i] != ':')
		i++;
	return (a[i] == ':' ? 0 : (unsigned char)a[i]) -
	    (b[i] == ':' ? 0 : (unsigned char)b[i]);
}

static int
compare_items(const void *a, const void *b, void *names)
{
	const struct maildir_slim *x = a, *y = b;

	return compare_bases(
	    (const char *)names + x->name, (const char *)names + y->name);
}

/*
 * Sort by time, a digit of DIGIT_BITS at a time from the lowest on: the
 * spread of times needs few passes, and a pass costs less than comparing.
 */
static void
sort_by_time(
    struct maildir_slim *items, size_t count, uint64_t least, uint64_t most)
{
	struct maildir_slim *from = items, *to, *spare;
	size_t *places = mem_alloc(DIGITS * sizeof(*places));

	spare = mem_alloc(count * sizeof(*spare));
	to = spare;
	for (unsigned shift = 0; shift < 64 && (most - least) >> shift != 0;
	     shift += DIGIT_BITS) {
		struct maildir_slim *swap = from;
		size_t sum = 0;

		memset(places, 0, DIGITS * sizeof(*places));
		for (size_t i = 0; i < count; i++)
			places[(from[i].wire_size - least) >> shift &
			    (DIGITS - 1)]++;
		for (size_t d = 0; d < DIGITS; d++) {
			size_t n = places[d];

			places[d] = sum;
			sum += n;
		}
		for (size_t i = 0; i < count; i++)
			to[places[(from[i].wire_size - least) >> shift &
			    (DIGITS - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	if (from != items)
		memcpy(items, from, count * sizeof(*items));
	free(spare);
	free(places);
}

/* Where times are equal the names decide. */
static void
sort_equal_times(struct scan *s)
{
	size_t start = 0;

	for (size_t i = 1; i <= s->count; i++) {
		if (i < s->count &&
		    s->items[i].wire_size == s->items[start].wire_size)
			continue;
		if (i - start > 1)
			qsort_r(s->items + start, i - start, sizeof(*s->items),
			    compare_items, s->names);
		start = i;
	}
}

/* Two names of one base: the later read, further on in the block, stays. */
static void
dedupe(struct scan *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct maildir_slim *item = &s->items[i];

		if (kept > 0 &&
		    s->items[kept - 1].wire_size == item->wire_size &&
		    compare_items(&s->items[kept - 1], item, s->names) == 0) {
			if (item->name > s->items[kept - 1].name)
				s->items[kept - 1] = *item;
		} else {
			s->items[kept++] = *item;
		}
	}
	s->count = kept;
}

static void
sort_and_dedupe(struct scan *s)
{
	uint64_t least = UINT64_MAX, most = 0;
	bool in_order = true;

	for (size_t i = 0; i < s->count; i++) {
		uint64_t time = s->items[i].wire_size;

		in_order = in_order && time > most;
		least = time < least ? time : least;
		most = time > most ? time : most;
	}
	if (in_order)
		return;
	sort_by_time(s->items, s->count, least, most);
	sort_equal_times(s);
	dedupe(s);
}

static bool
same_time(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/*
 * Room for what the directories seem to hold, so that growing does not copy;
 * what is not touched costs nothing.
 */
static void
make_room(struct scan *s, const struct maildir *m)
{
	const int fds[] = { m->new_fd, m->cur_fd };
	size_t bytes = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fstat(fds[i], &st) == 0 && st.st_size > 0)
			bytes +=
			    (size_t)num_min((uint64_t)st.st_size, ROOM_MAX);
	}
	s->names = mem_grow(NULL, &s->names_alloc, bytes, 1);
	s->items = mem_grow(
	    NULL, &s->items_alloc, bytes / NAME_USUAL, sizeof(*s->items));
}

static int
scan_mailbox(const struct maildir *m, struct scan *s, struct err *e)
{
	struct stat before, after;

	memset(s, 0, sizeof(*s));
	make_room(s, m);
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		s->names_len = 0;
		s->count = 0;
		if (scan_dir(s, m->new_fd, e) < 0)
			goto fail;
		s->new_len = s->names_len;
		if (fstat(m->cur_fd, &before) < 0) {
			(void)err_errno(e, "cur");
			goto fail;
		}
		if (scan_dir(s, m->cur_fd, e) < 0)
			goto fail;
		if (s->too_big) {
			(void)err_set(e, ERR_PERM, "mailbox is too big");
			goto fail;
		}
		if (fstat(m->cur_fd, &after) < 0 || same_time(&before, &after))
			break;
	}
	sort_and_dedupe(s);
	return 0;
fail:
	free(s->names);
	free(s->items);
	return -1;
}

/* --- The two forms of a listing --------------------------------------------- */

int
maildir_snapshot_take(
    const struct maildir *m, struct maildir_snapshot *out, struct err *e)
{
	struct sizes_cache cache = { 0 };
	struct scan s;
	size_t kept = 0;

	if (scan_mailbox(m, &s, e) < 0)
		return -1;
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < s.count; i++) {
		struct maildir_slim *item = &s.items[i];
		uint64_t size, wire = item->told;

		if (item->told == MAILDIR_UNTOLD &&
		    !sizes_get(&cache, m, s.names + item->name, &size, &wire))
			continue; /* gone meanwhile */
		s.items[kept] = *item;
		s.items[kept++].wire_size = wire;
		out->wire_total += wire;
	}
	sizes_release(&cache, m);
	out->count = kept;
	out->names = mem_realloc(s.names, s.names_len + 1);
	out->items = mem_realloc(s.items, (kept + 1) * sizeof(*s.items));
	return 0;
}

void
maildir_snapshot_release(struct maildir_snapshot *s)
{
	free(s->names);
	free(s->items);
	memset(s, 0, sizeof(*s));
}

int
maildir_list(const struct maildir *m, struct maildir_list *out, struct err *e)
{
	struct sizes_cache cache = { 0 };
	struct scan s;

	if (scan_mailbox(m, &s, e) < 0)
		return -1;
	memset(out, 0, sizeof(*out));
	out->items = mem_alloc((s.count + 1) * sizeof(*out->items));
	out->names = s.names;
	for (size_t i = 0; i < s.count; i++) {
		struct maildir_entry *entry = &out->items[out->count];

		entry->name = s.names + s.items[i].name;
		entry->is_new = s.items[i].name < s.new_len;
		if (maildir_parse_name(entry->name, entry) == 0 ||
		    sizes_get(&cache, m, entry->name, &entry->size,
			&entry->wire_size))
			out->count++;
	}
	sizes_release(&cache, m);
	free(s.items);
	return 0;
}

void
maildir_list_release(struct maildir_list *l)
{
	free(l->items);
	free(l->names);
	memset(l, 0, sizeof(*l));
}

/* --- Finding one -------------------------------------------------------------- */

int
maildir_each_name(const struct maildir *m,
    bool (*each)(void *arg, const char *name, size_t len), void *arg,
    struct err *e)
{
	if (maildir_walk(m->new_fd, each, arg, e) != 0)
		return -1;
	return maildir_walk(m->cur_fd, each, arg, e);
}

struct search {
	struct slice base;
	char *out;
	bool found;
};

static bool
search_visit(void *arg, const char *name, size_t len)
{
	struct search *s = arg;

	if (!slice_eq(s->base, maildir_base_name(name)))
		return true;
	memcpy(s->out, name, len + 1);
	s->found = true;
	return false;
}

/* Names that cost no reading of a directory: as given, unread, seen. */
static bool
find_quickly(const struct maildir *m, const char *name, int *dirfd_out,
    char out[MAILDIR_NAME_SIZE])
{
	size_t base = maildir_base_name(name).len;
	const int dirs[] = { m->cur_fd, m->new_fd, m->cur_fd, m->cur_fd };
	const char *const tails[] = { name + base, name + base, ":2,", ":2,S" };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		struct stat st;

		if (base + strlen(tails[i]) >= MAILDIR_NAME_SIZE)
			continue;
		memcpy(out, name, base);
		memcpy(out + base, tails[i], strlen(tails[i]) + 1);
		if (fstatat(dirs[i], out, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode)) {
			*dirfd_out = dirs[i];
			return true;
		}
	}
	return false;
}

int
maildir_find(const struct maildir *m, const char *name, int *dirfd_out,
    char out[MAILDIR_NAME_SIZE], struct err *e)
{
	struct search s = { maildir_base_name(name), out, false };

	if (!maildir_is_message_name(name) || strchr(name, '/') != NULL)
		return err_set(e, ERR_PERM, "no such message");
	if (find_quickly(m, name, dirfd_out, out))
		return 0;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		const int dirs[] = { m->new_fd, m->cur_fd };

		for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
			if (maildir_walk(dirs[i], search_visit, &s, e) < 0)
				return -1;
			if (s.found) {
				*dirfd_out = dirs[i];
				return 0;
			}
		}
	}
	return err_set(e, ERR_PERM, "%s: the message is gone", name);
}
