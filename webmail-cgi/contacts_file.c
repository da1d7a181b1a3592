/*
 * The address book to and from files.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/contacts.h"
#include "webmail-cgi/user.h"
#include "webmail-cgi/vcard.h"

enum {
	FILE_MAX = 4 * 1024 * 1024,
	CHUNK = 200, /* contacts asked for at a time */
	CHUNK_BYTES = 64 * 1024,
	PROBLEMS_MAX = 100,
};

/* --- Reading a file ----------------------------------------------------------------- */

struct import {
	struct web_request *r;
	struct sql *db;
	int64_t now_ms;
	unsigned added, changed, skipped;
	json_t *problems; /* [{line, text}] */
};

static void
add_problem(struct import *im, unsigned line, const char *key)
{
	im->skipped++;
	if (json_array_size(im->problems) < PROBLEMS_MAX)
		json_array_append_new(im->problems,
		    json_pack("{sI,ss}", "line", (json_int_t)line, "text",
			page_text(im->r, key)));
}

static bool
has_address(const struct contact *c, const char *address)
{
	for (size_t i = 0; i < c->address_count; i++) {
		if (ascii_casecmp(c->addresses[i].address, address) == 0)
			return true;
	}
	return false;
}

/* What is new in `c` is added to who is there; nothing there is lost. */
static void
merge(struct pool *pool, const struct contact *c, struct contact *there)
{
	for (size_t i = 0; i < c->address_count &&
	     there->address_count < CONTACT_ADDRESSES_MAX;
	     i++) {
		if (!has_address(there, c->addresses[i].address))
			there->addresses[there->address_count++] =
			    c->addresses[i];
	}
	if (c->name[0] != '\0')
		there->name = c->name;
	if (c->company[0] != '\0')
		there->company = c->company;
	if (there->note[0] == '\0')
		there->note = c->note;
	if (there->phones[0] == '\0')
		there->phones = c->phones;
	if (there->more[0] == '\0')
		there->more = c->more;
	there->groups_text =
	    pool_printf(pool, "%s\n%s", there->groups_text, c->groups_text);
}

static int
take_contact(struct import *im, struct contact *c, unsigned line, struct err *e)
{
	struct pool *pool = &im->r->pool;
	const char *address =
	    c->address_count > 0 ? c->addresses[0].address : "";
	struct contact there;
	int64_t id;
	int rc;

	if (store_contact_lookup(im->db, c->uid, address, &id, e) != 0 ||
	    (id != 0 && store_contact_find(im->db, id, pool, &there, e) < 0))
		return -1;
	if (id != 0)
		merge(pool, c, &there);
	rc = store_contact_put(im->db, id != 0 ? &there : c, im->now_ms, e);
	if (rc != 0 && e->kind == ERR_PERM) {
		add_problem(im, line, "contacts.too_many");
		return 0;
	}
	im->added += rc == 0 && id == 0;
	im->changed += rc == 0 && id != 0;
	return rc;
}

static int
take_cards(struct import *im, struct slice text, struct err *e)
{
	struct content_scan scan = { text, 1 };
	enum vcard_result result;
	struct contact c;
	unsigned line;

	while ((result = vcard_next(&scan, &im->r->pool, &c, &line)) !=
	    VCARD_END) {
		if (result == VCARD_SKIPPED)
			add_problem(im, line, "contacts.card_skipped");
		else if (take_contact(im, &c, line, e) != 0)
			return -1;
	}
	return 0;
}

static int
take_lines(struct import *im, struct slice text, struct err *e)
{
	struct contact c;
	struct csv_scan scan;
	unsigned line;
	int got;

	if (!csv_begin(&scan, &im->r->pool, text)) {
		add_problem(im, 1, "contacts.no_headings");
		return 0;
	}
	while ((got = csv_next(&scan, &im->r->pool, &c, &line)) != 0) {
		if (got < 0)
			add_problem(im, line, "contacts.line_skipped");
		else if (take_contact(im, &c, line, e) != 0)
			return -1;
	}
	return 0;
}

/* All or nothing. */
static int
take_file(struct import *im, struct slice text, struct err *e)
{
	bool cards = slice_istarts(text, "BEGIN:VCARD");
	int rc;

	if (user_store(im->r, true, &im->db, e) != 0 ||
	    sql_begin(im->db, e) != 0)
		return -1;
	rc = cards ? take_cards(im, text, e) : take_lines(im, text, e);
	if (rc == 0)
		rc = sql_commit(im->db, e);
	if (rc != 0)
		sql_rollback(im->db);
	return rc;
}

/* --- The pages ------------------------------------------------------------------------- */

