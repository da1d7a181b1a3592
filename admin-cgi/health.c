/*
 * Reading the server's health; nothing is measured here.
 */
#include "admin-cgi/health.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

enum {
	FILE_MAX = 1024 * 1024,
	OLD_MS = 2 * 3600 * 1000, /* alert.interval is an hour at most */
};

/* clang-format off */
const struct health_program health_programs[HEALTH_PROGRAMS] = {
	{ "mtad", "service.mtad", SET_MTAD_ENABLED },
	{ "popd", "service.popd", SET_POPD_ENABLED },
	{ "queue-runner", "service.queue", SET_QUEUE_ENABLED },
	{ "webmail-cgi", "service.webmail", SET_WEBMAIL_ENABLED },
	{ "admin-cgi", "service.admin", SETTING_COUNT },
	{ "accountd", "service.accountd", SETTING_COUNT },
	{ "mailstead-parse", "service.parse", SETTING_COUNT },
};

/* clang-format on */

json_t *
health_read(const char *state_dir)
{
	json_t *health = NULL;
	char path[4096];
	int64_t at = 0;
	struct buf text;
	struct err e;
	const char *when;

	(void)snprintf(path, sizeof(path), "%s/run/health.json", state_dir);
	buf_init(&text, FILE_MAX);
	if (file_read(AT_FDCWD, path, &text, &e) == 0)
		health = json_loadb(text.data, text.len, 0, NULL);
	buf_release(&text);
	when = json_string_value(json_object_get(health, "at"));
	if (when == NULL || !clock_parse_rfc3339(slice_str(when), &at) ||
	    clock_wall_ms() - at > OLD_MS) {
		json_decref(health);
		return NULL;
	}
	return health;
}
