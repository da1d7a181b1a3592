/*
 * MAIL and RCPT: who a message is from and for.
 *
 * Each is parse, then gather the facts, then ask policy, then note; what is
 * refused leaves the transaction as it was.  The words of a refusal are the
 * policy's, its reason goes to the log.
 *
 * Run by the session's thread.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "directory/accountd.h"
#include "mail/srs.h"
#include "net/dns.h"
#include "policy/gather.h"

#include "mtad/mtad.h"
#include "mtad/params.h"

/* "FROM:" or "TO:", then spaces (lenient), then the path. */
static bool
cut_keyword(struct slice args, const char *keyword, struct slice *out)
{
	if (!slice_istarts(args, keyword))
		return false;
	args = slice_skip(args, strlen(keyword));
	while (args.len > 0 && args.data[0] == ' ')
		args = slice_skip(args, 1);
	*out = args;
	return true;
}

static int
refuse_params(struct session *s, enum params_result r)
{
	if (r == PARAMS_UNKNOWN)
		return session_reply(
		    s, 555, "5.5.4", "Parameter not recognized");
	if (r == PARAMS_SIZE)
		return session_reply(s, 552, "5.3.4", "Too much mail data");
	return session_reply(s, 501, "5.5.4", "Malformed parameter");
}

/* The confirmed name of the client: asked once, never before the greeting. */
static void
look_up_client(struct session *s)
{
	struct dns_config dns;
	char *name = NULL;
	struct err e;

	if (s->client_name_asked ||
	    !settings_bool(s->settings, SET_SMTP_REVERSE_LOOKUP))
		return;
	s->client_name_asked = true;
	if (dns_config_parse(
		settings_text(s->settings, SET_DNS_SERVERS), &dns, &e) == 0 &&
	    dns_confirmed_name(&dns, &s->client, &s->pool, &name) == DNS_OK)
		s->client_name = name;
}

/* --- MAIL -------------------------------------------------------------------- */

/* While accountd cannot tell, the user is to come again later. */
static bool
is_user_over_rate(struct session *s)
{
	int64_t max = settings_int(s->settings, SET_LIMIT_MESSAGES_PER_USER);
	int64_t sent;
	struct err e;

	if (max == 0)
		return false;
	if (accountd_count_sent(s->mtad->accountd, s->user->address, false,
		ACCOUNTD_MS, &sent, &e) != 0) {
		log_warning("limit.messages_per_user: %s", e.text);
		return true;
	}
	return sent >= max;
}

static bool
is_address_over_rate(const struct session *s)
{
	struct limits *l = s->mtad->limits;
	int64_t max;

	max = settings_int(s->settings, SET_LIMIT_MESSAGES_PER_ADDRESS);
	if (max > 0 && limits_messages(l, s->limit_key, clock_mono_ms()) >= max)
		return true;
	max = settings_int(s->settings, SET_LIMIT_BYTES_PER_ADDRESS);
	return max > 0 &&
	    limits_bytes(l, s->limit_key, clock_mono_ms()) >= (uint64_t)max;
}

/* Going on in spite of refusals ends with a ban. */
static bool
is_over_rate(struct session *s)
{
	int64_t max = settings_int(s->settings, SET_BAN_LIMIT_REFUSALS);
	struct err e;

	if (s->user != NULL)
		return is_user_over_rate(s);
	if (s->facts.trusted || !is_address_over_rate(s))
		return false;
	if (max > 0 &&
	    limits_refused(s->mtad->limits, s->limit_key, (unsigned)max,
		clock_mono_ms()) &&
	    accountd_ban_limit(
		s->mtad->accountd, s->client_ip, s->id, ACCOUNTD_MS, &e) != 0)
		log_warning("ban: %s", e.text);
	return true;
}

/* A directory that cannot tell: the reason, where somebody will look. */
static __attribute__((noinline)) void
log_trouble(const struct err *e)
{
	log_warning("directory: %s", e->text);
}

static void
gather_sender(struct session *s, const struct address *sender)
{
	struct err e;

	s->facts.over_rate = is_over_rate(s);
	if (policy_gather_sender(&s->facts, s->mtad->directory, s->user, sender,
		&s->tx.pool, &e) != 0)
		log_trouble(&e);
	policy_gather_dns(&s->facts, s->settings, sender, &s->tx.pool);
}

