#ifndef WEBMAIL_CGI_ZIP_H
#define WEBMAIL_CGI_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

/*
 * Writes a zip archive as it goes, in constant memory, sizes unknown before.
 * Contents are stored, not squeezed (deflate's stored blocks, RFC 1951 3.2.4:
 * unlike the method "stored" they have an end mark, so readers that cannot
 * seek manage too).  No archive over 2 GB, 65,000 files.
 *
 *	struct zip z;
 *	zip_init(&z, write, arg, time_ms);
 *	zip_file(&z, "a.pdf", &e); zip_data(&z, data, len, &e); ...
 *	zip_end(&z, &e);
 *	zip_release(&z);
 */
enum {
	ZIP_FILES_MAX = 65000, /* a 16-bit number */
	ZIP_NAME_SIZE = 256,
};

struct zip {
	int (*write)(void *arg, const void *data, size_t len, struct err *e);
	void *arg;
	uint32_t dos_time; /* date in the upper half */
	uint64_t written;
	uint32_t crc, size, packed, at; /* of the file that is open */
	char name[ZIP_NAME_SIZE];
	unsigned files;
	struct buf directory; /* written at the end */
};

/* `time_ms`: of all files, milliseconds of the epoch, shown as UTC. */
void zip_init(struct zip *z,
    int (*write)(void *arg, const void *data, size_t len, struct err *e),
    void *arg, int64_t time_ms);
void zip_release(struct zip *z);

/* End the file before, begin one; `name` is UTF-8, cut to ZIP_NAME_SIZE. */
int zip_file(struct zip *z, const char *name, struct err *e) MUST_CHECK;
int zip_data(
    struct zip *z, const void *data, size_t len, struct err *e) MUST_CHECK;
int zip_end(struct zip *z, struct err *e) MUST_CHECK;

#endif /* WEBMAIL_CGI_ZIP_H */
