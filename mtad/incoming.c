/*
 * What happens to a message's header block on acceptance: trace fields in
 * front (RFC 5321 4.4), loops found, forged results removed (RFC 8601 5),
 * on submission missing fields added (RFC 6409 8).  The body is never touched.
 *
 * The block is held in memory until it is whole, with a ceiling; so whatever
 * is refused here is refused before the first byte was written.
 *
 * One object a message, used by its session's thread.
 */
#include "mtad/incoming.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "mail/header.h"

void
incoming_init(struct incoming *in, const struct incoming_rules *rules,
    struct spool_message *message)
{
	*in = (struct incoming){ .rules = rules, .message = message };
	buf_init(&in->headers, INCOMING_HEADERS_MAX);
}

void
incoming_release(struct incoming *in)
{
	buf_release(&in->headers);
}

static void
put(struct incoming *in, struct slice s, uint32_t lines)
{
	if (in->fault != INCOMING_OK)
		return;
	if (spool_write(in->message, s.data, s.len, &in->err) != 0)
		in->fault = INCOMING_WRITE;
	in->lines += lines;
}

static uint32_t
count_lines(struct slice s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += s.data[i] == '\n';
	return n;
}

/* --- looking at the header block -------------------------------------------- */

/* What one pass over the block found out. */
struct findings {
	size_t fields;
	int hops;
	size_t from_fields, from_addresses;
	bool has_date, has_message_id, has_sender;
	bool looped;
	bool foreign_from;
};

static bool
is_recipient(const struct incoming_rules *r, struct slice address)
{
	for (size_t i = 0; i < r->recipient_count; i++) {
		if (slice_ieq_str(address, r->recipients[i]))
			return true;
	}
	return false;
}

static void
look_at_from(
    const struct incoming_rules *r, struct slice value, struct findings *f)
{
	struct slice rest = value, address;

	f->from_fields++;
	while (header_next_address(&rest, &address)) {
		f->from_addresses++;
		if (r->may_write_as != NULL &&
		    !r->may_write_as(r->arg, address))
			f->foreign_from = true;
	}
}

static void
look_at_field(
    struct incoming *in, const struct header_field *h, struct findings *f)
{
	f->fields++;
	if (header_is(h, "Received")) {
		f->hops++;
	} else if (header_is(h, "Delivered-To")) {
		if (is_recipient(in->rules, slice_trim(h->value)))
			f->looped = true;
	} else if (header_is(h, "From")) {
		look_at_from(in->rules, h->value, f);
	} else if (header_is(h, "Sender")) {
		f->has_sender = true;
	} else if (header_is(h, "Date")) {
		f->has_date = true;
	} else if (header_is(h, "Message-ID")) {
		struct slice id = slice_trim(h->value);

		f->has_message_id = true;
		if (slice_starts(id, "<") && slice_ends(id, ">"))
			id = slice_of(id.data + 1, id.len - 2);
		id.len = num_min(id.len, sizeof(in->message_id) - 1);
		if (!slice_copy(id, in->message_id, sizeof(in->message_id)))
			in->message_id[0] = '\0';
	}
}

/*
 * RFC 5322 3.6.2: From is one field, and several authors have a Sender.  Else
 * what is checked and what is shown may be two things.
 */
static bool
is_ambiguous(const struct findings *f)
{
	return f->from_fields > 1 || (f->from_addresses > 1 && !f->has_sender);
}

static enum incoming_fault
judge(const struct incoming *in, const struct findings *f)
{
	if (f->fields > INCOMING_FIELDS_MAX)
		return INCOMING_HEADERS;
	if (f->hops > in->rules->max_hops)
		return INCOMING_HOPS;
	/* with others beside it, the hop count ends the loop */
	if (f->looped && in->rules->recipient_count == 1)
		return INCOMING_LOOP;
	if (f->foreign_from)
		return INCOMING_FROM;
	if (in->rules->is_from_outside && is_ambiguous(f))
		return INCOMING_AMBIGUOUS;
	return INCOMING_OK;
}

