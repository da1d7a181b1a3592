/*
 * Asking accountd: packets out and in over a few kept connections, and the
 * shapes of the sign-in verbs.  No decision about anybody is made here.
 *
 * Invariants: a connection goes back to the idle ones only after a whole
 * answer; one with an unfinished SASL exchange is closed instead, which ends
 * the exchange on the other side.  Requests that carry passwords are wiped.
 * Any thread may call; an auth_exchange belongs to one.
 */
#include "directory/accountd.h"

#include <sys/socket.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "directory/json_file.h"
#include "net/sock.h"

enum {
	IDLE_MAX = 4,
	AUTH_TIMEOUT_MS = 30000
};

struct accountd {
	char *path; /* NULL: one given connection */
	pthread_mutex_t lock;
	int idle[IDLE_MAX];
	unsigned idle_count;
	bool has_srs_key;
	uint8_t srs_key[32];
};

static struct accountd *
new_client(char *path)
{
	struct accountd *a = mem_zalloc(sizeof(*a));

	a->path = path;
	pthread_mutex_init(&a->lock, NULL);
	return a;
}

struct accountd *
accountd_new(const char *state_dir, const char *program)
{
	return new_client(
	    mem_printf("%s/run/accountd/%s.sock", state_dir, program));
}

struct accountd *
accountd_at(const char *path)
{
	return new_client(mem_strdup(path));
}

struct accountd *
accountd_from_fd(int fd)
{
	struct accountd *a = new_client(NULL);

	a->idle[a->idle_count++] = fd;
	return a;
}

void
accountd_free(struct accountd *a)
{
	if (a == NULL)
		return;
	while (a->idle_count > 0)
		close(a->idle[--a->idle_count]);
	pthread_mutex_destroy(&a->lock);
	free(a->path);
	free(a);
}

/* --- Connections ---------------------------------------------------------- */

/* Nothing is sent unasked, so an idle connection that is readable is dead. */
static bool
is_alive(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static int
take_connection(struct accountd *a, struct err *e)
{
	int fd = -1;

	while (fd < 0) {
		pthread_mutex_lock(&a->lock);
		if (a->idle_count > 0)
			fd = a->idle[--a->idle_count];
		pthread_mutex_unlock(&a->lock);
		if (fd < 0)
			break;
		if (is_alive(fd))
			return fd;
		close(fd);
		fd = -1;
	}
	if (a->path == NULL)
		err_set(e, ERR_TEMP, "accountd ended");
	else if (sock_connect_unix(a->path, SOCK_SEQPACKET, &fd, e) != 0)
		e->kind = ERR_TEMP;
	return fd;
}

static void
keep_connection(struct accountd *a, int fd)
{
	bool kept = false;

	pthread_mutex_lock(&a->lock);
	if (a->idle_count < IDLE_MAX) {
		a->idle[a->idle_count++] = fd;
		kept = true;
	}
	pthread_mutex_unlock(&a->lock);
	if (!kept)
		close(fd);
}

static int
receive(int fd, int64_t deadline, json_t **reply_out, struct err *e)
{
	char *packet = mem_alloc(ACCOUNTD_PACKET_MAX);
	json_error_t je;
	ssize_t n;

	n = sock_recv_packet(
	    fd, packet, ACCOUNTD_PACKET_MAX, NULL, deadline, e);
	if (n > 0) {
		*reply_out =
		    json_loadb(packet, (size_t)n, JSON_REJECT_DUPLICATES, &je);
		if (!json_is_object(*reply_out)) {
			json_decref(*reply_out);
			n = err_set(e, ERR_TEMP, "accountd: %s", je.text);
		}
	} else if (n == 0) {
		n = err_set(e, ERR_TEMP, "accountd closed the connection");
	}
	mem_wipe(packet, n > 0 ? (size_t)n : 0);
	free(packet);
	if (n < 0)
		e->kind = ERR_TEMP;
	return n < 0 ? -1 : 0;
}

/* The text is jansson's memory, but ours to overwrite before it is freed. */
static void
wipe_text(json_t *text)
{
	const char *value = json_string_value(text);
	char *p;

	memcpy(&p, &value, sizeof(p));
	mem_wipe(p, json_string_length(text));
}

static void
free_request(json_t *request)
{
	static const char *const secrets[] = { "password", "initial",
		"response" };

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		wipe_text(json_object_get(request, secrets[i]));
	json_decref(request);
}

/* One packet each way; takes `request`; on -1 the connection is of no use. */
static int
exchange(
    int fd, json_t *request, int timeout_ms, json_t **reply_out, struct err *e)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	char *packet = mem_alloc(ACCOUNTD_PACKET_MAX);
	size_t len =
	    json_dumpb(request, packet, ACCOUNTD_PACKET_MAX, JSON_COMPACT);
	int r;

	free_request(request);
	if (len == 0 || len > ACCOUNTD_PACKET_MAX) {
		mem_wipe(packet, ACCOUNTD_PACKET_MAX);
		free(packet);
		return err_set(e, ERR_PERM, "request to accountd too large");
	}
	r = sock_send_packet(fd, packet, len, -1, deadline, e);
	mem_wipe(packet, len);
	free(packet);
	if (r != 0) {
		e->kind = ERR_TEMP;
		return -1;
	}
	return receive(fd, deadline, reply_out, e);
}

