/*
 * Setting up mail programs; see client_config.h.  XML is written by templates
 * of its own here, every value escaped.
 */
#include "directory/client_config.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/num.h"
#include "base/slice.h"

/* "domain=host" of client.hosts. */
static const char *
host_of(const struct settings *s, const char *domain)
{
	for (size_t i = 0; i < settings_count(s, SET_CLIENT_HOSTS); i++) {
		const char *item = settings_item(s, SET_CLIENT_HOSTS, i);
		struct slice name,
		    host = slice_cut(slice_str(item), '=', &name);

		if (host.len > 0 && slice_ieq_str(name, domain))
			return host.data;
	}
	return settings_text(s, SET_HOSTNAME);
}

void
client_config_make(
    const struct settings *s, const char *domain, struct client_config *out)
{
	/* RFC 8314 3: implicit TLS first */
	/* clang-format off */
	static const struct row {
		const char *service;
		bool is_incoming, is_tls;
		enum setting_id port, enabled;
	} rows[CLIENT_SERVERS_MAX] = {
		{ "pop3s", true, true, SET_POPD_TLS_PORT, SET_POPD_ENABLED },
		{ "pop3", true, false, SET_POPD_PORT, SET_POPD_ENABLED },
		{ "submissions", false, true, SET_SMTP_SUBMISSIONS_PORT, SET_MTAD_ENABLED },
		{ "submission", false, false, SET_SMTP_SUBMISSION_PORT, SET_MTAD_ENABLED },
	};

	/* clang-format on */

	*out = (struct client_config){ .domain = domain,
		.host = host_of(s, domain) };
	for (size_t i = 0; i < CLIENT_SERVERS_MAX; i++) {
		int64_t port = settings_int(s, rows[i].port);

		if (port == 0 || !settings_bool(s, rows[i].enabled))
			continue;
		port += settings_int(s, SET_PORT_OFFSET);
		out->servers[out->count++] =
		    (struct client_server){ rows[i].service,
			    rows[i].is_incoming, rows[i].is_tls,
			    (uint16_t)port };
	}
}

const struct client_server *
client_config_best(const struct client_config *c, bool is_incoming)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->servers[i].is_incoming == is_incoming)
			return &c->servers[i];
	return NULL;
}

/* --- XML ------------------------------------------------------------------------- */

static void
add_text(struct buf *b, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '&')
			buf_addstr(b, "&amp;");
		else if (*text == '<')
			buf_addstr(b, "&lt;");
		else if (*text == '>')
			buf_addstr(b, "&gt;");
		else if (*text == '"')
			buf_addstr(b, "&quot;");
		else if ((unsigned char)*text >= ' ')
			buf_addc(b, *text);
	}
}

/* <name>text</name> */
static void
add_element(struct buf *b, const char *name, const char *text)
{
	buf_addf(b, "<%s>", name);
	add_text(b, text);
	buf_addf(b, "</%s>\n", name);
}

static void
add_number(struct buf *b, const char *name, unsigned number)
{
	buf_addf(b, "<%s>%u</%s>\n", name, number, name);
}

void
client_config_thunderbird(
    const struct client_config *c, const char *address, struct buf *out)
{
	buf_addstr(out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<clientConfig version=\"1.1\">\n<emailProvider id=\"");
	add_text(out, c->domain);
	buf_addstr(out, "\">\n");
	add_element(out, "domain", c->domain);
	add_element(out, "displayName", c->domain);
	add_element(out, "displayShortName", c->domain);
	for (size_t i = 0; i < c->count; i++) {
		const struct client_server *s = &c->servers[i];
		const char *element =
		    s->is_incoming ? "incomingServer" : "outgoingServer";

		buf_addf(out, "<%s type=\"%s\">\n", element,
		    s->is_incoming ? "pop3" : "smtp");
		add_element(out, "hostname", c->host);
		add_number(out, "port", s->port);
		add_element(out, "socketType", s->is_tls ? "SSL" : "STARTTLS");
		add_element(out, "authentication", "password-cleartext");
		add_element(out, "username",
		    address != NULL ? address : "%EMAILADDRESS%");
		buf_addf(out, "</%s>\n", element);
	}
	buf_addstr(out, "</emailProvider>\n</clientConfig>\n");
}

