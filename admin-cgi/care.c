/*
 * Backup and certificates as they stand.  Copies are made and brought back by
 * root on the command line: nothing here may read mailboxes or keys.
 */
#include "directory/json_file.h"

#include "admin-cgi/ops.h"

enum {
	NOTE_MAX = 65536
};

void
backup_page(struct web_request *r, struct web_response *w)
{
	json_t *page = json_object();
	json_t *note =
	    json_file_read(admin_of(r)->state_dir, "run/backup.json", NOTE_MAX);

	if (note != NULL) {
		ops_put_time(note, "at",
		    json_string_value(json_object_get(note, "made_at")));
		json_object_set_new(page, "last", note);
	}
	admin_page(r, w, "backup", "backup", page);
}
