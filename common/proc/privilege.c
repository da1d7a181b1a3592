/*
 * Users, limits, landlock and seccomp; see privilege.h.
 *
 * Landlock is spoken to by raw system calls, with the rights the running
 * kernel knows (ABI 1 has no REFER, ABI 2 no TRUNCATE).  seccomp is a deny
 * list: an allow list breaks with every new libc.  A denied call fails with
 * EPERM instead of killing, so a library that only probes goes on.
 */
#include "proc/privilege.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__
#endif
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER
void __sanitizer_symbolize_pc(
    void *pc, const char *format, char *out, size_t size);
#endif

/* --- users ----------------------------------------------------------------- */

static int
find_user(const char *user, uid_t *uid_out, gid_t *gid_out, struct err *e)
{
	/* single-threaded: before any thread of this process */
	struct passwd *pw = getpwnam(user); /* NOLINT(concurrency-mt-unsafe) */

	if (pw == NULL)
		return err_set(e, ERR_PERM, "no user %s", user);
	if (pw->pw_uid == 0)
		return err_set(e, ERR_PERM, "user %s is root", user);
	*uid_out = pw->pw_uid;
	*gid_out = pw->pw_gid;
	return 0;
}

int
privilege_find_uid(const char *user, uid_t *out, struct err *e)
{
	gid_t gid;

	*out = getuid();
	return user[0] != '\0' ? find_user(user, out, &gid, e) : 0;
}

int
privilege_find_group(const char *name, gid_t *gid_out, struct err *e)
{
	size_t size = 65536; /* with its members */
	char *text = mem_alloc(size);
	struct group group, *found = NULL;
	int rc = getgrnam_r(name, &group, text, size, &found);

	if (found != NULL)
		*gid_out = group.gr_gid;
	free(text);
	if (found != NULL)
		return 0;
	if (rc != 0 && rc != ENOENT)
		return err_set(e, ERR_TEMP, "group %s: cannot tell", name);
	return err_set(
	    e, ERR_PERM, "there is no group %s on this machine", name);
}

