/*
 * The table of the commands that look after a server.
 */
#include "mailstead/backup.h"
#include "mailstead/bundle.h"
#include "mailstead/cli.h"
#include "mailstead/program.h"
#include "mailstead/tool.h"

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
	{ "tool",
	    "lookup NAME [TYPE] [--server A]; domain NAME; console HOST PORT "
	    "[--tls] [--pop3] COMMAND...; relay; send ADDRESS",
	    "Ask the DNS, a domain's exchangers or any server; look for an "
	    "open relay; send a test message.",
	    false, command_tool },
	{ "mail-program", "ADDRESS [--as thunderbird|outlook|apple]",
	    "How a mail program is set up for an address, also as the file it "
	    "reads.",
	    false, command_mail_program },
	{ "support-bundle", "FILE",
	    "Write versions, status, checks, settings and logs into one file, "
	    "people made unrecognisable.",
	    false, command_support_bundle },
	{ 0 },
};
