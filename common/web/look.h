#ifndef WEB_LOOK_H
#define WEB_LOOK_H

#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

/*
 * The files of a domain's look that administrators edit, below
 * domains/<domain>/ in the state directory: the footer of what is written in
 * webmail, and the style after the built-in one.  Their names are fixed.
 *
 * `domain` is a domain of the directory in its normal form; whether somebody
 * may change it is accountd's to say ("domain look") before.
 */
struct look_file {
	const char *field, *name;
	size_t max; /* bytes that webmail takes */
};

enum {
	LOOK_FILES = 2,
	LOOK_MAX = 64 * 1024
};

extern const struct look_file look_files[LOOK_FILES];

/* The file of that name, or NULL. */
const struct look_file *look_find(const char *name);

/* The folder domains/, for the calls below; -1 and errno. */
int look_open(const char *state_dir);

/* The file's text appended; a missing one is empty. */
int look_read(int fd, const char *domain, const struct look_file *file,
    struct buf *out, struct err *e) MUST_CHECK;

/*
 * Put a text in its place as a whole; an empty one takes the file away, or it
 * would hide the server's.  Not as root: below domains/ nothing is only root's.
 */
int look_write(int fd, const char *domain, const struct look_file *file,
    const char *text, size_t len, struct err *e) MUST_CHECK;

#endif /* WEB_LOOK_H */
