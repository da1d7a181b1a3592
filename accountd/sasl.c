/*
 * The one file that knows GNU SASL's server side.  The library asks for
 * properties by callback; the answers come from auth.c.
 *
 * Invariants: channel binding data is given only where the -PLUS mechanism was
 * offered, which is what makes a stripped offer fail (RFC 5802 6); an
 * authorisation identity must mean the account that signs in.
 */
#include "sasl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"

struct sasl {
	struct core *core;
	Gsasl_session *session;
	struct auth_attempt attempt;
	enum auth_result result; /* of the attempt; AUTH_MORE until decided */
	bool is_plain, is_login, is_first;
	bool finishing; /* SCRAM's last words are out, an empty answer is due */
};

static const char *const mechanisms[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256",
	"SCRAM-SHA-256-PLUS" };

static void
set_base64(Gsasl_session *session, Gsasl_property property, const uint8_t *data,
    size_t len)
{
	struct buf b;

	buf_init(&b, 128);
	base64_encode(data, len, &b);
	(void)gsasl_property_set(session, property, b.data);
	mem_wipe(b.data, b.len);
	buf_release(&b);
}

static struct slice
property(Gsasl_session *session, Gsasl_property name)
{
	return slice_str(gsasl_property_fast(session, name));
}

/* The name the client gave; the attempt begins with it, once. */
static enum auth_result
begin(struct sasl *s)
{
	if (!s->attempt.begun)
		s->result = auth_begin(
		    s->core, &s->attempt, property(s->session, GSASL_AUTHID));
	return s->result;
}

static int
answer_scram(struct sasl *s, Gsasl_property asked)
{
	const struct password_keys *k = &s->attempt.keys;
	char text[16];

	if (begin(s) != AUTH_MORE)
		return GSASL_AUTHENTICATION_ERROR;
	snprintf(text, sizeof(text), "%u", k->iterations);
	if (asked == GSASL_SCRAM_ITER)
		return gsasl_property_set(s->session, asked, text);
	if (asked == GSASL_SCRAM_SALT)
		set_base64(s->session, asked, k->salt, sizeof(k->salt));
	else if (asked == GSASL_SCRAM_STOREDKEY)
		set_base64(
		    s->session, asked, k->stored_key, sizeof(k->stored_key));
	else
		set_base64(
		    s->session, asked, k->server_key, sizeof(k->server_key));
	return GSASL_OK;
}

/* RFC 4616 2: authorisation as somebody else is for nobody. */
static bool
authzid_fits(struct sasl *s)
{
	struct slice authzid = property(s->session, GSASL_AUTHZID);
	struct dir_account other;
	struct err e;

	if (authzid.len == 0)
		return true;
	return s->attempt.found &&
	    dir_find_login(s->core->directory, authzid, &s->attempt.pool,
		&other, &e) == DIR_FOUND &&
	    other.id == s->attempt.account.id;
}

