/*
 * Listing a mailbox by names alone.
 *
 * Directories are read in large pieces straight from the kernel; names go
 * into the list's pool.  Only a name without sizes costs a look at its file.
 * A message that moves from new/ to cur/ while we read may be seen in both or
 * (with new/ read first) never missed: new/ is read before cur/, and of two
 * with the same base the one in cur/ stands.
 */
#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#include "maildir/maildir.h"
#include "maildir/name.h"

enum {
	READ_SIZE = 262144,
	MEASURE_CHUNK = 65536
};

struct kernel_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* Bytes on the wire: lone LF become CRLF, a missing last one is added. */
static int
measure(int dir_fd, const char *name, struct maildir_entry *entry)
{
	char *chunk;
	char last = '\n';
	uint64_t size = 0, wire = 0;
	ssize_t n;
	int fd = openat(
	    dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	chunk = mem_alloc(MEASURE_CHUNK);
	while ((n = read(fd, chunk, MEASURE_CHUNK)) > 0) {
		const char *p = chunk, *end = chunk + n;

		while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
			wire += (p > chunk ? p[-1] : last) != '\r';
			p++;
		}
		last = chunk[n - 1];
		size += (uint64_t)n;
	}
	free(chunk);
	(void)close(fd);
	entry->size = size;
	entry->wire_size = size + wire + (last == '\n' ? 0 : 2);
	return n == 0 ? 0 : -1;
}

static bool
is_message(int dir_fd, const struct kernel_entry *k)
{
	struct stat st;

	if (k->name[0] == '.')
		return false;
	if (k->type != DT_UNKNOWN)
		return k->type == DT_REG;
	return fstatat(dir_fd, k->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode);
}

static void
add_entry(struct maildir_list *l, size_t *alloc, int dir_fd, bool is_new,
    const struct kernel_entry *k)
{
	struct maildir_entry entry = { .is_new = is_new };

	if (!is_message(dir_fd, k))
		return;
	/* gone meanwhile: then it is not there */
	if (maildir_parse_name(k->name, &entry) != 0 &&
	    measure(dir_fd, k->name, &entry) != 0)
		return;
	entry.name = pool_strdup(&l->pool, k->name);
	l->items = mem_grow(l->items, alloc, l->count + 1, sizeof(l->items[0]));
	l->items[l->count++] = entry;
}

static int
read_directory(struct maildir_list *l, size_t *alloc, int dir_fd, bool is_new,
    char *buffer, struct err *e)
{
	/* a descriptor of our own: the position in a directory is shared */
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return err_errno(e, "mailbox");
	while ((n = syscall(SYS_getdents64, fd, buffer, READ_SIZE)) > 0) {
		for (long at = 0; at < n;) {
			const struct kernel_entry *k =
			    (const void *)(buffer + at);

			add_entry(l, alloc, dir_fd, is_new, k);
			at += k->length;
		}
	}
	if (n < 0)
		(void)err_errno(e, "mailbox");
	(void)close(fd);
	return n < 0 ? -1 : 0;
}

static int
by_arrival(const void *a, const void *b)
{
	const struct maildir_entry *x = a, *y = b;
	int order;

	if (x->arrived_ms != y->arrived_ms)
		return x->arrived_ms < y->arrived_ms ? -1 : 1;
	order = strcmp(x->name, y->name);
	return order != 0 ? order : (int)y->is_new - (int)x->is_new;
}

static void
sort_and_merge(struct maildir_list *l)
{
	size_t kept = 0;
	bool sorted = true;

	for (size_t i = 1; i < l->count && sorted; i++)
		sorted = by_arrival(&l->items[i - 1], &l->items[i]) < 0;
	if (!sorted)
		qsort(l->items, l->count, sizeof(l->items[0]), by_arrival);
	for (size_t i = 0; i < l->count; i++) {
		if (kept > 0 &&
		    slice_eq(maildir_base_name(l->items[kept - 1].name),
			maildir_base_name(l->items[i].name)))
			kept--; /* the later of the two is in cur/ */
		l->items[kept++] = l->items[i];
	}
	l->count = kept;
}

int
maildir_list(const struct maildir *m, struct maildir_list *out, struct err *e)
{
	struct maildir_list l = { 0 };
	char *buffer = mem_alloc(READ_SIZE);
	size_t alloc = 0;
	int rc = read_directory(&l, &alloc, m->new_fd, true, buffer, e);

	if (rc == 0)
		rc = read_directory(&l, &alloc, m->cur_fd, false, buffer, e);
	free(buffer);
	if (rc != 0) {
		maildir_list_release(&l);
		return -1;
	}
	sort_and_merge(&l);
	*out = l;
	return 0;
}

void
maildir_list_release(struct maildir_list *l)
{
	free(l->items);
	pool_release(&l->pool);
	memset(l, 0, sizeof(*l));
}
