/*
 * See zip.h.  PKWARE's APPNOTE 4.3: local header, data, data descriptor, and
 * at the end the directory; 32-bit fields only.
 */
#include "webmail-cgi/zip.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/num.h"

enum {
	BLOCK_MAX = 65535,
	DIRECTORY_MAX = 20 * 1024 * 1024, /* it grows with the files */
	FLAGS = 0x0808, /* sizes follow the data; names are UTF-8 */
	DEFLATE = 8,
	VERSION = 20,
	ARCHIVE_MAX_BYTES = 0x7fffffff,
};

/* --- Numbers ------------------------------------------------------------------ */

static void
add16(struct buf *b, unsigned value)
{
	buf_addc(b, (char)(value & 0xff));
	buf_addc(b, (char)(value >> 8 & 0xff));
}

static void
add32(struct buf *b, uint32_t value)
{
	add16(b, value & 0xffff);
	add16(b, value >> 16);
}

/* CRC-32 of ISO 3309, four bits a step. */
static uint32_t
crc32_add(uint32_t crc, const unsigned char *data, size_t len)
{
	static const uint32_t table[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8,
		0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0,
		0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc = table[(crc ^ data[i]) & 15] ^ crc >> 4;
		crc = table[(crc ^ data[i] >> 4) & 15] ^ crc >> 4;
	}
	return ~crc;
}

static uint32_t
dos_time(int64_t time_ms)
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm t;

	if (gmtime_r(&seconds, &t) == NULL || t.tm_year < 80 || t.tm_year > 207)
		return 0x00210000; /* the first day there is: 1980-01-01 */
	return (uint32_t)((t.tm_year - 80) << 25 | (t.tm_mon + 1) << 21 |
	    t.tm_mday << 16 | t.tm_hour << 11 | t.tm_min << 5 | t.tm_sec / 2);
}

/* --- Writing ------------------------------------------------------------------- */

static int
put(struct zip *z, const void *data, size_t len, struct err *e)
{
	if (z->written + len > ARCHIVE_MAX_BYTES)
		return err_set(e, ERR_PERM, "the archive is too large");
	z->written += len;
	return z->write(z->arg, data, len, e);
}

static int
put_buf(struct zip *z, struct buf *b, struct err *e)
{
	int rc = put(z, b->data, b->len, e);

	buf_release(b);
	return rc;
}

void
zip_init(struct zip *z,
    int (*write)(void *arg, const void *data, size_t len, struct err *e),
    void *arg, int64_t time_ms)
{
	memset(z, 0, sizeof(*z));
	z->write = write;
	z->arg = arg;
	z->dos_time = dos_time(time_ms);
	buf_init(&z->directory, DIRECTORY_MAX);
}

void
zip_release(struct zip *z)
{
	buf_release(&z->directory);
}

/* What local header and directory entry both have. */
static void
add_common(const struct zip *z, struct buf *b)
{
	add16(b, VERSION);
	add16(b, FLAGS);
	add16(b, DEFLATE);
	add32(b, z->dos_time);
	add32(b, z->crc);
	add32(b, z->packed);
	add32(b, z->size);
	add16(b, (unsigned)strlen(z->name));
	add16(b, 0); /* extra field */
}

static void
add_entry(struct zip *z)
{
	struct buf *b = &z->directory;

	add32(b, 0x02014b50);
	add16(b, VERSION);
	add_common(z, b);
	add16(b, 0); /* comment */
	add16(b, 0); /* disk */
	add16(b, 0); /* attributes */
	add32(b, 0);
	add32(b, z->at);
	buf_addstr(b, z->name);
}

/* The last block, the sizes, and the entry in the directory. */
static int
end_file(struct zip *z, struct err *e)
{
	static const unsigned char last[] = { 1, 0, 0, 0xff, 0xff };
	struct buf sizes;

	if (z->files == 0)
		return 0;
	if (put(z, last, sizeof(last), e) != 0)
		return -1;
	z->packed += sizeof(last);
	add_entry(z);
	buf_init(&sizes, 64);
	add32(&sizes, 0x08074b50);
	add32(&sizes, z->crc);
	add32(&sizes, z->packed);
	add32(&sizes, z->size);
	return put_buf(z, &sizes, e);
}

int
zip_file(struct zip *z, const char *name, struct err *e)
{
	struct buf header;

	if (z->files >= ZIP_FILES_MAX)
		return err_set(e, ERR_PERM, "too many files");
	if (end_file(z, e) != 0)
		return -1;
	z->files++;
	z->crc = z->size = z->packed = 0;
	z->at = (uint32_t)z->written;
	(void)snprintf(z->name, sizeof(z->name), "%s", name);
	buf_init(&header, sizeof(z->name) + 64);
	add32(&header, 0x04034b50);
	add_common(z, &header);
	buf_addstr(&header, z->name);
	return put_buf(z, &header, e);
}

int
zip_data(struct zip *z, const void *data, size_t len, struct err *e)
{
	const unsigned char *p = data;

	z->crc = crc32_add(z->crc, p, len);
	while (len > 0) {
		size_t n = num_min(len, BLOCK_MAX);
		const unsigned char head[] = { 0, n & 0xff, (n >> 8) & 0xff,
			~n & 0xff, (~n >> 8) & 0xff };

		if (put(z, head, sizeof(head), e) != 0 || put(z, p, n, e) != 0)
			return -1;
		z->size += (uint32_t)n;
		z->packed += (uint32_t)(n + sizeof(head));
		p += n;
		len -= n;
	}
	return 0;
}

int
zip_end(struct zip *z, struct err *e)
{
	struct buf end;
	uint32_t at;

	if (end_file(z, e) != 0)
		return -1;
	at = (uint32_t)z->written;
	if (put(z, z->directory.data, z->directory.len, e) != 0)
		return -1;
	buf_init(&end, 64);
	add32(&end, 0x06054b50);
	add16(&end, 0); /* this disk */
	add16(&end, 0);
	add16(&end, z->files);
	add16(&end, z->files);
	add32(&end, (uint32_t)z->directory.len);
	add32(&end, at);
	add16(&end, 0); /* comment */
	return put_buf(z, &end, e);
}
