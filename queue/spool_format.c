/*
 * The bytes of a spool: names, headers, records and marks, and the few ways
 * its files are opened, locked and read.
 *
 * Everything that is read back is checked against a checksum that starts with
 * the spool's uuid and, for records, the segment's generation and the
 * record's own offset: what an earlier use of the file left, what belongs
 * elsewhere and what is torn does not fit (I5).  Nothing here decides what
 * such a finding means.
 *
 * Pure functions and single system calls; any thread.
 */
#include "queue/spool_format.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/num.h"

enum {
	RECORD_MAGIC = 0x31524d53, /* "SMR1" */
	PLACE_MAGIC = 0x31504d53,
	CTL_MAGIC = 0x31434d53,
	SEGMENT_VERSION = 1,
	SPOOL_ID_MAX = 128,
};

static const char segment_magic[8] = "MSSEG\r\n";
static const char settled_magic[8] = "MSSET\r\n";

/* --- directories and files ----------------------------------------------- */

static int
open_dir(int at, const char *name)
{
	return openat(
	    at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static bool
uuid_parse(struct slice text, uint8_t out[SPOOL_UUID_LEN])
{
	const struct slice digits = SLICE_LIT("0123456789abcdef");

	if (text.len != SPOOL_UUID_SIZE - 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		ptrdiff_t digit = slice_chr(digits, text.data[i]);

		if (digit < 0)
			return false;
		if (i % 2 == 0)
			out[i / 2] = 0;
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | digit);
	}
	return true;
}

/* spool.id: "mailstead-spool 1 <uuid>\n" */
static int
read_spool_id(struct spool_dirs *d, struct err *e)
{
	const char prefix[] = "mailstead-spool ";
	char text[SPOOL_ID_MAX];
	struct slice rest, version;
	ssize_t n;
	int fd = openat(d->root, "spool.id", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_errno(e, "open spool.id");
	n = read(fd, text, sizeof(text));
	(void)close(fd);
	if (n < 0)
		return err_errno(e, "read spool.id");
	rest = slice_trim(slice_of(text, (size_t)n));
	if (!slice_starts(rest, prefix))
		return err_set(e, ERR_PERM, "spool.id is damaged");
	rest = slice_cut(slice_skip(rest, strlen(prefix)), ' ', &version);
	if (!slice_eq_str(version, "1"))
		return err_set(e, ERR_PERM, "the spool's format is newer");
	if (rest.data == NULL || !uuid_parse(rest, d->uuid))
		return err_set(e, ERR_PERM, "spool.id is damaged");
	hex_encode(d->uuid, SPOOL_UUID_LEN, d->uuid_text);
	return 0;
}

int
spool_dirs_open(const char *spool_dir, struct spool_dirs *out, struct err *e)
{
	struct spool_dirs d = { -1, -1, -1, -1, -1, -1, { 0 }, "" };

	const struct {
		const char *name;
		int *fd;
	} subs[] = {
		{ "journal", &d.journal },
		{ "large", &d.large },
		{ "deferred", &d.deferred },
		{ "hold", &d.hold },
		{ "corrupt", &d.corrupt },
	};

	d.root = open_dir(AT_FDCWD, spool_dir);
	if (d.root < 0)
		return err_errno(e, "open spool %s", spool_dir);
	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		*subs[i].fd = open_dir(d.root, subs[i].name);
		if (*subs[i].fd < 0) {
			err_errno(e, "open %s/%s", spool_dir, subs[i].name);
			spool_dirs_close(&d);
			return -1;
		}
	}
	if (read_spool_id(&d, e) < 0) {
		spool_dirs_close(&d);
		return -1;
	}
	*out = d;
	return 0;
}

void
spool_dirs_close(struct spool_dirs *d)
{
	int *const fds[] = { &d->root, &d->journal, &d->large, &d->deferred,
		&d->hold, &d->corrupt };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (*fds[i] >= 0)
			(void)close(*fds[i]);
		*fds[i] = -1;
	}
}

