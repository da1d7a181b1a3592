/*
 * Header fields a server writes: Received, Return-Path, Delivered-To, Date,
 * Message-ID; and who an Authentication-Results field says it is from.
 *
 * Everything from strangers that gets into a field was parsed before (an
 * address, a HELO name, an IP address), so no line can be broken here.
 *
 * Pure functions; any thread.
 */
#include "mail/message.h"

#include <string.h>

#include "base/clock.h"

void
message_received(struct buf *out, const struct message_trace *t)
{
	char date[CLOCK_RFC5322_SIZE];

	clock_rfc5322(t->wall_ms, date);
	if (t->client_ip[0] == '\0')
		buf_addf(out, "Received: by %s", t->host);
	else
		buf_addf(out, "Received: from %s (%s%s[%s%s])\n\tby %s",
		    t->helo[0] != '\0' ? t->helo : "unknown", t->client_name,
		    t->client_name[0] != '\0' ? " " : "",
		    strchr(t->client_ip, ':') != NULL ? "IPv6:" : "",
		    t->client_ip, t->host);
	buf_addf(out, " with %s id %s", t->protocol, t->id);
	if (t->tls_version != NULL)
		buf_addf(out, "\n\t(%s %s)", t->tls_version, t->tls_cipher);
	if (t->single_recipient != NULL)
		buf_addf(out, "\n\tfor <%s>", t->single_recipient);
	buf_addf(out, "; %s\n", date);
}

void
message_return_path(struct buf *out, const char *sender)
{
	buf_addf(out, "Return-Path: <%s>\n", sender);
}

void
message_delivered_to(struct buf *out, const char *recipient)
{
	buf_addf(out, "Delivered-To: %s\n", recipient);
}

void
message_date(struct buf *out, int64_t wall_ms)
{
	char date[CLOCK_RFC5322_SIZE];

	clock_rfc5322(wall_ms, date);
	buf_addf(out, "Date: %s\n", date);
}

void
message_message_id(struct buf *out, const char *id, const char *host)
{
	buf_addf(out, "Message-ID: <%s@%s>\n", id, host);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without leading white space and comments (RFC 5322 3.2.2). */
static struct slice
skip_cfws(struct slice s)
{
	size_t depth = 0, i = 0;

	for (; i < s.len; i++) {
		char c = s.data[i];

		if (c == '\\' && depth > 0)
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && !is_space(c))
			break;
	}
	return slice_skip(s, i);
}

bool
message_results_claim(struct slice value, const char *host)
{
	struct slice id = skip_cfws(value);
	size_t len = 0;
	bool quoted = id.len > 0 && id.data[0] == '"';

	if (quoted)
		id = slice_skip(id, 1);
	while (len < id.len &&
	    (quoted ? id.data[len] != '"'
		    : !is_space(id.data[len]) && id.data[len] != ';' &&
			id.data[len] != '(' && id.data[len] != '/'))
		len++;
	id.len = len;
	/* an escape in a quoted name is not worth undoing: nobody honest does */
	if (id.len == 0 || slice_chr(id, '\\') >= 0)
		return true;
	if (id.data[id.len - 1] == '.')
		id.len--;
	return slice_ieq_str(id, host);
}
