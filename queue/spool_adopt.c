/*
 * A copied spool becomes one of its own, and holds all mail that waits in it:
 * the copy may be old, and what it speaks of long delivered.
 *
 * The copy still has the uuid of the spool it was made from, which may be at
 * work beside it, so the live marks get a name of their own meanwhile.  Once
 * everything lies in hold/, the journal is removed, the uuid changed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/mem.h"

#include "queue/spool_internal.h"

static int
no_stores(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static int
hold_all(struct spool *s, const char *reason, size_t *held_out, struct err *e)
{
	struct spool_info i = { 0 };
	struct spool_item *it;
	size_t held = 0;

	while (spool_page(s, NULL, i.id, &i, 1) == 1) {
		if (i.state == SPOOL_HELD) {
			held++;
		} else if (spool_claim_id(s, i.id, &it, e) == 0) {
			/* what cannot be read goes to corrupt/ by itself */
			spool_hold(it, reason);
			held++;
		}
	}
	*held_out = held;
	return spool_flush(s, no_stores, NULL, NULL, e);
}

static void
empty_journal(int spool_fd)
{
	DIR *dir = file_list(spool_fd, "journal");
	const char *name;

	while ((name = file_list_next(dir)) != NULL) {
		if (name[0] != '.')
			(void)unlinkat(dirfd(dir), name, 0);
	}
	file_list_end(dir);
}

int
spool_hold_all(
    const char *spool_dir, const char *reason, size_t *held_out, struct err *e)
{
	uint8_t random[SPOOL_UUID_LEN];
	char name[SPOOL_UUID_SIZE], path[64];
	struct spool *s;
	int fd, rc;

	random_bytes(random, sizeof(random));
	hex_encode(random, sizeof(random), name);
	if (spool_open_marked(spool_dir, NULL, name, &s, e) != 0)
		return -1;
	rc = hold_all(s, reason, held_out, e);
	spool_close(s);
	(void)snprintf(path, sizeof(path), "/dev/shm/mailstead-%s", name);
	(void)unlink(path);
	if (rc != 0)
		return -1;
	fd = open(spool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "%s", spool_dir);
	empty_journal(fd);
	(void)unlinkat(fd, "settled.log", 0);
	rc = spool_write_id(fd, e);
	(void)close(fd);
	return rc;
}
