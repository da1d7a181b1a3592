#ifndef MAIL_VERB_H
#define MAIL_VERB_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/slice.h"

/*
 * Command tables of line protocols (SMTP, POP3): one row a verb, in which
 * states it may come, what is special about it, and who does it.  The loop
 * that reads commands checks state and flags; handlers never do.
 *
 * States and the flags above VERB_SECRET are the program's own bits.
 */
struct verb {
	const char *name; /* upper case */
	unsigned states;  /* bits of the states it is allowed in */
	unsigned flags;
	/* 0: read the next command; -1: the connection is over */
	int (*handler)(void *session, struct slice args);
};

enum {
	VERB_SECRET = 1 /* its line is never logged */
};

/*
 * Cut a command line into verb and arguments: the verb is what stands before
 * the first space; spaces around the arguments do not belong to them.
 */
void verb_split(
    struct slice line, struct slice *name_out, struct slice *args_out);

/* The row of a verb, compared without case; NULL: no such verb. */
const struct verb *verb_find(
    const struct verb *table, size_t count, struct slice name);

#endif /* MAIL_VERB_H */