static void
begin_envelope(struct session *s, const struct address *sender,
    const struct mail_params *p)
{
	struct transaction *tx = &s->tx;
	struct envelope *v = &tx->envelope;

	tx->sender = *sender;
	v->sender = address_format(sender, &tx->pool);
	v->envid = p->envid;
	v->flags = p->ret | (p->smtputf8 ? (uint32_t)ENVELOPE_SMTPUTF8 : 0) |
	    (s->user != NULL || s->kind == MTAD_LOCAL
		    ? (uint32_t)ENVELOPE_SUBMITTED
		    : 0);
	v->client_ip = pool_strdup(&tx->pool, s->client_ip);
	v->client_name = pool_strdup(&tx->pool, s->client_name);
	v->helo = pool_strdup(&tx->pool, s->helo);
	v->auth_user =
	    pool_strdup(&tx->pool, s->user != NULL ? s->user->address : "");
	v->session_id = pool_strdup(&tx->pool, s->id);
	s->facts.sender = v->sender;
	s->state = SMTP_MAIL;
}

static int
judge_mail(struct session *s, const struct address *sender,
    const struct mail_params *p)
{
	uint64_t max = session_max_bytes(s);
	struct policy_verdict v;

	if (address_is_utf8(sender) && !p->smtputf8)
		return session_reply(s, 553, "5.6.7", "Address needs SMTPUTF8");
	if (max > 0 && p->size > max)
		return session_reply(s, 552, "5.3.4", "Too much mail data");
	look_up_client(s);
	s->facts.sender = address_format(sender, &s->tx.pool);
	gather_sender(s, sender);
	v = policy_sender(&s->facts);
	if (v.action != POLICY_ACCEPT)
		return session_refuse(s, &v);
	begin_envelope(s, sender, p);
	return session_reply(s, v.code, v.enhanced, "%s", v.text);
}

int
smtp_mail(void *session, struct slice args)
{
	struct session *s = session;
	struct address sender;
	struct mail_params params;
	struct slice path, rest;
	enum params_result r;
	struct err e;
	int rc;

	session_refresh(s);
	if (!cut_keyword(args, "FROM:", &path))
		return session_reply(s, 501, "5.5.4", "MAIL FROM:<address>");
	if (address_parse_path(path, ADDRESS_NULL | ADDRESS_UTF8, &s->tx.pool,
		&sender, &rest, &e) != 0)
		rc = session_reply(
		    s, 501, "5.1.7", "Bad sender address: %s", e.text);
	else if ((r = mail_params_parse(rest, &s->tx.pool, &params)) !=
	    PARAMS_OK)
		rc = refuse_params(s, r);
	else if (!params.smtputf8 &&
	    !slice_is_ascii(slice_of(path.data, path.len - rest.len)))
		rc = session_reply(s, 553, "5.6.7", "Address needs SMTPUTF8");
	else
		rc = judge_mail(s, &sender, &params);
	if (s->state != SMTP_MAIL)
		transaction_reset(s);
	return rc;
}

/* --- RCPT -------------------------------------------------------------------- */

/* An address literal that means this machine. */
static bool
is_own_literal(const struct session *s, const struct address *a)
{
	return a->is_literal &&
	    (ip_eq(&a->literal, &s->local) ||
		settings_has_ip(s->settings, SET_NAT_ADDRESSES, &a->literal) ||
		settings_has_ip(s->settings, SET_LISTEN, &a->literal) ||
		settings_has_ip(s->settings, SET_SMTP_LISTEN, &a->literal));
}

static uint32_t
hash_address(const char *address)
{
	uint32_t h = 2166136261U;

	for (; *address != '\0'; address++)
		h = (h ^ (uint32_t)ascii_lower((unsigned char)*address)) *
		    16777619U;
	return h;
}

/* Is this recipient there already?  One copy a mailbox. */
static bool
is_duplicate(const struct transaction *tx, const char *address, uint32_t hash)
{
	for (size_t i = 0; i < tx->envelope.recipient_count; i++) {
		if (tx->rcpt_hashes[i] == hash &&
		    ascii_casecmp(
			tx->envelope.recipients[i].address, address) == 0)
			return true;
	}
	return false;
}

static void
add_recipient(struct session *s, const char *address,
    const struct rcpt_params *p, const struct policy_verdict *v)
{
	struct transaction *tx = &s->tx;
	uint32_t hash = hash_address(address);
	size_t n = tx->envelope.recipient_count;
	struct envelope_recipient *r;

	s->state = SMTP_RCPT;
	if (is_duplicate(tx, address, hash))
		return;
	tx->rcpt_hashes = mem_grow(
	    tx->rcpt_hashes, &tx->rcpt_hash_alloc, n + 1, sizeof(uint32_t));
	tx->rcpt_hashes[n] = hash;
	r = envelope_add(&tx->envelope);
	r->address = pool_strdup(&tx->pool, address);
	if (p->original != NULL)
		r->original = pool_strdup(&tx->pool, p->original);
	r->notify = p->notify;
	if (tx->rule == NULL)
		tx->rule = v->rule;
	if (v->next == POLICY_LOCAL)
		tx->local_count++;
}

