#ifndef MAILDIR_SEARCH_H
#define MAILDIR_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/slice.h"

/*
 * What people type to find mail, as a tree:
 *
 *	word "exact phrase" -not OR ( )
 *	from: to: cc: bcc: subject: body: filename:	words or a phrase
 *	in: label: list:		a folder, a label, a mailing list
 *	has:attachment|files|invite
 *	is:unread|read|starred|answered|forwarded|first
 *	larger: smaller:		500k 5M
 *	after: before: on:		2026-11-12, 2026-11, 2026
 *	older_than: newer_than:		3d 2w 6m 1y
 *	id:				a Message-ID
 *
 * Words that stand beside each other must all be there.  An operator that is
 * not known is a word like others (and `unknown` says so).  Everything is a
 * query: nothing that can be typed is an error.  Pure; all memory is the
 * pool's.
 */
enum search_kind {
	SEARCH_AND, /* of no children: everything */
	SEARCH_OR,
	SEARCH_NOT,  /* of one child */
	SEARCH_TEXT, /* text, in `field` */
	SEARCH_IN,   /* text: a folder's name */
	SEARCH_LABEL,
	SEARCH_FLAG,   /* has all of `set` and none of `clear` */
	SEARCH_FILES,  /* has attachments */
	SEARCH_INVITE, /* has an invitation */
	SEARCH_SIZE,   /* from <= size < to */
	SEARCH_DATE,   /* from <= arrival < to, milliseconds */
	SEARCH_ID,     /* text: Message-ID */
	SEARCH_FIRST,  /* the first of its conversation */
};

enum search_field {
	SEARCH_ANY,
	SEARCH_FROM,
	SEARCH_TO, /* to: and bcc: */
	SEARCH_CC,
	SEARCH_SUBJECT,
	SEARCH_BODY,
	SEARCH_FILENAME,
	SEARCH_LIST,
};

struct search_node {
	enum search_kind kind;
	enum search_field field;
	bool phrase; /* text was quoted: exactly these words */
	struct slice text;
	uint8_t set, clear; /* maildir_flags */
	int64_t from, to;
	struct search_node **children;
	size_t count;
};

/* A piece of the query as typed, for the page to show and take away. */
struct search_token {
	struct slice text; /* "from:ann", "-\"exact phrase\"", "(a OR b)" */
	bool negative;
	bool unknown; /* looks like an operator, is none */
};

struct search_query {
	struct search_node *root;
	struct search_token *tokens;
	size_t token_count;
	bool says_where; /* in: occurs */
	bool anywhere;   /* in:anywhere */
};

enum {
	SEARCH_MAX = 1000,     /* bytes; the rest is not looked at */
	SEARCH_DEPTH_MAX = 16, /* parentheses; deeper ones are passed over */
};

/*
 * `now_ms` and `offset_minutes` (of the reader's time zone, east of UTC) are
 * for dates.
 */
struct search_clock {
	int64_t now_ms;
	int offset_minutes;
};

void search_parse(struct slice text, const struct search_clock *clock,
    struct pool *pool, struct search_query *out);

#endif /* MAILDIR_SEARCH_H */
