/*
 * `mailstead submit`, also as sendmail(8): a message from standard input into
 * the server, as a local program's.
 *
 * It speaks SMTP to mtad over run/submit.sock, or to an mtad started for this
 * one message when none runs, so a local message meets the same rules, limits
 * and header repairs as any other submission.  mtad knows who asks from the
 * socket's credentials.
 */
#include "mailstead/submit.h"

#include <sys/socket.h>

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"
#include "directory/directory.h"
#include "mail/header.h"
#include "net/sock.h"
#include "net/stream.h"

#include "mailstead/ask.h"

enum {
	MESSAGE_MAX = 1024 * 1024 * 1024,
	RECIPIENTS_MAX = 100000,
	REPLY_MAX = 2048,
	TIMEOUT_MS = 600000,
	SMTP_GO_ON = 354,
};

struct submission {
	char *sender;
	char **recipients;
	size_t count, alloc;
	struct buf message; /* LF line ends, no Bcc */
};

static void
add_recipient(struct submission *m, struct slice address)
{
	if (m->count >= RECIPIENTS_MAX)
		return;
	m->recipients = mem_grow(
	    m->recipients, &m->alloc, m->count + 1, sizeof(m->recipients[0]));
	m->recipients[m->count++] = mem_strndup(address.data, address.len);
}

/* --- reading ----------------------------------------------------------------------- */

/* Standard input; a lone dot ends it unless `dots` are just text. */
static int
read_message(struct buf *out, bool dots, struct err *e)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) >= 0) {
		if (len > 1 && line[len - 1] == '\n' && line[len - 2] == '\r')
			line[--len - 1] = '\n';
		if (!dots && len == 2 && line[0] == '.' && line[1] == '\n')
			break;
		buf_add(out, line, (size_t)len);
	}
	free(line);
	if (out->len > 0 && out->data[out->len - 1] != '\n')
		buf_add(out, "\n", 1);
	if (ferror(stdin) || buf_overflowed(out))
		return err_set(e, ERR_PERM, "the message is too large");
	return 0;
}

/* Recipients from the header, which keeps no Bcc. */
static void
take_header_recipients(struct submission *m, bool wanted)
{
	struct header_scan scan = { buf_slice(&m->message) };
	struct header_field field;
	struct buf kept;

	buf_init(&kept, MESSAGE_MAX);
	while (header_next(&scan, &field)) {
		bool bcc = header_is(&field, "Bcc");
		bool to =
		    bcc || header_is(&field, "To") || header_is(&field, "Cc");
		struct slice rest = field.value;
		struct slice address;

		while (to && wanted && header_next_address(&rest, &address))
			add_recipient(m, address);
		if (!bcc)
			buf_addslice(&kept, field.raw);
	}
	buf_addslice(&kept, scan.rest);
	buf_release(&m->message);
	m->message = kept;
}

/* --- speaking ----------------------------------------------------------------------- */

/* A reply's code and its last line's text. */
static int
read_reply(
    struct stream *s, int *code_out, char *text, size_t size, struct err *e)
{
	struct slice line;
	uint64_t code;

	do {
		if (stream_read_line(s, REPLY_MAX, &line, NULL, e) != 0)
			return err_prefix(e, "mtad");
		if (line.len < 3 ||
		    !num_parse(slice_of(line.data, 3), 599, &code))
			return err_set(e, ERR_TEMP, "mtad: not a reply");
	} while (line.len > 3 && line.data[3] == '-');
	*code_out = (int)code;
	snprintf(text, size, "%.*s", SLICE_ARGS(slice_skip(line, 4)));
	return 0;
}

/* Send a command and expect a reply of the 2xx or 354 kind. */
static int
say(struct stream *s, char *text, size_t size, struct err *e, const char *verb,
    const char *argument, const char *end)
{
	int code;

	if (strpbrk(argument, "\r\n") != NULL)
		return err_set(e, ERR_PERM, "line break in an address");
	if (stream_printf(s, e, "%s%s%s\r\n", verb, argument, end) != 0 ||
	    read_reply(s, &code, text, size, e) != 0)
		return -1;
	if (code / 100 == 2 || code == SMTP_GO_ON)
		return 0;
	return err_set(e, code / 100 == 4 ? ERR_TEMP : ERR_PERM, "%s%s%s",
	    argument, argument[0] != '\0' ? ": " : "", text);
}

static int
send_text(struct stream *s, const struct buf *message, struct err *e)
{
	struct slice rest = buf_slice(message);
	struct slice line;

	while (rest.len > 0) {
		rest = slice_cut(rest, '\n', &line);
		if ((line.len > 0 && line.data[0] == '.' &&
			stream_write(s, ".", 1, e) != 0) ||
		    stream_write(s, line.data, line.len, e) != 0 ||
		    stream_write(s, "\r\n", 2, e) != 0)
			return -1;
	}
	return 0;
}

/* The whole dialogue; `text` is the answer to the message. */
static int
converse(struct stream *s, const struct submission *m, char *text, size_t size,
    struct err *e)
{
	int code;

	if (read_reply(s, &code, text, size, e) != 0)
		return -1;
	if (code != 220)
		return err_set(e, ERR_TEMP, "mtad: %s", text);
	if (say(s, text, size, e, "EHLO ", "localhost", "") != 0 ||
	    say(s, text, size, e, "MAIL FROM:<", m->sender,
		"> BODY=8BITMIME SMTPUTF8") != 0)
		return -1;
	for (size_t i = 0; i < m->count; i++) {
		if (say(s, text, size, e, "RCPT TO:<", m->recipients[i], ">") !=
		    0)
			return -1;
	}
	if (say(s, text, size, e, "DATA", "", "") != 0 ||
	    send_text(s, &m->message, e) != 0 ||
	    say(s, text, size, e, ".", "", "") != 0)
		return -1;
	/* accepted: what happens to QUIT does not matter */
	if (stream_printf(s, e, "QUIT\r\n") == 0)
		(void)!stream_flush(s, e);
	return 0;
}

