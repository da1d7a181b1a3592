/*
 * JSON in files; see json_file.h.
 */
#include "directory/json_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

const char *
json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

json_t *
json_file_read(const char *state_dir, const char *name, size_t max)
{
	char *path = mem_printf("%s/%s", state_dir, name);
	json_t *value = NULL;
	struct buf text;
	struct err e;

	buf_init(&text, max);
	if (file_read(AT_FDCWD, path, &text, &e) == 0)
		value = json_loadb(text.data, text.len, 0, NULL);
	buf_release(&text);
	free(path);
	return value;
}

int
json_file_write(const char *state_dir, const char *name, mode_t mode,
    const json_t *value, struct err *e)
{
	char *path = mem_printf("%s/%s", state_dir, name);
	char *text = json_dumps(value, JSON_INDENT(1));
	int rc = text != NULL
	    ? file_replace(AT_FDCWD, path, mode, text, strlen(text), e)
	    : err_set(e, ERR_PERM, "%s: no text", path);

	free(text);
	free(path);
	return rc;
}
