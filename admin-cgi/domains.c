/*
 * Domains: the list, a new one, limits and what a domain does with its mail,
 * its look, its end.
 */
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "mail/address.h"
#include "web/look.h"

#include "admin-cgi/admin.h"

/* clang-format off */
static const struct form_field fields[] = {
	{ "catchall", FORM_TEXT, 0 },
	{ "forward", FORM_TEXT, ROLE_SERVER },
	{ "admin", FORM_TEXT, ROLE_SERVER },
	{ "max_accounts", FORM_NUMBER, ROLE_SERVER },
	{ "max_lists", FORM_NUMBER, ROLE_SERVER },
	{ "max_bytes", FORM_SIZE, ROLE_SERVER },
	{ "access.web", FORM_SWITCH, ROLE_SERVER },
	{ "access.pop3", FORM_SWITCH, ROLE_SERVER },
	{ "access.smtp", FORM_SWITCH, ROLE_SERVER },
	{ "new_user.quota_bytes", FORM_SIZE, 0 },
	{ "new_user.quota_messages", FORM_NUMBER, 0 },
	{ "new_user.may_change_password", FORM_SWITCH, 0 },
	{ "new_user.web", FORM_SWITCH, 0 },
	{ "new_user.pop3", FORM_SWITCH, 0 },
	{ "new_user.smtp", FORM_SWITCH, 0 },
};

/* clang-format on */

static const struct form form = { fields, ARRAY_LEN(fields), "domain" };

static json_t *
about(const struct web_request *r, const char *verb)
{
	return json_pack("{ss,ss}", "verb", verb, "domain", r->args[0]);
}

/* --- The list ------------------------------------------------------------------- */

void
domains_shape(json_t *items)
{
	char shown[4 * ADDRESS_DOMAIN_MAX];
	const char *name;
	json_t *one;
	size_t i;

	json_array_foreach(items, i, one) {
		name = json_string_value(json_object_get(one, "name"));
		domain_display(name, shown, sizeof(shown));
		if (strcmp(name, shown) != 0)
			json_object_set_new(one, "shown", json_string(shown));
	}
}

void
domains_page(struct web_request *r, struct web_response *w)
{
	json_t *reply, *values;

	if (admin_need(r, w, list_request(r, "domain list"), &reply) != 0)
		return;
	domains_shape(json_object_get(reply, "items"));
	values =
	    list_values(r, reply, json_incref(json_object_get(reply, "items")));
	json_decref(reply);
	admin_page(r, w, "domains", "domains", values);
}

static void
send_new(struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *values = json_pack("{ss,ss,sb}", "name",
	    web_form_text(r, "name"), "alias_of", web_form_text(r, "alias_of"),
	    "default", web_form(r, "default") != NULL);

	form_problem(r, w, p, values);
	admin_page(r, w, "domain_new", "domains", values);
}

void
domain_new_page(struct web_request *r, struct web_response *w)
{
	send_new(r, w, &no_problem);
}

void
domain_new_post(struct web_request *r, struct web_response *w)
{
	const char *name = web_form_text(r, "name");
	const char *of = web_form_text(r, "alias_of");
	struct problem p = { 0 };
	int rc = admin_write(r, w,
	    json_pack("{ss,ss,sb,ss*}", "verb", "domain add", "name", name,
		"default", web_form(r, "default") != NULL, "alias_of",
		of[0] != '\0' ? of : NULL),
	    NULL, &p);
	if (rc > 0)
		send_new(r, w, &p);
	else if (rc == 0)
		admin_done(r, w, "domain_added", "/d/%s", admin_url(r, name));
}

/* --- One of them ------------------------------------------------------------------ */

static void
send_domain(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *reply, *values, *d;

	if (admin_need(r, w, about(r, "domain show"), &reply) != 0)
		return;
	d = json_object_get(reply, "domain");
	values = json_pack("{sO,so,sO,ss,sb}", "d", d, "f",
	    form_show(r, &form, d, p), "rev", json_object_get(reply, "rev"),
	    "domain", json_string_value(json_object_get(d, "name")),
	    "on_limits", 1);
	form_problem(r, w, p, values);
	json_decref(reply);
	admin_page(r, w, "domain", "domains", values);
}

