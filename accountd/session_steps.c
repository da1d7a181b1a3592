/*
 * What may come between the right password and a web session, in this order:
 * the code of the second factor, and a password of one's own.  Each step has a
 * token that is good for it alone, so that no page carries the password.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#include "auth.h"
#include "password.h"
#include "session.h"
#include "totp.h"

#define STEP_CODE     "code"
#define STEP_PASSWORD "new-password"

/* Without a code in the request it is asked for. */
static int
check_code(struct request *q, struct auth_attempt *a, enum auth_result *r,
    struct err *e)
{
	const char *code;
	int got;

	if (!a->needs_code)
		return 0;
	if (req_optional(q, "code", &code, e) != 0)
		return -1;
	if (code == NULL) {
		*r = AUTH_MORE;
		a->reason = STEP_CODE;
		return 0;
	}
	got = totp_check(q->core->secrets, a->account.id, slice_str(code),
	    clock_wall_ms(), e);
	if (got < 0)
		return -1;
	auth_code_checked(q->core, a, got > 0);
	if (got == 0)
		*r = AUTH_FAILED;
	return 0;
}

int
session_go_on(struct request *q, struct auth_attempt *a, enum auth_result r,
    struct err *e)
{
	if (r == AUTH_OK && check_code(q, a, &r, e) != 0)
		return -1;
	if (r == AUTH_OK && a->keys.must_change) {
		r = AUTH_MORE;
		a->reason = STEP_PASSWORD;
	}
	if (session_put_result(q, r, a, e) != 0)
		return -1;
	if (r != AUTH_OK && r != AUTH_MORE)
		return 0;
	return session_create(q, a, r == AUTH_MORE ? a->reason : NULL, e);
}

/*
 * The account of a sign-in that waits for `step`, into q->actor; under the
 * write lock.
 */
static int
find_pending(
    struct request *q, const char *step, struct web_session *w, struct err *e)
{
	uint8_t hash[SECRET_KEY_LEN];
	char program[sizeof(w->program)];
	const char *token;
	int got;

	if (req_string(q, "pending", &token, e) != 0)
		return -1;
	snprintf(program, sizeof(program), "%s+%s",
	    program_name(q->caller->program), step);
	token_hash(q->core->secrets, "session", slice_str(token), hash);
	got =
	    secrets_find_session(q->core->secrets, hash, clock_wall_ms(), w, e);
	if (got == 1 &&
	    (strcmp(w->program, program) != 0 ||
		w->expires_ms <= clock_wall_ms()))
		got = 0;
	if (got == 1)
		got =
		    session_load_account(q, w->account_id, clock_wall_ms(), e);
	if (got == 0)
		return refuse(q, e, "no-session", "sign in once more");
	return got < 0 ? -1 : 0;
}

/* As above; the lock is taken.  *name_out is the account's address. */
static int
take_pending(struct request *q, const char *step, struct web_session *w,
    const char **name_out, struct err *e)
{
	int r;

	pthread_mutex_lock(&q->core->write_lock);
	r = find_pending(q, step, w, e);
	pthread_mutex_unlock(&q->core->write_lock);
	*name_out = q->actor.name;
	q->actor = (struct actor){ .name = "-" };
	return r;
}

/* The second step: a code for the token that "session create" gave. */
int
verb_session_code(struct request *q, struct err *e)
{
	struct auth_attempt a = { .mechanism = "code" };
	enum auth_result r;
	struct web_session w;
	const char *name;
	int done;

	if (session_read_client(q, &a.client, e) != 0 ||
	    take_pending(q, STEP_CODE, &w, &name, e) != 0)
		return -1;
	r = auth_begin(q->core, &a, slice_str(name));
	if (r == AUTH_MORE) {
		a.needs_code = true;
		r = AUTH_OK;
	}
	done = session_go_on(q, &a, r, e);
	/* it has served when there is another token, or a session */
	if (done == 0 && !a.needs_code &&
	    json_object_get(q->out, "expires_at") != NULL &&
	    secrets_end_session(q->core->secrets, w.account_id, w.id, e) < 0)
		done = -1;
	auth_attempt_release(&a);
	return done;
}

/* --- A password of one's own ----------------------------------------------------- */

/* Not the one that somebody else has chosen. */
static int
check_is_another(struct request *q, int64_t account_id, const json_t *password,
    struct err *e)
{
	struct password_keys keys = { 0 };
	bool same = false;
	int got = secrets_password(q->core->secrets, account_id, &keys, e);

	if (got == 1 && !password_slot_take(5000))
		got = err_set(e, ERR_TEMP, "too busy: wait a moment");
	if (got == 1) {
		same = password_verify(slice_of(json_string_value(password),
					   json_string_length(password)),
		    keys.hash);
		password_slot_give();
	}
	mem_wipe(&keys, sizeof(keys));
	if (!same)
		return got < 0 ? -1 : 0;
	q->field = "password";
	return refuse(q, e, "bad-password", "password: is the old one");
}

int
prepare_session_password(struct request *q, struct err *e)
{
	json_t *password = json_object_get(q->in, "password");
	struct web_session w;
	const char *name;

	if (take_pending(q, STEP_PASSWORD, &w, &name, e) != 0 ||
	    user_check_password(q, password, name, e) != 0 ||
	    check_is_another(q, w.account_id, password, e) != 0)
		return -1;
	return password_make_keys(
	    slice_of(json_string_value(password), json_string_length(password)),
	    &q->keys, e);
}

/*
 * "password" for the token that said so: in force from now on, and the
 * session.  It is asked for, so no right to change it is needed.
 */
int
verb_session_password(struct request *q, struct err *e)
{
	struct auth_attempt a = { .mechanism = "password" };
	struct web_session w;

	if (session_read_client(q, &a.client, e) != 0 ||
	    find_pending(q, STEP_PASSWORD, &w, e) != 0)
		return -1;
	q->target.address = q->actor.name;
	q->actor.ip = pool_strdup(&q->pool, a.client.ip_text);
	q->after = json_pack("{ss}", "password", "changed");
	a.account.id = w.account_id;
	a.account.address = pool_strdup(&q->pool, q->actor.name);
	if (secrets_set_password(
		q->core->secrets, w.account_id, &q->keys, 0, e) != 0 ||
	    session_put_result(q, AUTH_OK, &a, e) != 0)
		return -1;
	return session_create(q, &a, NULL, e);
}
