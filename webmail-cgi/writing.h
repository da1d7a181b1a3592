#ifndef WEBMAIL_CGI_WRITING_H
#define WEBMAIL_CGI_WRITING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/mem.h"
#include "base/slice.h"

/*
 * What a written message consists of, as text: subjects, recipients, quotes,
 * flowed lines, transfer encodings.  All pure.  `out` is appended to.
 */
enum {
	WRITING_GROWTH = 4, /* flowed or quoted, no longer than so many times */
};

/*
 * Text as typed (a line a paragraph, LF or CRLF) as format=flowed, delsp=no
 * (RFC 3676 4): lines of at most 72 columns where words allow, quotes as
 * ">>" and a space, space-stuffed.
 */
void writing_flow(struct slice text, struct buf *out);

/* Has it only ASCII and lines of at most 990 bytes: 7bit will do. */
bool writing_is_plain(struct slice text);

/* RFC 2045 6.7, lines end in LF. */
void writing_quoted_printable(struct slice text, struct buf *out);

/*
 * Every line with "> " before it, what is quoted already one deeper (">> ");
 * without the signature below a line "-- ", without empty lines at the end.
 */
void writing_quote(struct slice text, struct buf *out);

/*
 * The subject of an answer ("Re: ") or forward ("Fwd: "): one prefix, however
 * many and whatever languages' (Aw, Sv, Antw, Vs, Odp, RE[2]...) there were.
 */
void writing_subject(const char *prefix, struct slice subject, struct buf *out);

/* The same without any prefix. */
struct slice writing_bare_subject(struct slice subject);

/* One of "Ann <ann@example.org>, bob@example.org"; ';' separates as well. */
struct writing_person {
	const char *name;     /* unquoted, "" if none; in the pool */
	struct slice address; /* not validated */
};

/* False at the end. */
bool writing_next_person(struct slice *rest, struct pool *pool,
    struct writing_person *out) MUST_CHECK;

/* RFC 5322 3.4: `name <address>`, the name quoted or encoded as it needs. */
void writing_put_person(const char *name, const char *address, struct buf *out);

/* Does the text say that something is attached?  `words`: "attach|enclose". */
bool writing_mentions(struct slice text, const char *words);

#endif /* WEBMAIL_CGI_WRITING_H */
