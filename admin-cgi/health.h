#ifndef ADMIN_CGI_HEALTH_H
#define ADMIN_CGI_HEALTH_H

#include <jansson.h>

#include "directory/settings.h"

/* The server's programs, and what the queue runner last saw of its health. */
struct health_program {
	const char *name, *title; /* key of its text */
	enum setting_id enabled;  /* SETTING_COUNT: it cannot be switched off */
};

enum {
	HEALTH_PROGRAMS = 7
};

extern const struct health_program health_programs[HEALTH_PROGRAMS];

/*
 * run/health.json (queue/watch.h), a new reference; NULL when there is none
 * or it is older than a few of its intervals.
 */
json_t *health_read(const char *state_dir);

#endif /* ADMIN_CGI_HEALTH_H */