void
domain_page(struct web_request *r, struct web_response *w)
{
	send_domain(r, w, &no_problem);
}

static int
save(struct web_request *r, struct web_response *w, struct problem *p)
{
	json_t *request = about(r, "domain set");
	const char *rev = web_form(r, "rev");

	json_object_set_new(request, "set", form_read(r, &form, p));
	if (rev != NULL)
		json_object_set_new(request, "rev", json_string(rev));
	if (p->status != 0) {
		json_decref(request);
		return 1;
	}
	return admin_write(r, w, request, NULL, p);
}

void
domain_post(struct web_request *r, struct web_response *w)
{
	const char *act = web_form(r, "do"), *flash = "saved";
	struct problem p = { 0 };
	json_t *request;
	int rc;

	if (act != NULL &&
	    (strcmp(act, "disable") == 0 || strcmp(act, "enable") == 0)) {
		flash = strcmp(act, "disable") == 0 ? "suspended" : "enabled";
		rc = admin_write(r, w,
		    about(r,
			strcmp(act, "disable") == 0 ? "domain disable"
						    : "domain enable"),
		    NULL, &p);
	} else if (act != NULL && strcmp(act, "default") == 0) {
		request = about(r, "domain set");
		json_object_set_new(
		    request, "set", json_pack("{sb}", "default", 1));
		rc = admin_write(r, w, request, NULL, &p);
	} else {
		rc = save(r, w, &p);
	}
	if (rc > 0)
		send_domain(r, w, &p);
	else if (rc == 0)
		admin_done(r, w, flash, "/d/%s", admin_url(r, r->args[0]));
}

/* --- The end ---------------------------------------------------------------------- */

static void
send_delete(
    struct web_request *r, struct web_response *w, const struct problem *p)
{
	json_t *reply, *values;

	if (admin_need(r, w, about(r, "domain show"), &reply) != 0)
		return;
	values = json_pack("{sO,ss}", "d", json_object_get(reply, "domain"),
	    "domain", r->args[0]);
	form_problem(r, w, p, values);
	json_decref(reply);
	admin_page(r, w, "domain_delete", "domains", values);
}

void
domain_delete_page(struct web_request *r, struct web_response *w)
{
	send_delete(r, w, &no_problem);
}

/* Its name must be typed in, and accountd asks for the password. */
void
domain_delete_post(struct web_request *r, struct web_response *w)
{
	const char *typed = web_form_text(r, "name");
	struct problem p = { 0 };
	int rc = 1;

	if (!slice_ieq_str(slice_str(typed), r->args[0])) {
		p.status = 422;
		p.text = page_text(r, "domain_delete.not_same");
	} else {
		rc = admin_write(r, w, about(r, "domain delete"), NULL, &p);
	}
	if (rc > 0)
		send_delete(r, w, &p);
	else if (rc == 0)
		admin_done(r, w, "domain_deleted", "/domains");
}

/* --- The look ----------------------------------------------------------------------- */

/* domains/ as a directory descriptor; -1: logged. */
static int
open_domains(struct web_request *r)
{
	int fd = look_open(admin_of(r)->state_dir);

	if (fd < 0)
		log_error(
		    "%s/domains cannot be opened", admin_of(r)->state_dir);
	return fd;
}

static json_t *
file_text(int fd, const char *domain, const struct look_file *file)
{
	json_t *text = NULL;
	struct buf b;
	struct err e;

	buf_init(&b, LOOK_MAX);
	if (look_read(fd, domain, file, &b, &e) == 0)
		text = json_stringn(b.data ? b.data : "", b.len);
	buf_release(&b);
	return text != NULL ? text : json_string("");
}

struct report {
	const char *prefix;
	json_t *files;
};

static void
add_report(void *arg, const char *file, const char *error)
{
	struct report *report = arg;

	if (slice_starts(slice_str(file), report->prefix))
		json_array_append_new(report->files,
		    json_pack("{ss,ss}", "file", file, "error",
			error != NULL ? error : ""));
}

/*
 * The domain's real name if who asks may administer it, in the pool; NULL:
 * answered.  File names below domains/ are made of nothing else.
 */
