#ifndef DIRECTORY_SETUP_H
#define DIRECTORY_SETUP_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "directory/config.h"
#include "directory/directory.h"
#include "directory/settings.h"
#include "net/tls.h"
#include "proc/service.h"

/*
 * What the daemons' configure() have in common: from the state directory and
 * the settings to a struct service_config.  There is one of it in a program,
 * and its workers inherit it.
 */
/*
 * Read configuration and settings, and how long logs stay; `out` is empty
 * before.  *settings_out is freed by the caller.
 */
int setup_begin(const char *state_dir, struct service_config *out,
    struct settings **settings_out, struct err *e) MUST_CHECK;

/* What was read. */
const struct config *setup_config(void);

/*
 * The service's changed(): has anything been written since setup_begin()?  It
 * also gives setup_ticket_keys() a new key each hour.
 */
bool setup_changed(const char *state_dir);

/* The keys that all workers of a server of TLS share. */
struct tls_ticket_keys *setup_ticket_keys(void);

/*
 * Listen on the port of one setting, if it is not 0, on each address of
 * another; that one empty: of server.listen; and so too: on all.
 */
int setup_listen(const struct settings *set, enum setting_id addresses,
    enum setting_id port, unsigned kind, struct service_config *out,
    struct err *e) MUST_CHECK;

/* Listen on a UNIX socket below the state directory. */
int setup_listen_at(const char *path, int socktype, mode_t mode, unsigned kind,
    struct service_config *out, struct err *e) MUST_CHECK;

/*
 * What workers may read or write: below the state directory, or absolute.
 * setup_paths() begins anew, with the folder of the log.  None fails, so they
 * come last in configure(): where it fails the old paths stay.  The whole
 * path is returned and lasts until then.
 */
void setup_paths(const char *log, struct service_config *out);
const char *setup_read(const char *path);
const char *setup_write(const char *path);

#endif /* DIRECTORY_SETUP_H */