static enum err_kind
kind_of(const char *word)
{
	if (strcmp(word, "perm") == 0)
		return ERR_PERM;
	if (strcmp(word, "syntax") == 0)
		return ERR_SYNTAX;
	return ERR_TEMP;
}

/* An answer with "ok": false becomes the error it carries. */
static int
check_reply(json_t *reply, struct err *e)
{
	if (json_is_true(json_object_get(reply, "ok")))
		return 0;
	err_set(e, kind_of(json_text(reply, "kind")), "%s",
	    json_text(reply, "text"));
	json_decref(reply);
	return -1;
}

int
accountd_ask(struct accountd *a, json_t *request, int timeout_ms,
    json_t **reply_out, struct err *e)
{
	int fd = take_connection(a, e);

	if (fd < 0) {
		free_request(request);
		return -1;
	}
	if (exchange(fd, request, timeout_ms, reply_out, e) != 0) {
		close(fd);
		return -1;
	}
	keep_connection(a, fd);
	return 0;
}

int
accountd_call(struct accountd *a, json_t *request, int timeout_ms,
    json_t **reply_out, struct err *e)
{
	json_t *reply;

	if (accountd_ask(a, request, timeout_ms, &reply, e) != 0 ||
	    check_reply(reply, e) != 0)
		return -1;
	*reply_out = reply;
	return 0;
}

int
accountd_read_srs_key(const json_t *reply, uint8_t out[32], struct err *e)
{
	const char *text = json_string_value(json_object_get(reply, "key"));
	struct buf raw;
	int rc = 0;

	buf_init(&raw, 32);
	if (base64_decode(slice_str(text), &raw) && raw.len == 32)
		memcpy(out, raw.data, 32);
	else
		rc = err_set(e, ERR_TEMP, "accountd: no key in the answer");
	mem_wipe(raw.data, raw.len);
	buf_release(&raw);
	return rc;
}

int
accountd_srs_key(
    struct accountd *a, int timeout_ms, uint8_t out[32], struct err *e)
{
	json_t *reply = NULL;
	bool have;
	int rc;

	pthread_mutex_lock(&a->lock);
	have = a->has_srs_key;
	memcpy(out, a->srs_key, sizeof(a->srs_key));
	pthread_mutex_unlock(&a->lock);
	if (have)
		return 0;
	if (accountd_call(a, json_pack("{s:s}", "verb", "srs key"), timeout_ms,
		&reply, e) != 0)
		return -1;
	rc = accountd_read_srs_key(reply, out, e);
	json_decref(reply);
	if (rc == 0) {
		pthread_mutex_lock(&a->lock);
		memcpy(a->srs_key, out, sizeof(a->srs_key));
		a->has_srs_key = true;
		pthread_mutex_unlock(&a->lock);
	}
	return rc;
}

int
accountd_count_sent(struct accountd *a, const char *address, bool one_more,
    int timeout_ms, int64_t *count_out, struct err *e)
{
	json_t *reply;

	if (accountd_call(a,
		json_pack("{s:s,s:s,s:b}", "verb", "user sent", "address",
		    address, "one_more", one_more),
		timeout_ms, &reply, e) != 0)
		return -1;
	*count_out = json_integer_value(json_object_get(reply, "count"));
	json_decref(reply);
	return 0;
}

int
accountd_ban_limit(struct accountd *a, const char *ip, const char *session_id,
    int timeout_ms, struct err *e)
{
	json_t *reply;

	if (accountd_call(a,
		json_pack("{s:s,s:s,s:s}", "verb", "ban limit", "ip", ip,
		    "log_id", session_id),
		timeout_ms, &reply, e) != 0)
		return -1;
	json_decref(reply);
	return 0;
}

int
accountd_may_deliver(struct accountd *a, const char *ip, int timeout_ms,
    bool *out, struct err *e)
{
	json_t *reply;

	if (accountd_call(a,
		json_pack("{s:s,s:s}", "verb", "ban delivery", "ip", ip),
		timeout_ms, &reply, e) != 0)
		return -1;
	*out = !json_is_true(json_object_get(reply, "banned"));
	json_decref(reply);
	return 0;
}

/* --- Signing in ----------------------------------------------------------- */

const char *
auth_mechanisms(void)
{
	return "SCRAM-SHA-256 PLAIN LOGIN";
}

