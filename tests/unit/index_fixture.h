#ifndef TESTS_UNIT_INDEX_FIXTURE_H
#define TESTS_UNIT_INDEX_FIXTURE_H

/*
 * A mailbox and its index in a temporary directory; messages are read by a
 * reader of a few fields, so that the index is tested without a parser.
 */
#include <sys/stat.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"

#include "maildir/index.h"

struct fixture {
	char top[64];
	struct index_config config;
	_Atomic unsigned reads;  /* messages read so far */
	bool parser_dead;        /* the reader fails */
	void (*meanwhile)(void); /* once, while messages are read */
	int64_t now_ms;          /* clock of the names of deliveries */
	char cache[80];
};

static inline const char *
fixture_field(struct pool *pool, const char *text, const char *name)
{
	const char *at = strstr(text, name);

	if (at == NULL)
		return "";
	at += strlen(name);
	return pool_strndup(pool, at, strcspn(at, "\n"));
}

static inline struct index_people
fixture_people(struct pool *pool, const char *address)
{
	struct index_people p = { pool_zalloc(pool, sizeof(*p.list)), 1 };

	p.list[0].name = pool_strndup(pool, address, strcspn(address, "@"));
	p.list[0].address = address;
	p.count = address[0] != '\0';
	return p;
}

/* What was asked for. */
struct fixture_asked {
	struct fixture *fixture;
	const int *fds;
	size_t count;
};

static inline void *
fixture_ask(void *arg, const int *fds, size_t count)
{
	struct fixture_asked *a = malloc(sizeof(*a));

	if (a == NULL)
		abort();
	*a = (struct fixture_asked){ arg, fds, count };
	return a;
}

static inline int
fixture_take(
    void *asked, struct pool *pool, struct index_content *out, struct err *e)
{
	struct fixture_asked a = *(struct fixture_asked *)asked;

	free(asked);
	if (a.fixture->meanwhile != NULL) {
		a.fixture->meanwhile();
		a.fixture->meanwhile = NULL;
	}
	if (a.fixture->parser_dead)
		return err_set(e, ERR_TEMP, "the parser is dead");
	for (size_t i = 0; i < a.count; i++) {
		struct index_content *c = &out[i];
		char *text = pool_zalloc(pool, 8192);
		const char **refs = pool_zalloc(pool, sizeof(*refs));
		const char *body;

		if (read(a.fds[i], text, 8191) < 0)
			return err_errno(e, "read");
		body = strstr(text, "\n\n");
		refs[0] = fixture_field(pool, text, "References: ");
		*c = (struct index_content){
			.from = fixture_people(
			    pool, fixture_field(pool, text, "From: ")),
			.to = fixture_people(
			    pool, fixture_field(pool, text, "To: ")),
			.subject = fixture_field(pool, text, "Subject: "),
			.message_id = fixture_field(pool, text, "Message-ID: "),
			.list_id = "",
			.files = fixture_field(pool, text, "Files: "),
			.snippet = body != NULL ? body + 2 : "",
			.text = body != NULL ? body + 2 : "",
			.refs = refs,
			.ref_count = refs[0][0] != '\0',
		};
		c->has_files = c->files[0] != '\0';
		a.fixture->reads++;
	}
	return 0;
}

static inline void
fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	(void)umask(007);
	(void)snprintf(f->top, sizeof(f->top), "/tmp/index-XXXXXX");
	if (mkdtemp(f->top) == NULL)
		abort();
	(void)snprintf(f->cache, sizeof(f->cache), "%s/cache", f->top);
	(void)mkdir(f->cache, 0700);
	f->config = (struct index_config){
		.cache_dir = f->cache,
		.mail_root_fd = open(f->top, O_RDONLY | O_DIRECTORY),
		.ask = fixture_ask,
		.take = fixture_take,
		.arg = f,
	};
	f->now_ms = clock_wall_ms() - INT64_C(100) * 86400 * 1000;
}

static inline void
fixture_release(struct fixture *f)
{
	struct err e;

	(void)close(f->config.mail_root_fd);
	if (maildir_remove_tree(AT_FDCWD, f->top, &e) != 0)
		abort();
}

static inline struct index *
fixture_open(struct fixture *f)
{
	struct index *x;
	struct err e;

	if (index_open(&f->config, SLICE_LIT("ann"), SLICE_LIT("example.org"),
		&x, &e) != 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		abort();
	}
	return x;
}

static inline void
fixture_maildir(struct fixture *f, const char *dir, struct maildir *m)
{
	struct err e;

	if (maildir_open(f->config.mail_root_fd, "example.org/ann", dir, true,
		m, &e) != 0)
		abort();
}

/* Deliver `text` a second later than the one before; its file name. */
static inline void
fixture_deliver(struct fixture *f, const char *dir, const char *text,
    char name[MAILDIR_NAME_SIZE])
{
	struct iovec piece = { (void *)(uintptr_t)text, strlen(text) };
	struct maildir m;
	char id[ID_SIZE];
	struct err e;

	f->now_ms += 1000;
	id_new_at(f->now_ms, id);
	maildir_delivery_name(id, 0, "host", strlen(text), strlen(text), name);
	fixture_maildir(f, dir, &m);
	if (maildir_write_tmp(&m, name, &piece, 1, &e) != 0 ||
	    maildir_publish(&m, name, &e) != 0)
		abort();
	maildir_close(&m);
}

#endif /* TESTS_UNIT_INDEX_FIXTURE_H */
