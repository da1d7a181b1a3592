#ifndef MAILSTEAD_BACKUP_H
#define MAILSTEAD_BACKUP_H

#include "mailstead/cli.h"

/*
 * A backup is a directory of copies, each whole by itself:
 *
 *	DIR/20261129T034000123Z/{backup.json,directory,spool,mail,...}
 *
 * with hard links between the copies for what did not change.  A copy under
 * work is called .partial, so what has a name is complete and durable.
 *
 * backup.json: {format, version, made_at, seconds, files, bytes, linked}.
 * The last success is also told in STATE/run/backup.json, with "directory".
 */
enum {
	BACKUP_FORMAT = 1
};

#define BACKUP_NOTE "backup.json"

/* What is copied, in this order, and the spool's parts before all mail. */
extern const char *const backup_parts[]; /* ended by NULL; mail is apart */

int command_backup(struct cli *c);  /* backup DIR [--keep N] */
int command_restore(struct cli *c); /* restore COPY ... */

#endif /* MAILSTEAD_BACKUP_H */
