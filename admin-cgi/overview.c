/*
 * Overview: what needs somebody, and how the server is.
 */
#include "admin-cgi/admin.h"

void
overview_page(struct web_request *r, struct web_response *w)
{
	admin_page(r, w, "overview", "overview", json_object());
}