static const char *
own_domain(struct web_request *r, struct web_response *w)
{
	json_t *reply;
	const char *name;

	if (admin_need(r, w, about(r, "domain show"), &reply) != 0)
		return NULL;
	name = pool_strdup(&r->pool,
	    json_string_value(
		json_object_get(json_object_get(reply, "domain"), "name")));
	json_decref(reply);
	return name;
}

/* What the files were when the form was filled in. */
static const char *
look_rev(struct web_request *r, const char *domain)
{
	int fd = open_domains(r);
	uint32_t sum = 0;

	for (size_t i = 0; fd >= 0 && i < LOOK_FILES; i++) {
		json_t *text = file_text(fd, domain, &look_files[i]);

		sum = crc32c(
		    sum, json_string_value(text), json_string_length(text) + 1);
		json_decref(text);
	}
	if (fd >= 0)
		(void)close(fd);
	return pool_printf(&r->pool, "%08x", sum);
}

/* With what was typed, if that is a problem. */
static void
send_look(struct web_request *r, struct web_response *w, const char *domain,
    const struct problem *p)
{
	struct report report;
	json_t *values;
	int fd;

	report.prefix = pool_printf(&r->pool, "domains/%s/", domain);
	report.files = json_array();
	values = json_pack("{ss,sb,ss,so}", "domain", domain, "on_look", 1,
	    "rev", look_rev(r, domain), "templates", report.files);
	(void)template_check_all(admin_of(r)->templates, add_report, &report);
	fd = open_domains(r);
	for (size_t i = 0; fd >= 0 && i < LOOK_FILES; i++) {
		const char *typed =
		    p->status != 0 ? web_form(r, look_files[i].field) : NULL;

		json_object_set_new(values, look_files[i].field,
		    typed != NULL ? json_string(typed)
				  : file_text(fd, domain, &look_files[i]));
	}
	if (fd >= 0)
		(void)close(fd);
	form_problem(r, w, p, values);
	admin_page(r, w, "domain_look", "domains", values);
}

void
look_page(struct web_request *r, struct web_response *w)
{
	const char *domain = own_domain(r, w);

	if (domain != NULL)
		send_look(r, w, domain, &no_problem);
}

static bool
look_fits(struct web_request *r)
{
	for (size_t i = 0; i < LOOK_FILES; i++) {
		const char *text = web_form(r, look_files[i].field);

		if (text != NULL && strlen(text) > look_files[i].max)
			return false;
	}
	return true;
}

/* All fit before the first is written. */
static void
save_look(struct web_request *r, struct web_response *w, const char *domain)
{
	int fd = open_domains(r);
	struct problem p = { 0 };
	struct err e;
	int rc = fd >= 0 ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < LOOK_FILES; i++) {
		const struct look_file *file = &look_files[i];
		const char *text = web_form(r, file->field);
		json_t *request;

		if (text == NULL)
			continue;
		request = about(r, "domain look");
		json_object_set_new(request, "file", json_string(file->name));
		rc = admin_write(r, w, request, NULL, &p);
		if (rc == 0 &&
		    look_write(fd, domain, file, text, strlen(text), &e) != 0) {
			log_error("look of %s: %s", domain, e.text);
			p.text = page_text(r, "error.disk");
			rc = 1;
		}
	}
	if (fd >= 0)
		(void)close(fd);
	if (rc > 0)
		web_error(w, 503, p.text != NULL ? p.text : "");
	else if (rc == 0)
		admin_done(r, w, "saved", "/d/%s/look", admin_url(r, domain));
	else if (fd < 0)
		web_error(w, 503, page_text(r, "error.disk"));
}

void
look_post(struct web_request *r, struct web_response *w)
{
	const char *domain = own_domain(r, w);
	struct problem p = { .status = 422 };
	const char *rev;

	if (domain == NULL)
		return;
	rev = web_form(r, "rev");
	if (!look_fits(r)) {
		p.text = page_text(r, "look.too_long");
	} else if (rev != NULL && strcmp(rev, look_rev(r, domain)) != 0) {
		p.status = 409;
		p.text = page_text(r, "error.changed");
	} else {
		save_look(r, w, domain);
		return;
	}
	send_look(r, w, domain, &p);
}
