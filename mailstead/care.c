/*
 * The table of the commands that look after a server.
 */
#include "mailstead/backup.h"
#include "mailstead/cli.h"

const struct command commands_care[] = {
	{ "backup", "DIRECTORY [--keep N]",
	    "Copy everything, also while running; unchanged files are links to "
	    "the copy before.",
	    false, command_backup },
	{ "restore",
	    "COPY [--domain D | --account A [--folder F] [--message ID]]",
	    "Bring back everything into a new state directory, or a part into "
	    "this one.",
	    true, command_restore },
	{ 0 },
};