int
spool_file_new(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name,
	    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);

	if (fd >= 0 && fchmod(fd, 0660) < 0) {
		int error = errno;

		(void)close(fd);
		(void)unlinkat(dir_fd, name, 0);
		errno = error;
		return -1;
	}
	return fd;
}

int
spool_file_lock(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &l);
}

int
spool_file_is_locked(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &l) < 0)
		return -1;
	return l.l_type != F_UNLCK;
}

int
spool_read_at(int fd, void *data, size_t len, uint64_t offset)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int
spool_write_at(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int
spool_notify_address(
    const char *path, struct sockaddr_un *out, int *dir_fd, struct err *e)
{
	const char *base = strrchr(path, '/');
	char dir[4096];
	int n;

	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	*dir_fd = -1;
	if (slice_copy(slice_str(path), out->sun_path, sizeof(out->sun_path)))
		return 0;
	if (base == NULL ||
	    !slice_copy(
		slice_of(path, (size_t)(base - path)), dir, sizeof(dir)))
		return err_set(e, ERR_PERM, "socket path too long: %s", path);
	*dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir_fd < 0)
		return err_errno(e, "open %s", dir);
	n = snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d%s",
	    *dir_fd, base);
	if (n < 0 || (size_t)n >= sizeof(out->sun_path)) {
		(void)close(*dir_fd);
		*dir_fd = -1;
		return err_set(e, ERR_PERM, "socket path too long: %s", path);
	}
	return 0;
}

/* --- segments ------------------------------------------------------------- */

static uint32_t
crc_u64(uint32_t crc, uint64_t v)
{
	uint8_t raw[8];

	num_put_le64(raw, v);
	return crc32c(crc, raw, sizeof(raw));
}

/* magic 8, version 4, crc 4, uuid 16, generation 8, size 8 */
void
segment_header_put(uint8_t out[SEGMENT_HEADER], const struct spool_dirs *d,
    uint64_t generation, uint64_t size)
{
	memset(out, 0, SEGMENT_HEADER);
	memcpy(out, segment_magic, 8);
	num_put_le32(out + 8, SEGMENT_VERSION);
	memcpy(out + 16, d->uuid, SPOOL_UUID_LEN);
	num_put_le64(out + 32, generation);
	num_put_le64(out + 40, size);
	num_put_le32(out + 12, crc32c(0, out + 16, 32));
}

bool
segment_header_get(const uint8_t *data, size_t len, const struct spool_dirs *d,
    uint64_t *generation_out, uint64_t *size_out)
{
	uint64_t generation, size;

	if (len < 48 || memcmp(data, segment_magic, 8) != 0 ||
	    num_get_le32(data + 8) != SEGMENT_VERSION ||
	    num_get_le32(data + 12) != crc32c(0, data + 16, 32) ||
	    memcmp(data + 16, d->uuid, SPOOL_UUID_LEN) != 0)
		return false;
	generation = num_get_le64(data + 32);
	size = num_get_le64(data + 40);
	if (generation == 0 || size <= SEGMENT_HEADER ||
	    size > SEGMENT_SIZE_MAX)
		return false;
	*generation_out = generation;
	*size_out = size;
	return true;
}

uint64_t
segment_generation_new(void)
{
	uint16_t low;

	random_bytes(&low, sizeof(low));
	return (uint64_t)clock_wall_ms() << 16 | low;
}

uint32_t
segment_seed(const struct spool_dirs *d, uint64_t generation)
{
	return crc_u64(crc32c(0, d->uuid, SPOOL_UUID_LEN), generation);
}

bool
writer_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > WRITER_NAME_MAX || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!ascii_is_alnum(name[i]) && strchr("-_.", name[i]) == NULL)
			return false;
	}
	return true;
}

void
segment_name(char out[SEGMENT_NAME_SIZE], const char *writer, uint32_t n,
    const char *ext)
{
	(void)snprintf(out, SEGMENT_NAME_SIZE, "%s-%u.%s", writer, n, ext);
}

