/*
 * A domain's look on disk; see look.h.
 */
#include "web/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum {
	PATH_SIZE = 320 /* a domain's name and a file's */
};

const struct look_file look_files[LOOK_FILES] = {
	{ "signature", "signature.txt", 16384 },
	{ "css", "brand.css", LOOK_MAX },
};

const struct look_file *
look_find(const char *name)
{
	for (size_t i = 0; i < LOOK_FILES; i++)
		if (strcmp(look_files[i].name, name) == 0)
			return &look_files[i];
	return NULL;
}

int
look_open(const char *state_dir)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/domains", state_dir);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
path_of(const char *domain, const struct look_file *file, char *out)
{
	(void)snprintf(out, PATH_SIZE, "%s/%s", domain, file->name);
}

int
look_read(int fd, const char *domain, const struct look_file *file,
    struct buf *out, struct err *e)
{
	char path[PATH_SIZE];

	path_of(domain, file, path);
	if (file_read(fd, path, out, e) == 0 || errno == ENOENT)
		return 0;
	return -1;
}

int
look_write(int fd, const char *domain, const struct look_file *file,
    const char *text, size_t len, struct err *e)
{
	char path[PATH_SIZE];

	path_of(domain, file, path);
	if (len == 0)
		return unlinkat(fd, path, 0) == 0 || errno == ENOENT
		    ? 0
		    : err_errno(e, "%s", path);
	if (file_mkdir(fd, domain, 02755, e) != 0)
		return -1;
	return file_replace(fd, path, 0644, text, len, e);
}
