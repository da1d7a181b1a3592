#ifndef DIRECTORY_SETUP_H
#define DIRECTORY_SETUP_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/mem.h"
#include "directory/config.h"
#include "directory/directory.h"
#include "directory/settings.h"
#include "proc/service.h"

/*
 * What the daemons' configure() have in common: from the state directory and
 * the settings to a struct service_config.  One for a program, static, so
 * that its workers inherit it.
 */
enum {
	SETUP_PATHS_MAX = 8, /* of each list */
	SETUP_NAME_MAX = 32  /* of a log folder below the state directory */
};

struct setup {
	struct config config;
	uint64_t stamp;
	struct pool pool; /* of the paths */
	const char *read_paths[SETUP_PATHS_MAX + 1];
	const char *write_paths[SETUP_PATHS_MAX + 1];
};

/*
 * Read configuration and settings, and how long logs stay; `out` is empty
 * before.  *settings_out is freed by the caller.
 */
int setup_begin(struct setup *s, const char *state_dir,
    struct service_config *out, struct settings **settings_out,
    struct err *e) MUST_CHECK;

/* The service's changed(): has anything been written since setup_begin()? */
bool setup_changed(const struct setup *s, const char *state_dir);

/*
 * Listen on the port of one setting, if it is not 0, on each address of
 * another; that one empty: of server.listen; and so too: on all.
 */
int setup_listen(const struct settings *set, enum setting_id addresses,
    enum setting_id port, unsigned kind, struct service_config *out,
    struct err *e) MUST_CHECK;

/* Listen on a UNIX socket below the state directory. */
int setup_listen_at(const struct setup *s, const char *path, int socktype,
    mode_t mode, unsigned kind, struct service_config *out,
    struct err *e) MUST_CHECK;

/*
 * What workers may read or write: below the state directory, or absolute.
 * setup_paths() begins anew, with the folder of the log.  None fails, so they
 * come last in configure(): where it fails the old paths stay.  The whole
 * path is returned and lasts until then.
 */
void setup_paths(struct setup *s, const char *log, struct service_config *out);
const char *setup_read(struct setup *s, const char *path);
const char *setup_write(struct setup *s, const char *path);

#endif /* DIRECTORY_SETUP_H */