bool
segment_name_parse(const char *name, const char *ext,
    char writer_out[WRITER_NAME_MAX + 1], uint32_t *n_out)
{
	struct slice s = slice_str(name);
	char suffix[16];
	ptrdiff_t dash;
	uint64_t n;

	(void)snprintf(suffix, sizeof(suffix), ".%s", ext);
	if (!slice_ends(s, suffix))
		return false;
	s.len -= strlen(suffix);
	dash = slice_rchr(s, '-');
	if (dash < 0 ||
	    !num_parse(slice_skip(s, (size_t)dash + 1), UINT32_MAX, &n) ||
	    !slice_copy(slice_of(s.data, (size_t)dash), writer_out,
		WRITER_NAME_MAX + 1) ||
	    !writer_name_is_valid(writer_out))
		return false;
	*n_out = (uint32_t)n;
	return true;
}

/* --- records -------------------------------------------------------------- */

uint64_t
record_inline_body(const struct spool_record *r)
{
	return r->flags & RECORD_LARGE_BODY ? 0 : r->body_size;
}

uint64_t
record_inline_size(const struct spool_record *r)
{
	uint32_t env = r->flags & RECORD_LARGE_ENVELOPE ? 0 : r->envelope_size;

	return record_inline_body(r) + env;
}

uint64_t
record_total(const struct spool_record *r)
{
	uint64_t len = RECORD_HEADER + record_inline_size(r);

	return (len + SEGMENT_ALIGN - 1) / SEGMENT_ALIGN * SEGMENT_ALIGN;
}

/*
 * magic 4, crc 4, generation 8, offset 8, flushed 8, body size 8,
 * envelope size 4, payload crc 4, envelope crc 4, flags 4, zero 8, id 26,
 * zero 6
 */
void
record_header_put(
    uint8_t out[RECORD_HEADER], const struct spool_record *r, uint32_t seed)
{
	memset(out, 0, RECORD_HEADER);
	num_put_le32(out, RECORD_MAGIC);
	num_put_le64(out + 8, r->generation);
	num_put_le64(out + 16, r->offset);
	num_put_le64(out + 24, r->flushed);
	num_put_le64(out + 32, r->body_size);
	num_put_le32(out + 40, r->envelope_size);
	num_put_le32(out + 44, r->payload_crc);
	num_put_le32(out + 48, r->envelope_crc);
	num_put_le32(out + 52, r->flags);
	memcpy(out + 64, r->id, ID_LEN);
	num_put_le32(out + 4, crc32c(seed, out + 8, RECORD_HEADER - 8));
}

bool
record_header_get(const uint8_t data[RECORD_HEADER], uint32_t seed,
    uint64_t generation, uint64_t offset, struct spool_record *out)
{
	struct spool_record r;

	if (num_get_le32(data) != RECORD_MAGIC ||
	    num_get_le64(data + 8) != generation ||
	    num_get_le64(data + 16) != offset ||
	    num_get_le32(data + 4) != crc32c(seed, data + 8, RECORD_HEADER - 8))
		return false;
	r.generation = generation;
	r.offset = offset;
	r.flushed = num_get_le64(data + 24);
	r.body_size = num_get_le64(data + 32);
	r.envelope_size = num_get_le32(data + 40);
	r.payload_crc = num_get_le32(data + 44);
	r.envelope_crc = num_get_le32(data + 48);
	r.flags = num_get_le32(data + 52);
	memcpy(r.id, data + 64, ID_LEN);
	r.id[ID_LEN] = '\0';
	if (!id_is_valid(slice_of(r.id, ID_LEN)) || r.flushed > offset ||
	    (!(r.flags & RECORD_LARGE_BODY) &&
		r.body_size > SPOOL_INLINE_MAX) ||
	    (!(r.flags & RECORD_LARGE_ENVELOPE) &&
		r.envelope_size > SPOOL_INLINE_ENVELOPE_MAX))
		return false;
	*out = r;
	return true;
}

