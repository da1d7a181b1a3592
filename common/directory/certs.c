/*
 * Certificates for those who show them; what they are is net/tls's to say.
 */
#include "directory/certs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slice.h"
#include "directory/config.h"
#include "net/tls.h"

static json_t *
words(const char *text)
{
	struct slice rest = slice_str(text), word;
	json_t *list = json_array();

	while (rest.len > 0) {
		rest = slice_cut(rest, ' ', &word);
		json_array_append_new(list, json_stringn(word.data, word.len));
	}
	return list;
}

static json_t *
info_json(const struct tls_info *i)
{
	char from[CLOCK_RFC3339_SIZE], until[CLOCK_RFC3339_SIZE];

	if (i->error[0] != '\0')
		return json_pack(
		    "{s:s,s:s}", "name", i->name, "error", i->error);
	clock_rfc3339(i->not_before_ms, from);
	clock_rfc3339(i->not_after_ms, until);
	return json_pack("{s:s,s:o,s:o,s:s,s:s,s:b}", "name", i->name, "names",
	    words(i->names), "issuer", json_string(i->issuer), "not_before",
	    from, "not_after", until, "self_signed", i->self_signed);
}

int
certs_json(const char *state_dir, json_t **out, struct err *e)
{
	char path[CONFIG_PATH_SIZE * 2];
	struct tls_info *list;
	size_t count;
	int fd, rc;

	(void)snprintf(path, sizeof(path), "%s/tls", state_dir);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "%s", path);
	rc = tls_list(fd, &list, &count, e);
	(void)close(fd);
	if (rc != 0)
		return -1;
	*out = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(*out, info_json(&list[i]));
	free(list);
	return 0;
}