/* Fields that are not kept: ours to write, or forged in our name. */
static bool
is_dropped(const struct incoming *in, const struct header_field *h)
{
	return header_is(h, "Return-Path") ||
	    (header_is(h, "Bcc") && in->rules->is_submission) ||
	    (header_is(h, "Authentication-Results") &&
		in->rules->claims_our_name(in->rules->arg, h->value));
}

/* --- writing ------------------------------------------------------------------ */

static void
add_trace(struct incoming *in, struct buf *out)
{
	const struct incoming_rules *r = in->rules;

	message_return_path(out, r->sender);
	if (r->delivered_to != NULL)
		message_delivered_to(out, r->delivered_to);
	in->local_prefix = (uint32_t)out->len;
	message_received(out, &r->trace);
}

static void
add_missing(struct incoming *in, const struct findings *f, struct buf *out)
{
	const struct incoming_rules *r = in->rules;

	if (!f->has_date)
		message_date(out, r->trace.wall_ms);
	if (!f->has_message_id) {
		message_message_id(out, r->trace.id, r->trace.host);
		(void)snprintf(in->message_id, sizeof(in->message_id), "%s@%s",
		    r->trace.id, r->trace.host);
	}
	if (f->from_fields == 0)
		buf_addf(out, "From: <%s>\n", r->sender);
}

/* The block is whole: judge it, write what becomes of it. */
static void
end_headers(struct incoming *in)
{
	struct header_scan scan = { buf_slice(&in->headers) };
	struct header_field field;
	struct findings found = { 0 };
	struct slice rest;
	struct buf out;
	bool empty_line;

	in->in_body = true;
	while (header_next(&scan, &field))
		look_at_field(in, &field, &found);
	in->fault = judge(in, &found);
	if (in->fault != INCOMING_OK)
		return;
	buf_init(&out, (size_t)2 * INCOMING_HEADERS_MAX);
	add_trace(in, &out);
	scan.rest = buf_slice(&in->headers);
	while (header_next(&scan, &field)) {
		if (!is_dropped(in, &field))
			buf_addslice(&out, field.raw);
	}
	if (in->rules->is_submission)
		add_missing(in, &found, &out);
	/* without an empty line the body would become header fields */
	rest = header_body(&scan, &empty_line);
	if (empty_line || rest.len > 0)
		buf_addc(&out, '\n');
	buf_addslice(&out, rest);
	if (buf_overflowed(&out))
		in->fault = INCOMING_HEADERS;
	put(in, buf_slice(&out), count_lines(buf_slice(&out)));
	buf_release(&out);
	buf_release(&in->headers);
}

/* Is this finished line still of the header block? */
static bool
continues_headers(const struct incoming *in)
{
	struct slice line = slice_skip(buf_slice(&in->headers), in->line_start);
	struct header_scan scan = { line };
	struct header_field field;

	if (line.data[0] == ' ' || line.data[0] == '\t')
		return in->line_start > 0;
	return header_next(&scan, &field);
}

void
incoming_write(struct incoming *in, struct slice text, bool newline)
{
	if (in->fault != INCOMING_OK)
		return;
	if (in->in_body) {
		put(in, text, 0);
		if (newline)
			put(in, SLICE_LIT("\n"), 1);
		return;
	}
	buf_addslice(&in->headers, text);
	if (newline)
		buf_addc(&in->headers, '\n');
	if (buf_overflowed(&in->headers)) {
		in->fault = INCOMING_HEADERS;
		return;
	}
	if (!newline)
		return;
	if (continues_headers(in))
		in->line_start = in->headers.len;
	else
		end_headers(in);
}

void
incoming_end(struct incoming *in)
{
	if (!in->in_body && in->fault == INCOMING_OK)
		end_headers(in);
}
