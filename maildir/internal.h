#ifndef MAILDIR_INTERNAL_H
#define MAILDIR_INTERNAL_H

#include <sys/stat.h>

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

#include "maildir/maildir.h"

/* Shared by the files of this library only. */

enum {
	MAILDIR_DIR_MODE = 02770,
	MAILDIR_FILE_MODE = 0660
};

/* A new file tmp/NAME with what another file holds. */
int maildir_copy_tmp(const struct maildir *m, const char *name, int from_fd,
    const char *from_name, struct err *e) MUST_CHECK;

/*
 * Walk through the regular files of a directory whose names may be messages.
 * The callback returns false to stop.  -1: unreadable.
 */
typedef bool (*maildir_visit)(void *arg, const char *name, size_t len);
int maildir_walk(
    int dirfd, maildir_visit visit, void *arg, struct err *e) MUST_CHECK;

/*
 * The same by two threads at a time, each with an argument of its own, where
 * the directory is big and its file system lets a reader begin in the middle;
 * else all is visited with `first`.
 */
int maildir_walk_halves(int dirfd, maildir_visit visit, void *first,
    void *second, struct err *e) MUST_CHECK;

/* May a file of this name be a message? */
bool maildir_is_message_name(const char *name);

/*
 * Walk through everything but "." and "..", whatever it is; `type` is
 * readdir's, perhaps DT_UNKNOWN.
 */
typedef bool (*maildir_visit_any)(
    void *arg, const char *name, unsigned char type);
int maildir_walk_any(
    int dirfd, maildir_visit_any visit, void *arg, struct err *e) MUST_CHECK;

/*
 * Where the message is now, by base: *dirfd_out is new_fd or cur_fd.  The name
 * as given is tried first.  ERR_PERM: gone.
 */
int maildir_find(const struct maildir *m, const char *name, int *dirfd_out,
    char out[MAILDIR_NAME_SIZE], struct err *e) MUST_CHECK;

#endif /* MAILDIR_INTERNAL_H */
