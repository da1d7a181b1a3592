/*
 * Reading the server's health; nothing is measured here.
 */
#include "admin-cgi/health.h"

#include "base/clock.h"
#include "directory/json_file.h"

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
	json_t *health = json_file_read(state_dir, "run/health.json", FILE_MAX);
	const char *when = json_string_value(json_object_get(health, "at"));
	int64_t at = 0;

	if (when == NULL || !clock_parse_rfc3339(slice_str(when), &at) ||
	    clock_wall_ms() - at > OLD_MS) {
		json_decref(health);
		return NULL;
	}
	return health;
}