void
client_config_outlook(
    const struct client_config *c, const char *address, struct buf *out)
{
	buf_addstr(out,
	    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
	    "<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/"
	    "autodiscover/responseschema/2006\">\n"
	    "<Response xmlns=\"http://schemas.microsoft.com/exchange/"
	    "autodiscover/outlook/responseschema/2006a\">\n<Account>\n"
	    "<AccountType>email</AccountType>\n<Action>settings</Action>\n");
	for (int incoming = 1; incoming >= 0; incoming--) {
		const struct client_server *s =
		    client_config_best(c, incoming != 0);

		if (s == NULL)
			continue;
		buf_addstr(out, "<Protocol>\n");
		add_element(out, "Type", s->is_incoming ? "POP3" : "SMTP");
		add_element(out, "Server", c->host);
		add_number(out, "Port", s->port);
		add_element(out, "LoginName", address);
		add_element(out, "DomainRequired", "off");
		add_element(out, "SPA", "off");
		add_element(out, "SSL", s->is_tls ? "on" : "off");
		add_element(out, "Encryption", s->is_tls ? "SSL" : "TLS");
		add_element(out, "AuthRequired", "on");
		if (!s->is_incoming)
			add_element(out, "UsePOPAuth", "on");
		buf_addstr(out, "</Protocol>\n");
	}
	buf_addstr(out, "</Account>\n</Response>\n</Autodiscover>\n");
}

/* --- Apple's property list -------------------------------------------------------- */

static void
add_key(struct buf *b, const char *key, const char *text)
{
	add_element(b, "key", key);
	add_element(b, "string", text);
}

/* The same for the same address, so that a new profile replaces the old. */
static void
add_ids(struct buf *b, const char *address, const char *part)
{
	uint32_t h[4];

	for (uint32_t i = 0; i < ARRAY_LEN(h); i++)
		h[i] = crc32c(crc32c(i + 1, address, strlen(address)), part,
		    strlen(part));
	add_element(b, "key", "PayloadUUID");
	buf_addf(b, "<string>%08X-%04X-4%03X-8%03X-%04X%08X</string>\n", h[0],
	    h[1] >> 16, h[1] & 0xfffU, h[2] >> 20, h[2] & 0xffffU, h[3]);
	add_element(b, "key", "PayloadIdentifier");
	buf_addstr(b, "<string>mailstead.");
	add_text(b, address);
	buf_addf(b, ".%s</string>\n", part);
	buf_addstr(b, "<key>PayloadVersion</key>\n<integer>1</integer>\n");
}

static void
add_direction(struct buf *b, const struct client_config *c,
    const struct client_server *s, const char *address)
{
	const char *in = s->is_incoming ? "Incoming" : "Outgoing";

	buf_addf(b, "<key>%sMailServerHostName</key>\n", in);
	add_element(b, "string", c->host);
	buf_addf(b, "<key>%sMailServerPortNumber</key>\n", in);
	add_number(b, "integer", s->port);
	buf_addf(b, "<key>%sMailServerUseSSL</key>\n<true/>\n", in);
	buf_addf(b, "<key>%sMailServerUsername</key>\n", in);
	add_element(b, "string", address);
	buf_addf(b,
	    "<key>%sMailServerAuthentication</key>\n"
	    "<string>EmailAuthPassword</string>\n",
	    in);
}

void
client_config_apple(const struct client_config *c, const char *address,
    const char *name, struct buf *out)
{
	const struct client_server *in = client_config_best(c, true);
	const struct client_server *back = client_config_best(c, false);

	if (in == NULL || back == NULL)
		return;
	buf_addstr(out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
	    "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
	    "<plist version=\"1.0\">\n<dict>\n"
	    "<key>PayloadContent</key>\n<array>\n<dict>\n");
	add_key(out, "PayloadType", "com.apple.mail.managed");
	add_key(out, "PayloadDisplayName", address);
	add_ids(out, address, "mail");
	add_key(out, "EmailAccountType", "EmailTypePOP");
	add_key(out, "EmailAccountName", name[0] != '\0' ? name : address);
	add_key(out, "EmailAccountDescription", address);
	add_key(out, "EmailAddress", address);
	add_direction(out, c, in, address);
	add_direction(out, c, back, address);
	buf_addstr(out,
	    "<key>OutgoingPasswordSameAsIncomingPassword</key>\n<true/>\n"
	    "</dict>\n</array>\n");
	add_key(out, "PayloadType", "Configuration");
	add_key(out, "PayloadDisplayName", address);
	add_key(out, "PayloadOrganization", c->domain);
	add_ids(out, address, "profile");
	buf_addstr(out, "</dict>\n</plist>\n");
}