/*
 * The address to deliver to: with a domain, since routing later knows nothing
 * of this connection.
 */
static char *
delivery_address(const struct address *rcpt, bool own_literal,
    const struct dir_target *target, struct pool *pool)
{
	struct address a = *rcpt;

	if ((a.domain[0] == '\0' || own_literal) && target->domain.name != NULL)
		a.domain = target->domain.name;
	return address_format(&a, pool);
}

/* Whom the recipient stands for if it is a return path of ours, or NULL. */
static char *
read_return_path(struct session *s, const struct address *rcpt,
    const struct dir_target *target, struct pool *scratch)
{
	uint8_t key[SRS_KEY_SIZE];
	char *original = NULL;
	bool have;
	struct err e;

	s->facts.return_path = POLICY_RETURN_NONE;
	if (!policy_is_return_path(&s->facts, rcpt, target))
		return NULL;
	have = accountd_srs_key(s->mtad->accountd, ACCOUNTD_MS, key, &e) == 0;
	if (!have)
		log_warning("return path: %s", e.text);
	policy_gather_return_path(&s->facts, s->settings, have ? key : NULL,
	    rcpt, scratch, &original);
	mem_wipe(key, sizeof(key));
	return original;
}

static int
judge_rcpt(struct session *s, const struct address *rcpt,
    const struct rcpt_params *p, struct pool *scratch)
{
	const struct policy_addresses a = { .recipient = rcpt,
		.sender = &s->tx.sender,
		.literal_is_own = is_own_literal(s, rcpt) };
	struct dir_target target;
	struct policy_verdict v;
	char *original;
	struct err e;
	int rc;

	s->facts.recipient = address_format(rcpt, scratch);
	if (policy_gather_recipient(
		&s->facts, s->mtad->directory, &a, scratch, &target, &e) != 0)
		log_trouble(&e);
	original = read_return_path(s, rcpt, &target, scratch);
	v = policy_recipient(&s->facts);
	if (v.action != POLICY_ACCEPT) {
		rc = session_refuse(s, &v);
	} else {
		if (original == NULL)
			original = delivery_address(
			    rcpt, a.literal_is_own, &target, scratch);
		add_recipient(s, original, p, &v);
		rc = session_reply(s, v.code, v.enhanced, "%s", v.text);
	}
	s->facts.recipient = "";
	return rc;
}

static int
read_rcpt(struct session *s, struct slice path, struct pool *scratch)
{
	struct address rcpt;
	struct rcpt_params params;
	struct slice rest;
	enum params_result r;
	struct err e;

	if (address_parse_path(path, ADDRESS_NO_DOMAIN | ADDRESS_UTF8, scratch,
		&rcpt, &rest, &e) != 0)
		return session_reply(
		    s, 501, "5.1.3", "Bad recipient address: %s", e.text);
	r = rcpt_params_parse(rest,
	    (s->tx.envelope.flags & ENVELOPE_SMTPUTF8) != 0, scratch, &params);
	if (r != PARAMS_OK)
		return refuse_params(s, r);
	if (!(s->tx.envelope.flags & ENVELOPE_SMTPUTF8) &&
	    !slice_is_ascii(slice_of(path.data, path.len - rest.len)))
		return session_reply(s, 553, "5.6.7", "Address needs SMTPUTF8");
	return judge_rcpt(s, &rcpt, &params, scratch);
}

int
smtp_rcpt(void *session, struct slice args)
{
	struct session *s = session;
	int64_t max = settings_int(s->settings, SET_SESSION_MAX_RECIPIENTS);
	/* so that recipients refused or given twice leave nothing behind */
	struct pool scratch = { 0 };
	struct slice path;
	int rc;

	if (!cut_keyword(args, "TO:", &path))
		return session_reply(s, 501, "5.5.4", "RCPT TO:<address>");
	if ((int64_t)s->tx.envelope.recipient_count >= max) {
		rc = session_reply(s, 452, "4.5.3", "Too many recipients");
		s->errors--; /* it may send them later, RFC 5321 4.5.3.1.10 */
		return rc;
	}
	rc = read_rcpt(s, path, &scratch);
	pool_release(&scratch);
	return rc;
}
