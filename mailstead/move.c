/*
 * `mailstead mailbox move`: all mailboxes onto another disk.
 *
 * Copied while everything is stopped, durable before the configuration names
 * the new place; the old one is left to a person.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proc/service.h"

#include "mailstead/mailbox.h"
#include "mailstead/run.h"
#include "mailstead/state.h"
#include "mailstead/tree.h"

static int
need_stopped(struct cli *c, struct err *e)
{
	for (size_t i = 0; service_names[i] != NULL; i++) {
		struct service_status s = { 0 };

		if (service_status_read(
			c->config.state_dir, service_names[i], &s, e) != 0)
			return -1;
		if (s.state != SERVICE_STOPPED)
			return err_set(e, ERR_TEMP,
			    "%s runs: stop the server first", service_names[i]);
	}
	return 0;
}

static int
move(struct cli *c, struct tree *t, struct err *e)
{
	if (need_stopped(c, e) != 0)
		return -1;
	t->from = open(t->from_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->from < 0)
		return err_errno(e, "%s", t->from_path);
	if (state_open_empty(t->to_path, &t->to, e) != 0 ||
	    tree_copy(t, ".", e) != 0)
		return -1;
	if (syncfs(t->to) != 0)
		return err_errno(e, "%s", t->to_path);
	return config_set_mail_root(&c->config, t->to_path, e);
}

int
command_mailbox_move(struct cli *c)
{
	const char *place = cli_argument(c);
	struct tree t = { .from = -1,
		.to = -1,
		.prev = -1,
		.from_path = c->config.mail_root,
		.to_path = place };
	struct err e;
	int rc;

	if (place == NULL || place[0] != '/')
		return cli_usage("mailbox move /DIRECTORY");
	if (cli_end(c) != CLI_DONE)
		return CLI_USAGE;
	rc = move(c, &t, &e);
	tree_release(&t);
	if (t.from >= 0)
		(void)close(t.from);
	if (t.to >= 0)
		(void)close(t.to);
	if (rc != 0)
		return cli_fail(&e);
	printf("%llu files are in %s now; %s may be removed\n",
	    (unsigned long long)t.files, place, c->config.mail_root);
	return CLI_DONE;
}
