/*
 * `mailstead domain look`: a domain's footer and style, shown or put in place,
 * as on its page (web/look.h).
 */
#include "mailstead/look.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "mail/address.h"
#include "web/look.h"

/*
 * domains/ is administration's, which may put links there: root does in it
 * only what its owner can.
 */
static int
become_owner(int fd, struct err *e)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstat(fd, &st) != 0 || setgroups(0, NULL) != 0 ||
	    setegid(st.st_gid) != 0 || seteuid(st.st_uid) != 0)
		return err_errno(e, "domains");
	return 0;
}

static int
read_text(const char *path, const struct look_file *file, struct buf *out,
    struct err *e)
{
	size_t n = 1;
	char *space;

	if (strcmp(path, "-") != 0)
		return file_read(AT_FDCWD, path, out, e);
	while (n > 0 && (space = buf_reserve(out, 1)) != NULL) {
		n = fread(space, 1, 1, stdin);
		buf_commit(out, n);
	}
	return n > 0 ? err_set(e, ERR_PERM, "%s: at most %zu bytes", file->name,
			   file->max)
		     : 0;
}

static int
show(struct cli *c, int fd, const char *domain, const struct look_file *file)
{
	struct buf b;
	struct err e;
	int rc;

	buf_init(&b, LOOK_MAX);
	rc = look_read(fd, domain, file, &b, &e);
	if (rc == 0 && c->json) {
		json_t *o = json_pack("{s:s,s:s,s:s%}", "domain", domain,
		    "file", file->name, "text", b.data ? b.data : "", b.len);

		if (o == NULL)
			rc = err_set(&e, ERR_PERM, "%s: not UTF-8", file->name);
		else
			cli_print_json(o);
		json_decref(o);
	} else if (rc == 0) {
		(void)fwrite(b.data, 1, b.len, stdout);
	}
	buf_release(&b);
	return rc == 0 ? CLI_DONE : cli_fail(&e);
}

static int
put(struct cli *c, int fd, const char *domain, const struct look_file *file,
    const char *path)
{
	json_t *reply = NULL;
	struct buf b;
	struct err e;
	int rc;

	buf_init(&b, file->max);
	rc = read_text(path, file, &b, &e);
	if (rc == 0)
		rc = cli_call(c,
		    json_pack("{s:s,s:s,s:s}", "verb", "domain look", "domain",
			domain, "file", file->name),
		    &reply, &e);
	if (rc == 0)
		rc = become_owner(fd, &e);
	if (rc == 0)
		rc = look_write(fd, domain, file, b.data, b.len, &e);
	buf_release(&b);
	if (rc == 0)
		return cli_changed(c, reply);
	json_decref(reply);
	return cli_fail(&e);
}

int
command_look(struct cli *c)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	const struct look_file *file = NULL;
	const char *name, *what, *path;
	json_t *reply = NULL;
	struct err e;
	int fd, rc;

	(void)cli_argument(c);
	name = cli_argument(c);
	what = cli_argument(c);
	path = cli_argument(c);
	if (what != NULL)
		file = look_find(what);
	if (!cli_complete(c, file != NULL,
		"domain look NAME signature.txt|brand.css "
		"[FILE]; FILE - is standard input, an empty one "
		"takes it away"))
		return CLI_USAGE;
	if (cli_call(c,
		json_pack("{s:s,s:s}", "verb", "domain show", "domain", name),
		&reply, &e) != 0)
		return cli_fail(&e);
	(void)snprintf(domain, sizeof(domain), "%s",
	    json_string_value(
		json_object_get(json_object_get(reply, "domain"), "name")));
	json_decref(reply);
	fd = look_open(c->config.state_dir);
	if (fd < 0) {
		err_errno(&e, "%s/domains", c->config.state_dir);
		return cli_fail(&e);
	}
	rc = path != NULL ? put(c, fd, domain, file, path)
			  : show(c, fd, domain, file);
	(void)close(fd);
	return rc;
}
