/*
 * Runs a fuzz target over files instead of random inputs, so that every input
 * that once mattered is part of `make check` with any compiler.  Arguments are
 * files or folders of files; `make fuzz` links the same targets with libFuzzer
 * instead of this.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#include "tests/fuzz/fuzz.h"

enum {
	INPUT_MAX = 16 * 1024 * 1024
};

static unsigned replayed;

static int
replay_file(int dirfd, const char *name)
{
	struct buf input;
	struct err e;
	uint8_t *exact;

	buf_init(&input, INPUT_MAX);
	if (file_read(dirfd, name, &input, &e) != 0) {
		(void)fprintf(stderr, "%s\n", e.text);
		return -1;
	}
	/* a block of its own size, so that a sanitizer sees one byte beyond */
	exact = malloc(input.len > 0 ? input.len : 1);
	if (exact == NULL)
		abort();
	memcpy(exact, input.data, input.len);
	(void)LLVMFuzzerTestOneInput(exact, input.len);
	replayed++;
	free(exact);
	buf_release(&input);
	return 0;
}

static int
replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int rc = 0;

	if (dir == NULL) {
		perror(path);
		return -1;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' &&
		    replay_file(dirfd(dir), entry->d_name) != 0)
			rc = -1;
	}
	(void)closedir(dir);
	return rc;
}

int
main(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		int rc;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			rc = replay_folder(argv[i]);
		else
			rc = replay_file(AT_FDCWD, argv[i]);
		if (rc != 0)
			status = 1;
	}
	(void)printf("%u inputs\n", replayed);
	/* an empty corpus proves nothing */
	return replayed > 0 ? status : 1;
}
