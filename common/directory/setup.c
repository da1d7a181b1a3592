/*
 * From settings to what the skeleton of a daemon wants to know; see setup.h.
 * Runs in the supervisor alone.
 */
#include "directory/setup.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "base/slice.h"

static const char *
add_path(struct setup *s, const char **list, const char *path)
{
	size_t i = 0;

	while (list[i] != NULL)
		i++;
	assert(i < SETUP_PATHS_MAX);
	list[i] = path[0] == '/'
	    ? pool_strdup(&s->pool, path)
	    : pool_printf(&s->pool, "%s/%s", s->config.state_dir, path);
	return list[i];
}

const char *
setup_read(struct setup *s, const char *path)
{
	return add_path(s, s->read_paths, path);
}

const char *
setup_write(struct setup *s, const char *path)
{
	return add_path(s, s->write_paths, path);
}

void
setup_paths(struct setup *s, const char *log, struct service_config *out)
{
	memset(s->read_paths, 0, sizeof(s->read_paths));
	memset(s->write_paths, 0, sizeof(s->write_paths));
	pool_release(&s->pool);
	out->read_paths = s->read_paths;
	out->write_paths = s->write_paths;
	(void)snprintf(
	    out->log_dir, sizeof(out->log_dir), "%s", setup_write(s, log));
}

int
setup_begin(struct setup *s, const char *state_dir, struct service_config *out,
    struct settings **settings_out, struct err *e)
{
	struct config config;

	s->stamp = directory_stamp(state_dir);
	if (config_load(state_dir, &config, e) != 0)
		return -1;
	if (strlen(config.state_dir) + SETUP_NAME_MAX > CONFIG_PATH_SIZE)
		return err_set(
		    e, ERR_PERM, "%s: the path is too long", config.state_dir);
	if (directory_read_settings(state_dir, settings_out, e) != 0)
		return -1;
	s->config = config;
	out->log_days = settings_int(*settings_out, SET_LOG_DAYS);
	return 0;
}

bool
setup_changed(const struct setup *s, const char *state_dir)
{
	return directory_stamp(state_dir) != s->stamp;
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
setup_listen_at(const struct setup *s, const char *path, int socktype,
    mode_t mode, unsigned kind, struct service_config *out, struct err *e)
{
	struct listener *l = add_listener(out, kind, e);

	if (l == NULL)
		return -1;
	l->socktype = socktype;
	l->mode = mode;
	return config_path(&s->config, l->path, sizeof(l->path), e, "%s", path);
}