static int
validate_simple(struct sasl *s)
{
	if (begin(s) != AUTH_MORE)
		return GSASL_AUTHENTICATION_ERROR;
	s->result = auth_verify(
	    s->core, &s->attempt, property(s->session, GSASL_PASSWORD));
	if (s->result == AUTH_OK && !authzid_fits(s)) {
		s->attempt.reason = "other-authorisation";
		s->result = AUTH_FAILED;
	}
	s->result = auth_finish(s->core, &s->attempt, s->result);
	return s->result == AUTH_OK ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

static int
callback(Gsasl *ctx, Gsasl_session *session, Gsasl_property asked)
{
	struct sasl *s = gsasl_session_hook_get(session);

	(void)ctx;
	if (s == NULL)
		return GSASL_NO_CALLBACK;
	if (asked == GSASL_VALIDATE_SIMPLE)
		return validate_simple(s);
	if (asked == GSASL_SCRAM_ITER || asked == GSASL_SCRAM_SALT ||
	    asked == GSASL_SCRAM_STOREDKEY || asked == GSASL_SCRAM_SERVERKEY)
		return answer_scram(s, asked);
	if (asked == GSASL_CB_TLS_EXPORTER && s->attempt.client.has_exporter) {
		set_base64(session, asked, s->attempt.client.exporter,
		    sizeof(s->attempt.client.exporter));
		return GSASL_OK;
	}
	return GSASL_NO_CALLBACK;
}

int
sasl_init(struct core *c)
{
	if (gsasl_init(&c->gsasl) != GSASL_OK)
		return -1;
	gsasl_callback_set(c->gsasl, callback);
	return 0;
}

void
sasl_release(struct core *c)
{
	if (c->gsasl != NULL)
		gsasl_done(c->gsasl);
	c->gsasl = NULL;
}

struct sasl *
sasl_new(
    struct core *c, const char *mechanism, const struct auth_client *client)
{
	const char *name = NULL;
	struct sasl *s;

	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
		if (ascii_casecmp(mechanism, mechanisms[i]) == 0)
			name = mechanisms[i];
	if (name == NULL || (name == mechanisms[3] && !client->has_exporter))
		return NULL;
	s = mem_zalloc(sizeof(*s));
	*s = (struct sasl){ .core = c,
		.result = AUTH_MORE,
		.is_plain = name == mechanisms[0],
		.is_login = name == mechanisms[1],
		.is_first = true };
	s->attempt.client = *client;
	s->attempt.mechanism = name;
	if (gsasl_server_start(c->gsasl, name, &s->session) != GSASL_OK) {
		free(s);
		return NULL;
	}
	gsasl_session_hook_set(s->session, s);
	return s;
}

void
sasl_free(struct sasl *s)
{
	if (s == NULL)
		return;
	gsasl_finish(s->session);
	auth_attempt_release(&s->attempt);
	free(s);
}

const struct auth_attempt *
sasl_attempt(const struct sasl *s)
{
	return &s->attempt;
}

/*
 * The library hands texts on as C strings; a NUL where none belongs would cut
 * a name or a password silently.
 */
static bool
nuls_are_right(const struct sasl *s, struct slice in)
{
	size_t nuls = 0;

	for (size_t i = 0; i < in.len; i++)
		nuls += in.data[i] == '\0';
	return nuls == (s->is_plain && in.len > 0 ? 2 : 0);
}

/* What the library's verdict means once it is not "more". */
static enum auth_result
conclude(struct sasl *s, int code)
{
	if (s->result != AUTH_MORE) /* decided in the callback */
		return s->result;
	if (code == GSASL_OK && !authzid_fits(s)) {
		s->attempt.reason = "other-authorisation";
		code = GSASL_AUTHENTICATION_ERROR;
	}
	if (code == GSASL_OK && s->attempt.begun)
		return auth_finish(s->core, &s->attempt, AUTH_OK);
	if (code == GSASL_AUTHENTICATION_ERROR && s->attempt.begun)
		return auth_finish(s->core, &s->attempt, AUTH_FAILED);
	/* Refused before there was a name: a channel binding cut away. */
	return code == GSASL_AUTHENTICATION_ERROR ? AUTH_FAILED : AUTH_SYNTAX;
}

static enum auth_result
run(struct sasl *s, struct slice input, struct buf *out)
{
	char *text = NULL;
	size_t len = 0;
	int code = gsasl_step(s->session, input.data, input.len, &text, &len);

	if (code == GSASL_NEEDS_MORE || (code == GSASL_OK && len > 0))
		buf_add(out, text, len);
	gsasl_free(text);
	if (code == GSASL_NEEDS_MORE)
		return AUTH_MORE;
	s->result = conclude(s, code);
	if (s->result == AUTH_OK && out->len > 0) {
		s->finishing = true;
		return AUTH_MORE;
	}
	return s->result;
}

enum auth_result
sasl_step(struct sasl *s, struct slice input, struct buf *out)
{
	bool first = s->is_first;

	s->is_first = false;
	if (s->finishing)
		return input.len == 0 ? s->result : AUTH_SYNTAX;
	if (!nuls_are_right(s, input))
		return AUTH_SYNTAX;
	if (first && s->is_login && input.data != NULL) {
		/* The library asks for the name first; here it is already. */
		if (run(s, slice_of(NULL, 0), out) != AUTH_MORE)
			return AUTH_SYNTAX;
		buf_reset(out);
	}
	return run(s, input, out);
}
