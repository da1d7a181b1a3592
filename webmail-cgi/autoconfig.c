/*
 * Answers to mail programs that set themselves up, and the page for those who
 * do it by hand; see autoconfig.h.
 */
#include "webmail-cgi/autoconfig.h"

#include <string.h>

#include "directory/client_config.h"
#include "mail/address.h"

#include "webmail-cgi/settings.h"
#include "webmail-cgi/site.h"

enum {
	ANSWER_MAX = 64 * 1024
};

/* --- Who is asked for ------------------------------------------------------------- */

/* The address's domain as asked for, if it is ours; else NULL. */
static const char *
own_domain(struct web_request *r, const char *name)
{
	struct dir_domain domain;
	struct err e;

	return dir_find_domain(webmail_of(r)->directory, name, &r->pool,
		   &domain, &e) == DIR_FOUND &&
		!domain.disabled
	    ? domain.asked
	    : NULL;
}

/* An address at a domain of ours; *address_out is its canonical form. */
static const char *
domain_of(struct web_request *r, struct slice text, const char **address_out)
{
	struct address a;
	struct err e;

	if (address_parse(slice_trim(text), 0, &r->pool, &a, &e) != 0)
		return NULL;
	*address_out = address_format(&a, &r->pool);
	return own_domain(r, strrchr(*address_out, '@') + 1);
}

/* What stands in <EMailAddress>, whatever prefix its name has. */
static struct slice
asked_address(struct slice xml)
{
	static const char name[] = "EMailAddress>";
	const char *at = memmem(xml.data, xml.len, name, sizeof(name) - 1);
	struct slice text;

	if (at == NULL)
		return slice_of(NULL, 0);
	at += sizeof(name) - 1;
	(void)slice_cut(
	    slice_of(at, xml.len - (size_t)(at - xml.data)), '<', &text);
	return text;
}

/* --- The answers -------------------------------------------------------------------- */

static void
make(struct web_request *r, const char *domain, struct client_config *out)
{
	struct settings *all = directory_settings(webmail_of(r)->directory);

	client_config_make(all, domain, out);
	out->host = pool_strdup(&r->pool, out->host);
	settings_free(all);
}

static void
thunderbird(struct web_request *r, struct web_response *w)
{
	const char *asked = web_query(r, "emailaddress"), *address = NULL;
	const char *domain = asked != NULL
	    ? domain_of(r, slice_str(asked), &address)
	    : site_of_host(r);
	struct client_config c;

	if (domain == NULL || domain[0] == '\0') {
		web_error(w, 404, page_text(r, "error.no_page"));
		return;
	}
	make(r, domain, &c);
	w->type = "text/xml; charset=utf-8";
	client_config_thunderbird(&c, address, &w->body);
}

static void
outlook(struct web_request *r, struct web_response *w)
{
	const char *address = NULL;
	const char *domain = domain_of(r, asked_address(r->raw), &address);
	struct client_config c;

	if (domain == NULL) {
		web_error(w, 404, page_text(r, "error.no_page"));
		return;
	}
	make(r, domain, &c);
	w->type = "text/xml; charset=utf-8";
	client_config_outlook(&c, address, &w->body);
}

bool
autoconfig_answer(struct web_request *r, struct web_response *w)
{
	bool get = r->method == WEB_GET;

	if (get &&
	    (strcmp(r->path, "/mail/config-v1.1.xml") == 0 ||
		strcmp(r->path,
		    "/.well-known/autoconfig/mail/config-v1.1.xml") == 0))
		thunderbird(r, w);
	else if (!get &&
	    ascii_casecmp(r->path, "/autodiscover/autodiscover.xml") == 0)
		outlook(r, w);
	else
		return false;
	return true;
}

/* --- The page -------------------------------------------------------------------------- */

static json_t *
server_row(struct web_request *r, const struct client_server *s)
{
	if (s == NULL)
		return json_null();
	return json_pack("{si,ss}", "port", (int)s->port, "security",
	    page_text(r, s->is_tls ? "program.tls" : "program.starttls"));
}

void
program_page(struct web_request *r, struct web_response *w)
{
	const struct session *s = session_of(r);
	const struct client_server *in, *out;
	struct client_config c;

	make(r, s->domain, &c);
	in = client_config_best(&c, true);
	out = client_config_best(&c, false);
	page_send(r, w, "settings_program", page_text(r, "program.title"),
	    json_pack("{ss,ss,so,so,sb,sb,so}", "host", c.host, "address",
		s->address, "incoming", server_row(r, in), "outgoing",
		server_row(r, out), "has_profile", in != NULL && out != NULL,
		"in_settings", 1, "tabs", settings_tabs(r, "program")));
}

void
program_profile(struct web_request *r, struct web_response *w)
{
	const struct session *s = session_of(r);
	struct client_config c;
	struct buf profile;

	make(r, s->domain, &c);
	buf_init(&profile, ANSWER_MAX);
	client_config_apple(&c, s->address, s->name, &profile);
	if (profile.len == 0) {
		web_error(w, 404, page_text(r, "error.no_page"));
	} else {
		web_download(w, "mail.mobileconfig",
		    "application/x-apple-aspen-config", false);
		/* or Apple's systems do not offer to install it */
		w->type = "application/x-apple-aspen-config";
		buf_addslice(&w->body, buf_slice(&profile));
	}
	buf_release(&profile);
}
