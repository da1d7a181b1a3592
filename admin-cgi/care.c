/*
 * Backup and certificates as they stand.  Copies are made and brought back by
 * root on the command line: nothing here may read mailboxes or keys.
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#include "admin-cgi/ops.h"

enum {
	NOTE_MAX = 65536
};

void
backup_page(struct web_request *r, struct web_response *w)
{
	json_t *page = json_object(), *note = NULL;
	struct buf text;
	char path[320];
	struct err e;

	(void)snprintf(
	    path, sizeof(path), "%s/run/backup.json", admin_of(r)->state_dir);
	buf_init(&text, NOTE_MAX);
	if (file_read(AT_FDCWD, path, &text, &e) == 0)
		note = json_loadb(text.data, text.len, 0, NULL);
	buf_release(&text);
	if (note != NULL) {
		ops_put_time(note, "at",
		    json_string_value(json_object_get(note, "made_at")));
		json_object_set_new(page, "last", note);
	}
	admin_page(r, w, "backup", "backup", page);
}