void
contacts_import_page(struct web_request *r, struct web_response *w)
{
	page_send(r, w, "contacts_import", page_text(r, "contacts.import"),
	    json_pack("{sb}", "in_contacts", true));
}

static void
import_refused(struct web_request *r, struct web_response *w, const char *key)
{
	w->status = 422;
	page_send(r, w, "contacts_import", page_text(r, "contacts.import"),
	    json_pack(
		"{sb,ss}", "in_contacts", true, "error", page_text(r, key)));
}

/* Its text, without a byte order mark; NULL: answered already. */
static const char *
uploaded_text(struct web_request *r, struct web_response *w)
{
	const struct web_upload *up = r->upload_count > 0 ? r->uploads : NULL;
	const char *key = up == NULL || up->size == 0 ? "contacts.no_file"
	    : up->size > FILE_MAX                     ? "contacts.large_file"
						      : NULL;
	size_t len = 0;
	ssize_t n = 1;
	char *text;

	if (key != NULL) {
		import_refused(r, w, key);
		return NULL;
	}
	text = pool_alloc(&r->pool, up->size + 1);
	while (n > 0 && len < up->size) {
		n = read(up->fd, text + len, up->size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	if (!utf8_is_valid(slice_of(text, len)) || strlen(text) != len) {
		import_refused(r, w, "contacts.not_utf8");
		return NULL;
	}
	return slice_starts(slice_str(text), "\xef\xbb\xbf") ? text + 3 : text;
}

void
contacts_import_post(struct web_request *r, struct web_response *w)
{
	const char *text = uploaded_text(r, w);
	struct import im = { .r = r, .now_ms = clock_wall_ms() };
	struct err e;

	if (text == NULL)
		return;
	im.problems = json_array();
	if (take_file(&im, slice_trim(slice_str(text)), &e) != 0) {
		json_decref(im.problems);
		log_error("contacts of %s: %s", session_of(r)->address, e.text);
		web_error(w, 503, page_text(r, "contacts.failed"));
		return;
	}
	page_send(r, w, "contacts_import", page_text(r, "contacts.import"),
	    json_pack("{sb,sb,sI,sI,sI,so}", "in_contacts", true, "done", true,
		"added", (json_int_t)im.added, "changed",
		(json_int_t)im.changed, "skipped", (json_int_t)im.skipped,
		"problems", im.problems));
}

/* --- Export ------------------------------------------------------------------------------ */

struct export
{
	struct web_response *w;
	struct sql *db;
	int64_t group, after;
	void (*write)(const struct contact *c, struct buf *out);
};

/* The next CHUNK contacts; *more_out says if others follow. */
static int
export_some(struct export *x, bool *more_out, struct err *e)
{
	const struct contact_query query = { "", x->group, x->after, CHUNK };
	struct pool pool = { 0 };
	struct contacts some;
	struct contact c;
	struct buf out;
	int rc;

	buf_init(&out, WEB_BODY_MAX);
	rc = store_contacts(x->db, &query, &pool, &some, e);
	for (size_t i = 0; rc == 0 && i < some.count; i++) {
		x->after = some.list[i].id;
		if (store_contact_find(x->db, x->after, &pool, &c, e) < 0)
			rc = -1;
		else
			x->write(&c, &out);
		if (out.len > CHUNK_BYTES || i + 1 == some.count) {
			rc = rc == 0 ? web_stream(x->w, out.data, out.len, e)
				     : rc;
			buf_reset(&out);
		}
	}
	*more_out = rc == 0 && some.more;
	buf_release(&out);
	pool_release(&pool);
	return rc;
}

static void
export_contacts(struct web_request *r, struct web_response *w, const char *name,
    const char *head, void (*write)(const struct contact *c, struct buf *out))
{
	struct export x = { .w = w, .write = write };
	struct err e;
	uint64_t group;
	bool more = true;
	int rc = user_store(r, false, &x.db, &e);

	if (web_query(r, "g") != NULL &&
	    num_parse(slice_str(web_query(r, "g")), INT64_MAX, &group))
		x.group = (int64_t)group;
	web_download(w, name, "application/octet-stream", false);
	if (rc == 0)
		rc = web_stream(w, head, strlen(head), &e);
	while (rc == 0 && more)
		rc = export_some(&x, &more, &e);
	if (rc == 0)
		return;
	log_error("contacts of %s: %s", session_of(r)->address, e.text);
	web_error(w, 503, page_text(r, "contacts.failed"));
}

void
contacts_vcf(struct web_request *r, struct web_response *w)
{
	export_contacts(r, w, "contacts.vcf", "", vcard_write);
}

void
contacts_csv(struct web_request *r, struct web_response *w)
{
	export_contacts(r, w, "contacts.csv", CSV_HEADINGS, csv_write);
}
