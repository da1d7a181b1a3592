#ifndef QUEUE_OUTCOME_H
#define QUEUE_OUTCOME_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * What became of one recipient in one attempt.  Decided once, where it is
 * known; everything later (log, marks, retry, DSN, control) only reads it.
 */
enum outcome_kind {
	OUTCOME_NONE, /* not tried yet */
	OUTCOME_SENT, /* delivered, or a remote server took it over */
	OUTCOME_TEMP, /* try again later */
	OUTCOME_PERM, /* never works: tell the sender */
};

struct outcome {
	enum outcome_kind kind;
	char status[12]; /* RFC 3463: "5.1.1" */
	char
	    remote[320]; /* "mx.example.org[192.0.2.1]:25", "" = decided here */
	char text[512];  /* printable ASCII: the remote's reply or our words */
	bool is_reply;   /* text is what the remote server said */
	bool host_failed; /* another host of the destination may do better */
	bool retry_now; /* 452 after others were accepted: once more at once */
	bool maybe_twice; /* lost after the final dot: may have been taken */
	bool dsn_passed;  /* the remote server reports success itself */
};

/* Fill it in; the text is cut and cleaned, remote stays as it is. */
void outcome_set(struct outcome *o, enum outcome_kind kind, const char *status,
    const char *fmt, ...) PRINTF_LIKE(4, 5);

/* ERR_PERM makes OUTCOME_PERM, all other kinds OUTCOME_TEMP; X.0.0 status. */
void outcome_from_err(struct outcome *o, const struct err *e);

#endif /* QUEUE_OUTCOME_H */