static int
connect_mtad(struct cli *c, int *fd_out, struct err *e)
{
	char path[CONFIG_PATH_SIZE * 2];

	if (config_path(&c->config, path, sizeof(path), e, "run/submit.sock") !=
	    0)
		return -1;
	if (sock_connect_unix(path, SOCK_STREAM, fd_out, e) == 0)
		return 0;
	return ask_start(c, "mtad", SOCK_STREAM, fd_out, e);
}

static int
deliver(struct cli *c, const struct submission *m, char *text, size_t size,
    struct err *e)
{
	struct stream s;
	int fd;

	if (connect_mtad(c, &fd, e) != 0)
		return -1;
	stream_init(&s, fd);
	stream_set_timeout(&s, TIMEOUT_MS);
	int result = converse(&s, m, text, size, e);
	stream_release(&s);
	return result;
}

/* --- the command ---------------------------------------------------------------------- */

/* Would mail to it in the default domain arrive?  Its address then. */
static char *
address_here(struct directory *d, const char *name)
{
	struct dir_target t;
	struct pool pool = { 0 };
	char *address = NULL;
	struct err e;

	if (dir_resolve(d, slice_str(name), "", &pool, &t, &e) == DIR_FOUND)
		address = mem_printf("%s@%s", name, t.domain.name);
	pool_release(&pool);
	return address;
}

/*
 * Who runs this, where reports can be read: an address of that name, else
 * postmaster, in the default domain.  Without one, at this host.
 */
static int
default_sender(struct cli *c, char **out, struct err *e)
{
	struct passwd *pw = getpwuid(getuid()); /* single-threaded */
	const char *name = pw != NULL ? pw->pw_name : "nobody";
	struct directory *d;
	struct settings *all;

	if (directory_open(c->config.state_dir, &d, e) != 0)
		return -1;
	*out = address_here(d, name);
	if (*out == NULL)
		*out = address_here(d, "postmaster");
	if (*out == NULL) {
		all = directory_settings(d);
		*out =
		    mem_printf("%s@%s", name, settings_text(all, SET_HOSTNAME));
		settings_free(all);
	}
	directory_close(d);
	return 0;
}

/* What sendmail's options asked for. */
struct wishes {
	bool from_header; /* -t */
	bool dots;        /* -i */
};

static bool
is_one_of(const char *arg, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (strcmp(arg, *list) == 0)
			return true;
	}
	return false;
}

/*
 * One option; `next` is the argument behind it.  Returns how many arguments
 * it took, 0 when there is no such option.
 */
static int
take_option(struct submission *m, struct wishes *wishes, const char *arg,
    const char *next)
{
	static const char *const dots[] = { "-i", "-oi", "-ti", "-it", NULL };

	if (arg[1] == 'f' || arg[1] == 'r') {
		const char *value = arg[2] ? arg + 2 : next;
		if (value == NULL)
			return 0;
		free(m->sender);
		m->sender = mem_strdup(strcmp(value, "<>") == 0 ? "" : value);
		return arg[2] ? 1 : 2;
	}
	if (strcmp(arg, "-t") == 0 || is_one_of(arg, dots)) {
		wishes->from_header |= strchr(arg, 't') != NULL;
		wishes->dots |= strchr(arg, 'i') != NULL;
		return 1;
	}
	/* known to sendmail, without meaning here; some have a value */
	if (strchr("oBFNRVXOLGmnvUe", arg[1]) == NULL)
		return 0;
	return strchr("FNRVXOL", arg[1]) != NULL && !arg[2] ? 2 : 1;
}

static int
take_arguments(struct cli *c, struct submission *m, struct wishes *wishes)
{
	bool options = true;

	for (int i = 0; i < c->argc;) {
		char *arg = c->argv[i];

		if (options && strcmp(arg, "--") == 0) {
			options = false;
			i++;
		} else if (options && arg[0] == '-') {
			int taken = take_option(m, wishes, arg,
			    i + 1 < c->argc ? c->argv[i + 1] : NULL);
			if (taken == 0)
				return cli_usage("submit: option %s?", arg);
			i += taken;
		} else {
			add_recipient(m, slice_str(arg));
			i++;
		}
	}
	c->argc = 0;
	return CLI_DONE;
}

int
command_submit(struct cli *c)
{
	struct submission m = { 0 };
	struct wishes wishes = { 0 };
	char text[REPLY_MAX];
	struct err e;

	buf_init(&m.message, MESSAGE_MAX);
	int result = take_arguments(c, &m, &wishes);
	if (result != CLI_DONE)
		return result;
	if (read_message(&m.message, wishes.dots, &e) != 0)
		return cli_fail(&e);
	if (m.sender == NULL && default_sender(c, &m.sender, &e) != 0)
		return cli_fail(&e);
	take_header_recipients(&m, wishes.from_header);
	if (m.count == 0)
		return cli_usage("submit: no recipients");
	if (deliver(c, &m, text, sizeof(text), &e) != 0)
		return cli_fail(&e);
	const char *id = strrchr(text, ' ');
	if (c->json) {
		json_t *o = json_pack("{s:s}", "id", id ? id + 1 : "");
		cli_print_json(o);
		json_decref(o);
	}
	for (size_t i = 0; i < m.count; i++)
		free(m.recipients[i]);
	free(m.recipients);
	free(m.sender);
	buf_release(&m.message);
	return CLI_DONE;
}
