/*
 * How the command line reaches accountd and the runner: over their sockets
 * when they run, else through one started for this command, which serves one
 * end of a socket pair and ends with it.  Either way the same program does the
 * work, and decides who asks from the socket's credentials.
 */
#include "mailstead/ask.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/sock.h"

enum {
	PACKET_SIZE = 65536,
	ANSWER_TIMEOUT_MS = 60000
};

int
ask_start(struct cli *c, const char *program, int socktype, int *fd_out,
    struct err *e)
{
	char path[CONFIG_PATH_SIZE * 2];
	char number[16];
	int pair[2];

	if (cli_program_path(program, path, sizeof(path), e) != 0)
		return -1;
	if (socketpair(AF_UNIX, socktype | SOCK_CLOEXEC, 0, pair) != 0)
		return err_errno(e, "socketpair");
	pid_t pid = fork();
	if (pid < 0) {
		err_errno(e, "fork");
		close(pair[0]);
		close(pair[1]);
		return -1;
	}
	if (pid == 0) {
		int fd = dup(pair[1]); /* without O_CLOEXEC */
		snprintf(number, sizeof(number), "%d", fd);
		execl(path, program, "--state", c->config.state_dir,
		    "--serve-fd", number, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	*fd_out = pair[0];
	return 0;
}

/* A program asked over its socket or, if it does not run, started. */
struct asked {
	const char *program;
	const char *socket;
	int fd; /* one connection for the whole run of this program; -1: none */
};

static struct asked accountd = { "accountd", "run/accountd/mailstead.sock",
	-1 };
static struct asked runner = { "queue-runner", "run/queue.sock", -1 };

static int
connection(struct cli *c, struct asked *a, struct err *e)
{
	char path[CONFIG_PATH_SIZE * 2];

	if (a->fd >= 0)
		return 0;
	if (config_path(&c->config, path, sizeof(path), e, "%s", a->socket) !=
	    0)
		return -1;
	if (sock_connect_unix(path, SOCK_SEQPACKET, &a->fd, e) == 0)
		return 0;
	a->fd = -1;
	return ask_start(c, a->program, SOCK_SEQPACKET, &a->fd, e);
}

static int
answer_error(const json_t *reply, struct err *e)
{
	static const struct {
		const char *name;
		enum err_kind kind;
	} kinds[] = {
		{ "temp", ERR_TEMP },
		{ "syntax", ERR_SYNTAX },
		{ "timeout", ERR_TIMEOUT },
	};

	const char *kind = json_string_value(json_object_get(reply, "kind"));
	const char *text = json_string_value(json_object_get(reply, "text"));
	enum err_kind found = ERR_PERM;

	for (size_t i = 0; kind != NULL && i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].name, kind) == 0)
			found = kinds[i].kind;
	}
	return err_set(
	    e, found, "%s", text ? text : "refused without a reason");
}

static int
exchange(struct asked *a, const char *packet, json_t **reply_out, struct err *e)
{
	int64_t deadline = clock_mono_ms() + ANSWER_TIMEOUT_MS;
	if (sock_send_packet(a->fd, packet, strlen(packet), -1, deadline, e) !=
	    0)
		return err_prefix(e, "%s", a->program);
	char *answer = mem_alloc(PACKET_SIZE);
	ssize_t len =
	    sock_recv_packet(a->fd, answer, PACKET_SIZE, NULL, deadline, e);
	json_t *reply = NULL;
	if (len > 0)
		reply = json_loadb(
		    answer, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
	mem_wipe(answer, PACKET_SIZE);
	free(answer);
	if (len < 0)
		return err_prefix(e, "%s", a->program);
	if (reply == NULL)
		return err_set(e, ERR_TEMP, "%s does not answer", a->program);
	if (!json_is_true(json_object_get(reply, "ok"))) {
		answer_error(reply, e);
		json_decref(reply);
		return -1;
	}
	*reply_out = reply;
	return 0;
}

/* Steals the reference to request, which may be NULL: text was not UTF-8. */
static int
ask(struct cli *c, struct asked *a, json_t *request, json_t **reply_out,
    struct err *e)
{
	if (request == NULL)
		return err_set(e, ERR_SYNTAX, "arguments are not valid UTF-8");
	char *packet = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (packet == NULL || strlen(packet) >= PACKET_SIZE) {
		free(packet);
		return err_set(e, ERR_PERM, "arguments are too long");
	}
	int result = connection(c, a, e);
	if (result == 0)
		result = exchange(a, packet, reply_out, e);
	mem_wipe(packet, strlen(packet));
	free(packet);
	return result;
}

int
ask_runner(struct cli *c, json_t *request, json_t **reply_out, struct err *e)
{
	return ask(c, &runner, request, reply_out, e);
}

int
cli_call(struct cli *c, json_t *request, json_t **reply_out, struct err *e)
{
	return ask(c, &accountd, request, reply_out, e);
}

int
cli_call_paged(struct cli *c, json_t *request, const char *key,
    json_t **array_out, struct err *e)
{
	json_t *all = json_array();
	json_t *reply;

	for (;;) {
		json_incref(request);
		if (cli_call(c, request, &reply, e) != 0)
			break;
		json_array_extend(all, json_object_get(reply, key));
		json_t *next = json_object_get(reply, "next");
		bool more = next != NULL && !json_is_null(next);
		if (more && json_is_object(next))
			json_object_update(request, next);
		else if (more)
			json_object_set(request, "after", next);
		json_decref(reply);
		if (more)
			continue;
		json_decref(request);
		*array_out = all;
		return 0;
	}
	json_decref(request);
	json_decref(all);
	return -1;
}

static void
print_words(const json_t *list)
{
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
		puts(json_string_value(one));
}

int
cli_list(
    struct cli *c, json_t *request, const char *key, const char *const *columns)
{
	json_t *items;
	struct err e;

	if (cli_call_paged(c, request, key, &items, &e) != 0)
		return cli_fail(&e);
	if (columns[0] == NULL && !c->json)
		print_words(items);
	else
		cli_print(c, items, columns);
	json_decref(items);
	return CLI_DONE;
}
