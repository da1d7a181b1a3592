/*
 * run/queue.stat; see spool_stat.h.  One fixed record with a version and a
 * checksum, written in place by one pwrite: a reader that meets it half
 * written sees a wrong checksum and tries again a moment later.
 */
#include "queue/spool_stat.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/num.h"

enum {
	VERSION = 2,
	RECORD = 52,
	READ_TRIES = 5,
};

int
spool_stat_write(const char *path, const struct spool_stat *st, struct err *e)
{
	uint8_t p[RECORD];
	int fd, rc = 0;

	num_put_le32(p, VERSION);
	num_put_le64(p + 4, st->active);
	num_put_le64(p + 12, st->deferred);
	num_put_le64(p + 20, st->held);
	num_put_le64(p + 28, (uint64_t)st->written_ms);
	num_put_le32(p + 36, st->flush_fails);
	num_put_le64(p + 40, (uint64_t)st->steady_ms);
	num_put_le32(p + 48, crc32c(0, p, 48));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return err_errno(e, "%s", path);
	if (pwrite(fd, p, sizeof(p), 0) != (ssize_t)sizeof(p))
		rc = err_errno(e, "%s", path);
	if (close(fd) != 0 && rc == 0)
		rc = err_errno(e, "%s", path);
	return rc;
}

int
spool_stat_read(const char *path, struct spool_stat *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), i;
	uint8_t p[RECORD];
	ssize_t n = 0;

	if (fd < 0)
		return err_errno(e, "%s", path);
	for (i = 0; i < READ_TRIES; i++) {
		n = pread(fd, p, sizeof(p), 0);
		if (n == (ssize_t)sizeof(p) && num_get_le32(p) == VERSION &&
		    num_get_le32(p + 48) == crc32c(0, p, 48))
			break;
		n = 0;
	}
	close(fd);
	if (n == 0)
		return err_set(e, ERR_TEMP, "%s: not readable now", path);
	out->active = num_get_le64(p + 4);
	out->deferred = num_get_le64(p + 12);
	out->held = num_get_le64(p + 20);
	out->written_ms = (int64_t)num_get_le64(p + 28);
	out->steady_ms = (int64_t)num_get_le64(p + 40);
	out->flush_fails = num_get_le32(p + 36) != 0;
	return 0;
}
