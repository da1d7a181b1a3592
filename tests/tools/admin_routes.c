/*
 * Prints the administration's table of routes for the test that tries every
 * one of them as everybody: a line each, METHOD PATH ROLES.
 */
#include <stdio.h>

#include "admin-cgi/admin.h"

static const struct {
	unsigned bit;
	const char *name;
} roles[] = {
	{ ROLE_SERVER, "server" },
	{ ROLE_DOMAIN, "domain" },
	{ ROLE_LIST, "list" },
};

int
main(void)
{
	for (size_t i = 0; i < admin_app.route_count; i++) {
		const struct web_route *r = &admin_app.routes[i];

		printf(
		    "%s %s ", r->methods == WEB_GET ? "GET" : "POST", r->path);
		if ((r->flags & WEB_SESSION) == 0)
			printf("open");
		else if ((r->flags & WEB_ROLES) == 0)
			printf("signed");
		for (size_t n = 0; n < ARRAY_LEN(roles); n++)
			if (r->flags & roles[n].bit)
				printf("%s,", roles[n].name);
		printf("\n");
	}
	return 0;
}