static json_t *
base64_json(struct slice s)
{
	struct buf b;
	json_t *value;

	buf_init(&b, ACCOUNTD_PACKET_MAX);
	base64_encode(s.data, s.len, &b);
	value = json_stringn(b.data, b.len);
	mem_wipe(b.data, b.len);
	buf_release(&b);
	return value;
}

static void
put_slice(json_t *request, const char *key, struct slice s)
{
	if (s.data == NULL)
		return;
	if (utf8_is_valid(s))
		json_object_set_new(
		    request, key, json_stringn_nocheck(s.data, s.len));
	else /* never base64 then: accountd says what is wrong with it */
		json_object_set_new(request, key, json_string("!"));
}

static void
put_peer(json_t *request, const struct auth_peer *peer)
{
	json_object_set_new(request, "service", json_string(peer->service));
	json_object_set_new(request, "ip", json_string(peer->ip));
	json_object_set_new(request, "log_id", json_string(peer->session_id));
	json_object_set_new(request, "tls", json_boolean(peer->tls));
	if (peer->exporter != NULL)
		json_object_set_new(request, "exporter",
		    base64_json(slice_of((const char *)peer->exporter, 32)));
}

static enum auth_result
result_of(json_t *reply)
{
	static const struct {
		const char *word;
		enum auth_result result;
	} words[] = {
		{ "more", AUTH_MORE },
		{ "ok", AUTH_OK },
		{ "failed", AUTH_FAILED },
		{ "syntax", AUTH_SYNTAX },
	};

	const char *word = json_text(reply, "result");

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i].word) == 0)
			return words[i].result;
	return AUTH_BUSY;
}

static void
set_string(char **where, const char *text)
{
	free(*where);
	*where = mem_strdup(text);
}

/* Ask over x->fd and take the answer apart; takes the request. */
static enum auth_result
ask(struct auth_exchange *x, json_t *request)
{
	enum auth_result result = AUTH_BUSY;
	json_t *reply;
	struct err e;
	bool failed =
	    exchange(x->fd, request, AUTH_TIMEOUT_MS, &reply, &e) != 0;

	if (failed) {
		close(x->fd);
		x->fd = 0;
		set_string(&x->text, e.text);
		return AUTH_BUSY;
	}
	if (check_reply(reply, &e) != 0) {
		if (e.kind == ERR_SYNTAX)
			result = AUTH_SYNTAX;
		set_string(&x->text, e.text);
	} else {
		result = result_of(reply);
		set_string(&x->text,
		    json_text(
			reply, result == AUTH_MORE ? "challenge" : "text"));
		if (result == AUTH_OK)
			set_string(&x->account, json_text(reply, "account"));
		json_decref(reply);
	}
	if (result != AUTH_MORE) {
		keep_connection(x->accountd, x->fd);
		x->fd = 0;
	}
	return result;
}

static enum auth_result
begin(struct accountd *a, json_t *request, const struct auth_peer *peer,
    struct auth_exchange *x)
{
	struct err e;
	int fd = take_connection(a, &e);

	*x = (struct auth_exchange){ .accountd = a };
	if (fd < 0) {
		free_request(request);
		set_string(&x->text, e.text);
		return AUTH_BUSY;
	}
	x->fd = fd;
	put_peer(request, peer);
	return ask(x, request);
}

enum auth_result
auth_start(struct accountd *a, const char *mechanism, struct slice initial,
    const struct auth_peer *peer, struct auth_exchange *x)
{
	json_t *request =
	    json_pack("{ss,ss}", "verb", "auth start", "mechanism", mechanism);

	if (request == NULL) { /* a mechanism that is not UTF-8 */
		*x = (struct auth_exchange){ .accountd = a };
		set_string(&x->text, "malformed mechanism");
		return AUTH_SYNTAX;
	}
	put_slice(request, "initial", initial);
	return begin(a, request, peer, x);
}

enum auth_result
auth_step(struct auth_exchange *x, struct slice response)
{
	json_t *request;

	if (x->fd <= 0)
		return AUTH_BUSY;
	request = json_pack("{ss}", "verb", "auth step");
	put_slice(
	    request, "response", response.data ? response : SLICE_LIT(""));
	return ask(x, request);
}

enum auth_result
auth_password(struct accountd *a, struct slice login, struct slice password,
    const struct auth_peer *peer, struct auth_exchange *x)
{
	json_t *request = json_pack("{ss}", "verb", "auth password");

	json_object_set_new(request, "login", base64_json(login));
	json_object_set_new(request, "password", base64_json(password));
	return begin(a, request, peer, x);
}

void
auth_release(struct auth_exchange *x)
{
	if (x->fd > 0)
		close(x->fd);
	free(x->account);
	free(x->text);
	*x = (struct auth_exchange){ 0 };
}