int
privilege_drop(const char *user, struct err *e)
{
	uid_t uid, ruid, euid, suid;
	gid_t gid, rgid, egid, sgid;

	if (user[0] == '\0' || getuid() != 0)
		return 0;
	if (find_user(user, &uid, &gid, e) != 0)
		return -1;
	if (initgroups(user, gid) != 0 || setresgid(gid, gid, gid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		return err_errno(e, "becoming %s", user);
	if (getresuid(&ruid, &euid, &suid) != 0 || ruid != uid || euid != uid ||
	    suid != uid || getresgid(&rgid, &egid, &sgid) != 0 || rgid != gid ||
	    egid != gid || sgid != gid || setresuid(0, 0, 0) == 0 ||
	    (gid != 0 && setresgid(0, 0, 0) == 0))
		return err_set(
		    e, ERR_PERM, "root is still in reach of %s", user);
	return 0;
}

int
privilege_assume(const char *user, struct err *e)
{
	uid_t uid;
	gid_t gid;

	if (user[0] == '\0' || getuid() != 0)
		return 0;
	if (find_user(user, &uid, &gid, e) != 0)
		return -1;
	if (initgroups(user, gid) != 0 || setegid(gid) != 0 ||
	    seteuid(uid) != 0)
		return err_errno(e, "acting as %s", user);
	return 0;
}

int
privilege_resume(struct err *e)
{
	if (getuid() != 0 || geteuid() == 0)
		return 0;
	if (seteuid(0) != 0 || setegid(0) != 0)
		return err_errno(e, "acting as root again");
	return 0;
}

/* --- landlock --------------------------------------------------------------- */

enum {
	LANDLOCK_READ =
	    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	LANDLOCK_EXECUTE_ANY = LANDLOCK_ACCESS_FS_EXECUTE,
	/* nobody makes devices */
	LANDLOCK_NEVER =
	    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK,
	LANDLOCK_WRITE_V1 = LANDLOCK_ACCESS_FS_WRITE_FILE |
	    LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
	    LANDLOCK_ACCESS_FS_MAKE_SYM,
	LANDLOCK_REFER = 1 << 13,    /* ABI 2 */
	LANDLOCK_TRUNCATE = 1 << 14, /* ABI 3 */
	LANDLOCK_FILE_ONLY = LANDLOCK_ACCESS_FS_READ_FILE |
	    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |
	    LANDLOCK_TRUNCATE,
};

static uint64_t
known_rights(long abi)
{
	uint64_t rights = LANDLOCK_READ | LANDLOCK_EXECUTE_ANY |
	    LANDLOCK_WRITE_V1 | LANDLOCK_NEVER;

	if (abi >= 2)
		rights |= LANDLOCK_REFER;
	if (abi >= 3)
		rights |= LANDLOCK_TRUNCATE;
	return rights;
}

/* Allow `rights` below each path; a path that is not there is passed over. */
static int
allow_paths(
    int ruleset, const char *const *paths, uint64_t rights, struct err *e)
{
	for (; paths != NULL && *paths != NULL; paths++) {
		struct landlock_path_beneath_attr rule = {
			.allowed_access = rights,
			.parent_fd = open(*paths, O_PATH | O_CLOEXEC),
		};
		struct stat st;
		long rc;

		if (rule.parent_fd < 0 && errno == ENOENT)
			continue;
		if (rule.parent_fd < 0 || fstat(rule.parent_fd, &st) != 0)
			return err_errno(e, "landlock: %s", *paths);
		if (!S_ISDIR(st.st_mode))
			rule.allowed_access &= LANDLOCK_FILE_ONLY;
		rc = syscall(SYS_landlock_add_rule, ruleset,
		    LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
		(void)close(rule.parent_fd);
		if (rc != 0)
			return err_errno(e, "landlock: %s", *paths);
	}
	return 0;
}

static int
apply_landlock(const struct sandbox *s, struct err *e)
{
	struct landlock_ruleset_attr attr = { 0 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t rights;
	int ruleset, rc = -1;

	if (abi < 1)
		return 0; /* the kernel has none */
	rights = known_rights(abi);
	attr.handled_access_fs = rights;
	ruleset =
	    (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return err_errno(e, "landlock");
	if (allow_paths(ruleset, s->read_paths, LANDLOCK_READ, e) == 0 &&
	    allow_paths(ruleset, s->write_paths,
		rights & ~(uint64_t)(LANDLOCK_EXECUTE_ANY | LANDLOCK_NEVER),
		e) == 0) {
		rc = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
		if (rc != 0)
			(void)err_errno(e, "landlock");
	}
	(void)close(ruleset);
	return rc;
}

/* --- seccomp ----------------------------------------------------------------- */

static const int always_denied[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(open_tree),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(process_madvise),
	SCMP_SYS(move_pages),
	SCMP_SYS(quotactl),
	SCMP_SYS(syslog),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(personality),
};

static const int exec_denied[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
};

static const int jail_denied[] = {
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(creat),
	SCMP_SYS(socket),
	SCMP_SYS(socketpair),
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(symlink),
	SCMP_SYS(symlinkat),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(truncate),
	SCMP_SYS(memfd_create),
	SCMP_SYS(pidfd_open),
};

static int
deny_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = seccomp_rule_add(
		    filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	return rc;
}

static int
add_rules(scmp_filter_ctx filter, const struct sandbox *s)
{
	const struct scmp_arg_cmp not_unix = { 0, SCMP_CMP_NE, AF_UNIX, 0 };
	const struct scmp_arg_cmp not_thread = { 0, SCMP_CMP_MASKED_EQ,
		CLONE_THREAD, 0 };
	bool no_exec = s->deny_exec || s->jail;
	int rc = deny_all(filter, always_denied, ARRAY_LEN(always_denied));

	if (rc == 0 && s->jail)
		rc = deny_all(filter, jail_denied, ARRAY_LEN(jail_denied));
	if (rc == 0 && no_exec)
		rc = deny_all(filter, exec_denied, ARRAY_LEN(exec_denied));
	/* clone() only for threads; clone3() would hide its flags */
	if (rc == 0 && no_exec)
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(clone), 1, &not_thread);
	if (rc == 0 && no_exec)
		rc = seccomp_rule_add(
		    filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* a jail has no socket() at all */
	if (rc == 0 && s->deny_outgoing && !s->jail)
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM),
		    SCMP_SYS(socket), 1, &not_unix);
	return rc;
}

static int
apply_seccomp(const struct sandbox *s, struct err *e)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (filter == NULL)
		return err_set(e, ERR_TEMP, "seccomp: no memory");
	rc = add_rules(filter, s);
	/* a kernel without seccomp fails here, with EINVAL */
	if (rc == 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc != 0)
		return err_set(
		    e, ERR_PERM, "seccomp: %s", strerrordesc_np(-rc));
	return 0;
}

/* --- all of it ---------------------------------------------------------------- */

static int
set_limits(const struct sandbox *s, struct err *e)
{
	struct rlimit memory = { s->memory_max, s->memory_max };
	struct rlimit none = { 0, 0 };
	struct rlimit files;

	if (setrlimit(RLIMIT_CORE, &none) != 0 ||
	    getrlimit(RLIMIT_NOFILE, &files) != 0)
		return err_errno(e, "limits");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		return err_errno(e, "limit of open files");
#if !defined(HAS_SANITIZER)
	if (s->memory_max > 0 && setrlimit(RLIMIT_AS, &memory) != 0)
		return err_errno(e, "limit of memory");
#else
	(void)memory; /* their shadow is terabytes */
#endif
	return 0;
}

int
privilege_sandbox(const struct sandbox *s, struct err *e)
{
	if (set_limits(s, e) != 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_errno(e, "no_new_privs");
#if defined(HAS_SANITIZER)
	/* reports and suppressions name functions: read them while we may */
	char name[64];

	__sanitizer_symbolize_pc(
	    (void *)(uintptr_t)set_limits, "%f", name, sizeof(name));
#else
	/* the leak checker needs to trace its own process */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_errno(e, "dumpable");
#endif
	if ((s->jail || s->read_paths != NULL || s->write_paths != NULL) &&
	    apply_landlock(s, e) != 0)
		return -1;
	return apply_seccomp(s, e);
}
