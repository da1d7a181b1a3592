#ifndef MIME_MIME_H
#define MIME_MIME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * The client side of mailstead-parse: everything that has to understand a
 * stranger's message asks it, with the message as an open descriptor; every
 * call has a deadline.
 *
 * `fd` is a regular file opened for reading, nobody else's meanwhile: its
 * offset moves (open it for the call).  It stays the caller's.
 *
 * Errors: ERR_PERM the message or this part cannot be shown ("too complex",
 * "no such part"); ERR_TEMP the parser is dead, busy or too slow.  A parser
 * that died under somebody else's message is asked once more.
 *
 * A struct mime is shared by the threads of a process.  On the wire: wire.h.
 *
 * A part is named by a path: "1" is the message's root, "1.2" its second
 * child; the root of an embedded message/rfc822 "1.3" is "1.3.1".
 */
struct mime;

enum {
	MIME_TEXT_MAX = 5 * 1024 * 1024,   /* of a text or html answer */
	MIME_SEARCH_TEXT_MAX = 256 * 1024, /* of summary's "text" */
	MIME_ASK_MAX = 256, /* summaries at once: a socket holds so many */
};

struct mime *mime_new(const char *state_dir);
void mime_free(struct mime *m);

/*
 * For the mailbox index.  All texts are UTF-8 without control characters:
 *	from, reply_to, to, cc: [{name, address}] (at most 1000 each)
 *	receipt_to: who asks to be told that it was read (RFC 8098 2.1), or "";
 *	    also "" of what came by a list, a report, and of a null sender
 *	receipt_elsewhere: bool, another domain than the message's sender
 *	subject, message_id, in_reply_to, list_id: text ("" when missing; ids
 *	    without <>), references: [id] (the last 100)
 *	date: milliseconds, or null
 *	has_attachments, has_invite: bool; files: names of attachments, one a
 *	    line; snippet: at most 200 bytes
 *	size: bytes
 *	broken: text, only if the guard refused the structure (then all but
 *	    size may be missing content)
 * and, appended to `text` (may be NULL), its text for search, at most MIME_SEARCH_TEXT_MAX.
 */
int mime_summary(struct mime *m, int fd, json_t **out, struct buf *text,
    struct err *e) MUST_CHECK;

/*
 * The same for many: ask, do something else meanwhile, and take the answers.
 * `fds` stay open until then.
 */
struct mime_asked;

struct mime_asked *mime_ask_summaries(
    struct mime *m, const int *fds, size_t count);

/* Message `i`; NULL where mime_summary() gives ERR_PERM. */
typedef void (*mime_summary_taker)(
    void *arg, size_t i, const json_t *summary, struct slice text);

/* The end of `a`.  -1: ERR_TEMP for one, the rest was not taken. */
int mime_take_summaries(struct mime_asked *a, mime_summary_taker take,
    void *arg, struct err *e) MUST_CHECK;

/*
 * {broken?: text, parts: [{path, type, name, size, disposition, cid, encoding,
 * charset, depth, flowed, attachment}]} in the order of the message, containers included;
 * type is lower case "text/plain"; size: decoded bytes, as estimated; name
 * "" or scrubbed (mime_scrub_name()); disposition "inline", "attachment" or
 * "".  At most 1000 parts.  Broken: one part "1" of application/octet-stream.
 */
int mime_structure(
    struct mime *m, int fd, json_t **out, struct err *e) MUST_CHECK;

/*
 * For a reader's page: what mime_summary() has of the header fields, and
 *	parts: as of mime_structure(), each with role: "text" (shown),
 *	    "picture" (within the HTML), "file" (to be listed) or ""
 *	bodies: [{kind: "text", path, text} or
 *	    {kind: "html", path, coloured: bool, likely}] in order;
 *	    the texts as of mime_text(), together at most 1 MB
 *	truncated: bool, a text was longer
 *	remote_pictures: bool, mime_html() would likely block some
 *	report: only of a delivery report (RFC 3464): [{address, action,
 *	    status, reply}], the last three may be missing
 *	invite: only of a calendar with an event (RFC 5545): {method ("request",
 *	    "cancel", "reply", "counter", "publish" or ""), summary, location,
 *	    comment?, organizer?, people: [{name, address, state ("accepted",
 *	    "declined", "tentative" or "")}] (at most 50), more_people?: n,
 *	    start?, end?: {at: seconds of the wall clock in zone, zone (a name,
 *	    "UTC", or "" for the reader's own), day: bool, a whole day},
 *	    repeats? ("daily", "weekly", "monthly", "yearly" or ""),
 *	    changed?, cancelled?: bool, others: n events more}
 *	broken: text, as above; then there is one part, of role "file"
 * `prefer_plain`: of several forms the plain text, and HTML as its text.
 */
int mime_view(struct mime *m, int fd, bool prefer_plain, json_t **out,
    struct err *e) MUST_CHECK;

/* {fields: [[name, value]], ...} of the part's header (NULL: the message's),
 * decoded and unfolded, in order. */
int mime_headers(struct mime *m, int fd, const char *path, json_t **out,
    struct err *e) MUST_CHECK;

/* Where a part's bytes go; either may return -1, which ends the call. */
struct mime_sink {
	/* Once, before data: an entry of mime_structure(). */
	int (*begin)(void *arg, const json_t *part, struct err *e);
	int (*data)(void *arg, const void *data, size_t len, struct err *e);
	void *arg;
};

/*
 * The part without its transfer encoding.  message/rfc822: the embedded
 * message as it stands.  ERR_PERM for multiparts.
 */
int mime_part(struct mime *m, int fd, const char *path,
    const struct mime_sink *sink, struct err *e) MUST_CHECK;

/*
 * A text part as UTF-8, appended to `out` (whose ceiling counts): lines end
 * in LF, control characters are gone.  format=flowed (RFC 3676) is undone, so
 * a paragraph is one line, and quotes begin with "> " per depth ("> > x").
 * *info_out: {truncated: bool, flowed: bool}; may be NULL.
 */
int mime_text(struct mime *m, int fd, const char *path, struct buf *out,
    json_t **info_out, struct err *e) MUST_CHECK;

struct mime_html_options {
	bool remote_pictures;   /* load https: pictures */
	const char *cid_prefix; /* own URL before a percent-encoded content id;
				 * NULL: embedded pictures are left out */
	const char *mail_url;   /* page mailto: links lead to, with "?to="
				 * and more behind; NULL: left out */
};

/*
 * An HTML part made harmless: a fragment for the body of a sandboxed frame,
 * appended to `out`.  Nothing in it runs, styles only itself, or asks the
 * network for anything but allowed pictures: see parse/sanitise.h.  *info_out
 * {blocked_pictures: n, pictures: n, truncated: bool, coloured: bool}; may be
 * NULL.  A plain text part gives ERR_PERM.
 */
int mime_html(struct mime *m, int fd, const char *path,
    const struct mime_html_options *options, struct buf *out, json_t **info_out,
    struct err *e) MUST_CHECK;

/*
 * A file name from a message or an upload made harmless, appended to `out`:
 * the last path component, valid UTF-8 without control and bidi characters,
 * no leading dots, at most 200 bytes with its extension kept; "file" if
 * nothing is left.
 */
void mime_scrub_name(struct slice name, struct buf *out);

#endif /* MIME_MIME_H */
