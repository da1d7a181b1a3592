#ifndef MAILDIR_LEFT_H
#define MAILDIR_LEFT_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * What deleted users leave behind: their mailbox and what webmail kept of
 * them.  Put aside it lies in the domain's folder below mail/ and users/, in
 * `.left/LOCAL~TIME`, where no account can reach it, until it is purged.
 *
 * Each thing is moved by one rename within its own folder, so a crash leaves
 * it where it was or aside.  Nothing here reads mail, or needs to: writing
 * into the two kinds of folder is enough.  Whether there is an account of the
 * name is the caller's to know.
 */
struct left_roots {
	int mail_fd;
	int users_fd; /* -1: webmail has kept nothing of anybody */
};

/* Open both; left_close() in every case. */
int left_open(const char *mail_root, const char *users, struct left_roots *out,
    struct err *e) MUST_CHECK;
void left_close(struct left_roots *roots);

/* Nothing left behind is fine. */
int left_put_aside(const struct left_roots *roots, const char *address,
    struct err *e) MUST_CHECK;

/*
 * Bring back what was put aside last.  ERR_PERM: nothing was, or there is
 * something of the name, which is never replaced.
 */
int left_put_back(const struct left_roots *roots, const char *address,
    struct err *e) MUST_CHECK;

/*
 * Called for each mailbox put aside, as "LOCAL~TIME" in `domain`'s folder;
 * `time_ms`: when.  The local part ends at the last '~'.
 */
typedef void left_found(
    void *arg, const char *domain, const char *name, int64_t time_ms);
int left_list(const struct left_roots *roots, left_found *found, void *arg,
    struct err *e) MUST_CHECK;

/*
 * Remove what was put aside at `before_ms` or earlier, of one address (or
 * NULL, all); `gone` is told each, with "mail" or "users" and its path below.
 * One that does not go does not keep the others; -1 with its error then.
 */
typedef void left_gone(void *arg, const char *root, const char *path);
int left_purge(const struct left_roots *roots, const char *address,
    int64_t before_ms, left_gone *gone, void *arg, struct err *e) MUST_CHECK;

#endif /* MAILDIR_LEFT_H */
