#ifndef PROC_PRIVILEGE_H
#define PROC_PRIVILEGE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"

/*
 * Giving privileges up.  Order in a worker: become the user, no_new_privs,
 * limits, landlock, seccomp; then threads.  All of it is for good.
 */

/*
 * Become `user` with its groups, and make sure there is no way back; "" or a
 * supervisor that is not root: nothing to do.  ERR_PERM: no such user.
 */
int privilege_drop(const char *user, struct err *e) MUST_CHECK;

/*
 * In the supervisor: act as `user` until privilege_resume(), so that files it
 * writes belong to the service.  Only for root with a user; else nothing.
 */
int privilege_assume(const char *user, struct err *e) MUST_CHECK;
int privilege_resume(struct err *e) MUST_CHECK;

/* In the supervisor: the uid of a system user; "": our own.  ERR_PERM: none. */
int privilege_find_uid(const char *user, uid_t *out, struct err *e) MUST_CHECK;

/* A group of this machine; ERR_PERM: there is none of the name.  Any thread. */
int privilege_find_group(
    const char *name, gid_t *gid_out, struct err *e) MUST_CHECK;

struct sandbox {
	/* Paths below which may be read or written; both NULL: no landlock. */
	const char *const *read_paths;
	const char *const *write_paths;
	bool deny_outgoing; /* no sockets but UNIX ones */
	bool deny_exec;
	bool jail; /* struct service says what that is */
	size_t memory_max;
};

/* no_new_privs, not dumpable, limits, landlock and seccomp where the kernel
 * has them. */
int privilege_sandbox(const struct sandbox *s, struct err *e) MUST_CHECK;

#endif /* PROC_PRIVILEGE_H */