enum record_step
record_next(struct slice piece, uint64_t base, uint32_t seed,
    uint64_t generation, uint64_t *at, struct spool_record *out)
{
	uint64_t start = *at - base;
	const uint8_t *p;
	size_t len;

	if (start > piece.len || piece.len - start < RECORD_HEADER)
		return RECORD_MORE;
	p = (const uint8_t *)piece.data + start;
	if (!record_header_get(p, seed, generation, *at, out))
		return RECORD_END;
	if (piece.len - start < record_total(out))
		return RECORD_MORE;
	*at += record_total(out);
	len = (size_t)record_inline_size(out);
	if (crc32c(seed, p + RECORD_HEADER, len) != out->payload_crc)
		return RECORD_BAD;
	return RECORD_OK;
}

/* --- the writer's state ---------------------------------------------------- */

int
spool_ctl_write(int fd, const struct spool_ctl *c)
{
	uint8_t raw[CTL_SIZE] = { 0 };

	num_put_le32(raw, CTL_MAGIC);
	num_put_le64(raw + 8, c->current);
	num_put_le64(raw + 16, c->committed);
	num_put_le64(raw + 24, c->next);
	num_put_le32(raw + 32, c->current_n);
	num_put_le32(raw + 4, crc32c(0, raw + 8, CTL_SIZE - 8));
	return spool_write_at(fd, raw, sizeof(raw), 0);
}

int
spool_ctl_read(int fd, struct spool_ctl *out)
{
	uint8_t raw[CTL_SIZE];

	/* A read beside a write may be torn; the next one is not. */
	for (int tries = 0; tries < 5; tries++) {
		if (spool_read_at(fd, raw, sizeof(raw), 0) < 0)
			return -1;
		if (num_get_le32(raw) != CTL_MAGIC ||
		    num_get_le32(raw + 4) != crc32c(0, raw + 8, CTL_SIZE - 8))
			continue;
		out->current = num_get_le64(raw + 8);
		out->committed = num_get_le64(raw + 16);
		out->next = num_get_le64(raw + 24);
		out->current_n = num_get_le32(raw + 32);
		return 0;
	}
	errno = EAGAIN;
	return -1;
}

/* --- marks ------------------------------------------------------------------ */

static uint32_t
place_crc(const uint8_t *in, const struct spool_dirs *d)
{
	return crc32c(
	    crc32c(0, d->uuid, SPOOL_UUID_LEN), in + 8, PLACE_SIZE - 8);
}

void
spool_place_put(uint8_t out[PLACE_SIZE], const struct spool_dirs *d,
    const struct spool_place *p)
{
	memset(out, 0, PLACE_SIZE);
	num_put_le32(out, PLACE_MAGIC);
	num_put_le64(out + 8, p->generation);
	num_put_le64(out + 16, p->offset);
	num_put_le32(out + 4, place_crc(out, d));
}

bool
spool_place_get(const uint8_t in[PLACE_SIZE], const struct spool_dirs *d,
    struct spool_place *out)
{
	if (num_get_le32(in) != PLACE_MAGIC ||
	    num_get_le32(in + 4) != place_crc(in, d))
		return false;
	out->generation = num_get_le64(in + 8);
	out->offset = num_get_le64(in + 16);
	return true;
}

void
settled_header_put(uint8_t out[SETTLED_HEADER], const struct spool_dirs *d)
{
	memset(out, 0, SETTLED_HEADER);
	memcpy(out, settled_magic, 8);
	num_put_le32(out + 8, SEGMENT_VERSION);
	memcpy(out + 16, d->uuid, SPOOL_UUID_LEN);
	num_put_le32(out + 12, crc32c(0, out + 16, SPOOL_UUID_LEN));
}

bool
settled_header_get(const uint8_t in[SETTLED_HEADER], const struct spool_dirs *d)
{
	uint8_t want[SETTLED_HEADER];

	settled_header_put(want, d);
	return memcmp(in, want, SETTLED_HEADER) == 0;
}
