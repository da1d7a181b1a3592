/*
 * From settings to what the skeleton of a daemon wants to know; see setup.h.
 * Runs in the supervisor alone.
 */
#include "directory/setup.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/ip.h"
#include "base/mem.h"
#include "base/slice.h"

enum {
	PATHS_MAX = 8,  /* of each list */
	NAME_SIZE = 32, /* of a log folder below the state directory */
	ROTATE_MS = 3600 * 1000,
};

static struct {
	struct config config;
	uint64_t stamp;
	struct pool pool; /* of the paths */
	const char *read_paths[PATHS_MAX + 1];
	const char *write_paths[PATHS_MAX + 1];
	struct tls_ticket_keys *keys; /* NULL: nobody asked for them */
	int64_t rotated_ms;
} setup;

static const char *
add_path(const char **list, const char *path)
{
	size_t i = 0;

	while (list[i] != NULL)
		i++;
	assert(i < PATHS_MAX);
	list[i] = path[0] == '/'
	    ? pool_strdup(&setup.pool, path)
	    : pool_printf(&setup.pool, "%s/%s", setup.config.state_dir, path);
	return list[i];
}

const char *
setup_read(const char *path)
{
	return add_path(setup.read_paths, path);
}

const char *
setup_write(const char *path)
{
	return add_path(setup.write_paths, path);
}

void
setup_paths(const char *log, struct service_config *out)
{
	memset(setup.read_paths, 0, sizeof(setup.read_paths));
	memset(setup.write_paths, 0, sizeof(setup.write_paths));
	pool_release(&setup.pool);
	out->read_paths = setup.read_paths;
	out->write_paths = setup.write_paths;
	(void)snprintf(
	    out->log_dir, sizeof(out->log_dir), "%s", setup_write(log));
}

int
setup_begin(const char *state_dir, struct service_config *out,
    struct settings **settings_out, struct err *e)
{
	struct config config;

	setup.stamp = directory_stamp(state_dir);
	if (config_load(state_dir, &config, e) != 0)
		return -1;
	if (strlen(config.state_dir) + NAME_SIZE > CONFIG_PATH_SIZE)
		return err_set(
		    e, ERR_PERM, "%s: the path is too long", config.state_dir);
	if (directory_read_settings(state_dir, settings_out, e) != 0)
		return -1;
	setup.config = config;
	out->log_days = settings_int(*settings_out, SET_LOG_DAYS);
	return 0;
}

const struct config *
setup_config(void)
{
	return &setup.config;
}

bool
setup_changed(const char *state_dir)
{
	int64_t now_ms = clock_mono_ms();

	if (setup.keys != NULL && now_ms - setup.rotated_ms > ROTATE_MS) {
		setup.rotated_ms = now_ms;
		tls_ticket_keys_rotate(setup.keys);
	}
	return directory_stamp(state_dir) != setup.stamp;
}

struct tls_ticket_keys *
setup_ticket_keys(void)
{
	if (setup.keys == NULL) {
		setup.keys = tls_ticket_keys_new();
		setup.rotated_ms = clock_mono_ms();
	}
	return setup.keys;
}

static struct listener *
add_listener(struct service_config *out, unsigned kind, struct err *e)
{
	struct listener *l;

	if (out->listener_count == SERVICE_LISTENERS_MAX) {
		(void)err_set(e, ERR_PERM, "too many addresses");
		return NULL;
	}
	l = &out->listeners[out->listener_count++];
	l->kind = kind;
	return l;
}

int
setup_listen(const struct settings *set, enum setting_id addresses,
    enum setting_id port, unsigned kind, struct service_config *out,
    struct err *e)
{
	enum setting_id id =
	    settings_count(set, addresses) > 0 ? addresses : SET_LISTEN;
	size_t count = settings_count(set, id);
	int64_t number = settings_int(set, port);

	if (number == 0)
		return 0;
	number += settings_int(set, SET_PORT_OFFSET);
	if (number > UINT16_MAX)
		return err_set(e, ERR_PERM, "%s: no port %lld",
		    setting_table[port].name, (long long)number);
	for (size_t i = 0; i < count || i == 0; i++) {
		const char *text = count > 0 ? settings_item(set, id, i) : NULL;
		struct listener *l = add_listener(out, kind, e);

		if (l == NULL)
			return -1;
		l->port = (uint16_t)number;
		if (text != NULL && !ip_parse(slice_str(text), &l->ip))
			return err_set(e, ERR_PERM,
			    "%s: not a single address: %s",
			    setting_table[id].name, text);
	}
	return 0;
}

int
setup_listen_at(const char *path, int socktype, mode_t mode, unsigned kind,
    struct service_config *out, struct err *e)
{
	struct listener *l = add_listener(out, kind, e);

	if (l == NULL)
		return -1;
	l->socktype = socktype;
	l->mode = mode;
	return config_path(
	    &setup.config, l->path, sizeof(l->path), e, "%s", path);
}
