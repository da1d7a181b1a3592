#ifndef PARSE_MESSAGE_H
#define PARSE_MESSAGE_H

#include <gmime/gmime.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

/*
 * A message taken apart by GMime, after the guard; its content stays in the
 * file.  A message the guard refuses, or GMime cannot read, is `broken`:
 * no tree, one opaque part "1".
 */
struct message {
	int fd;
	int64_t size;
	const char *broken; /* why, or NULL */
	GMimeStream *stream;
	GMimeMessage *root; /* NULL if broken */
};

enum {
	MESSAGE_PARTS_MAX = 1000,
	MESSAGE_PATH_MAX = 512,
};

/* Once, before the jail. */
void message_prepare(void);

void message_open(struct message *m, int fd);
void message_release(struct message *m);

/*
 * Each part in order, containers included; `visit` returns false to stop.
 * At most MESSAGE_PARTS_MAX.
 */
struct message_part {
	GMimeObject *object;
	const char *path;
	unsigned depth;
};

void message_walk(const struct message *m,
    bool (*visit)(void *arg, const struct message_part *part), void *arg);

/* NULL: no such part. */
GMimeObject *message_find(const struct message *m, const char *path);

/* An entry of mime_structure(). */
json_t *message_describe(const struct message_part *part);
json_t *message_describe_opaque(const struct message *m);

bool message_is_attachment(GMimeObject *part);

/* File name as the part says, scrubbed; empty if it says none. */
void message_part_name(GMimeObject *part, struct buf *out);

/*
 * The bytes of a leaf or embedded message without transfer encoding, in
 * pieces; `take` returns false to stop.  False: a container.
 */
bool message_decode(GMimeObject *part,
    bool (*take)(void *arg, const char *data, size_t len), void *arg);

/* A text part's text as UTF-8, line ends LF. */
bool message_text(GMimeObject *part, struct buf *out);

/* The same with format=flowed (RFC 3676) undone: a paragraph is a line. */
bool message_unfolded_text(GMimeObject *part, struct buf *out);

/* Has its Content-Type this parameter with this value? */
bool message_parameter_is(
    GMimeObject *part, const char *name, const char *value);

/* Raw header value as UTF-8 on one line without control characters. */
void message_clean_header(const char *raw, struct buf *out);

#endif /* PARSE_MESSAGE_H */
