#ifndef QUEUE_RUNNER_H
#define QUEUE_RUNNER_H

#include <sys/types.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "directory/accountd.h"
#include "directory/directory.h"
#include "directory/settings.h"
#include "proc/service.h"

#include "queue/spool.h"
#include "queue/spool_runner.h"

/*
 * What the parts of the runner share.  Made by main.c before the first thread,
 * const but for the counters; what is in it has its own locks.
 *
 * The way of a message: a claiming thread takes it from the spool and makes it
 * a job (job.h), resolves its recipients (resolve.h), delivers the local ones
 * (deliver_local.h) and hands the rest to the lanes (lanes.h), whose threads
 * send them (deliver_remote.h); whoever ends the last of them finishes the
 * job: reports (dsn.h), then settles or defers it.
 */
struct age;
struct arrived;
struct lanes;
struct quota;
struct seat;
struct selfcheck;
struct sign;
struct staging;
struct tls_context;
struct tools;

struct runner {
	struct worker *worker;
	const char *state_dir;
	struct spool *spool;
	struct spool_writer *writer; /* for the runner's own reports */
	struct directory *directory;
	struct accountd *accountd;
	struct lanes *lanes;
	struct seat *seats; /* deliver_remote.c */
	struct quota *quota;
	struct sign *sign;
	struct selfcheck *selfcheck;
	struct tools *tools;
	struct tls_context *tls_any, *tls_verified;
	int mail_root_fd;
	uid_t web_uid, admin_uid; /* webmail's, the administration's */
	struct mailboxes *mailboxes;
	struct staging *staging;
	struct arrived *arrived;
	struct age *age;
	int64_t started_ms;      /* wall clock */
	int suspended;           /* queue.suspended as last seen; tick's */
	atomic_bool flush_fails; /* staging.c: what is delivered may be lost */
	atomic_size_t jobs;      /* claimed and not yet ended */
	atomic_size_t big_local; /* big local deliveries under way: 0 or 1 */
	atomic_uint_least64_t delivered, sent, deferred, bounced;
};

#endif /* QUEUE_RUNNER_H */
