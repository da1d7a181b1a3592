#ifndef TESTS_LIB_SPOOLTEST_H
#define TESTS_LIB_SPOOLTEST_H

/*
 * A spool in a fresh directory, and the small steps the spool's tests are made
 * of; a step that fails fails the test.  For cmocka programs, included once.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#include "queue/spool.h"
#include "queue/spool_format.h"
#include "queue/spool_runner.h"

static char top[64], dir[96], notify[128];

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static inline void
forget_marks(void)
{
	struct spool_dirs d;
	struct err e;
	char path[128];

	if (spool_dirs_open(dir, &d, &e) < 0)
		return;
	(void)snprintf(
	    path, sizeof(path), "/dev/shm/mailstead-%s", d.uuid_text);
	(void)unlink(path);
	spool_dirs_close(&d);
}

static inline int
setup(void **state)
{
	struct err e;

	(void)state;
	(void)strcpy(top, "/tmp/spool-test-XXXXXX");
	if (mkdtemp(top) == NULL)
		return -1;
	(void)snprintf(dir, sizeof(dir), "%s/spool", top);
	(void)snprintf(notify, sizeof(notify), "%s/queue.notify", top);
	return spool_create(dir, &e);
}

static inline int
teardown(void **state)
{
	(void)state;
	forget_marks();
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- small steps ---------------------------------------------------------------- */

static inline struct spool_writer *
writer(const char *name)
{
	struct spool_writer *w;
	struct err e = { 0 };

	if (spool_writer_open(dir, name, notify, 0, &w, &e) < 0)
		fail_msg("%s", e.text);
	return w;
}

static inline struct spool *
runner(void)
{
	struct spool *s;
	struct err e = { 0 };

	if (spool_open(dir, notify, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static inline int
try_commit(struct spool_writer *w, const char *id, const char *body, size_t len,
    int64_t not_before, char id_out[ID_SIZE], struct err *e)
{
	struct envelope v = { .sender = "a@example.org",
		.auth_user = "joe@example.org",
		.accepted_ms = clock_wall_ms(),
		.not_before_ms = not_before };
	struct spool_message *m;
	int rc;

	rc = id != NULL ? spool_begin_as(w, id, &m, e) : spool_begin(w, &m, e);
	if (rc < 0)
		return -1;
	if (id_out != NULL)
		memcpy(id_out, spool_id(m), ID_SIZE);
	envelope_add(&v)->address = "b@example.org";
	envelope_add(&v)->address = "c@example.net";
	if (spool_write(m, body, len, e) < 0) {
		spool_abort(m);
		rc = -1;
	} else {
		rc = spool_commit(m, &v, e);
	}
	envelope_release(&v);
	return rc;
}

static inline void
commit(struct spool_writer *w, const char *body, char id_out[ID_SIZE])
{
	struct err e = { 0 };

	if (try_commit(w, NULL, body, strlen(body), 0, id_out, &e) < 0)
		fail_msg("%s", e.text);
}

static inline struct spool_item *
claim(struct spool *s, int wait_ms)
{
	struct spool_item *it;
	struct err e = { 0 };

	if (spool_claim(s, wait_ms, &it, &e) < 0)
		fail_msg("%s", e.text);
	return it;
}

static inline void
check_body(struct spool_item *it, const char *want, size_t len)
{
	struct spool_body b;
	struct err e = { 0 };

	if (spool_body_open(it, &b, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(b.len, len);
	if (b.data != NULL) {
		assert_memory_equal(b.data, want, len);
	} else {
		char *got = malloc(len + 1);

		assert_int_equal(spool_read_at(b.fd, got, len, 0), 0);
		assert_memory_equal(got, want, len);
		assert_int_equal(faccessat(b.dir_fd, b.name, R_OK, 0), 0);
		free(got);
	}
	spool_body_close(&b);
}

static int
sync_ok(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static inline int
sync_fails(void *arg, struct err *e)
{
	(void)arg;
	return err_set(e, ERR_TEMP, "the store is broken");
}

static inline size_t
flush(struct spool *s)
{
	struct err e = { 0 };
	size_t n;

	if (spool_flush(s, sync_ok, NULL, &n, &e) < 0)
		fail_msg("%s", e.text);
	return n;
}

static inline size_t
claim_and_release_all(struct spool *s)
{
	struct spool_item *it;
	size_t n = 0;

	while ((it = claim(s, 0)) != NULL) {
		spool_release(it, clock_wall_ms() + 3600000);
		n++;
	}
	return n;
}

static inline size_t
count_files(const char *sub, const char *suffix)
{
	char path[256];
	struct dirent *de;
	size_t n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	assert_non_null(d);
	while ((de = readdir(d)) != NULL)
		n += de->d_name[0] != '.' &&
		    slice_ends(slice_str(de->d_name), suffix);
	(void)closedir(d);
	return n;
}

#endif /* TESTS_LIB_SPOOLTEST_H */
