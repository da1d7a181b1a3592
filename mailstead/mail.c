/*
 * The table of the commands about mail itself.
 */
#include "mailstead/check.h"
#include "mailstead/cli.h"
#include "mailstead/fastcgi.h"
#include "mailstead/log.h"
#include "mailstead/mailbox.h"
#include "mailstead/queue.h"
#include "mailstead/submit.h"
#include "mailstead/templates.h"
#include "mailstead/trace.h"

const struct command commands_mail[] = {
	{ "submit", "[-t] [-i] [-f SENDER] [RECIPIENT...]",
	    "Accept a message from standard input as a local program's; also "
	    "as sendmail.",
	    false, command_submit },
	{ "queue",
	    "list|show|retry|hold|release|bounce|delete ID...|--sender A|"
	    "--recipient A|--destination D|--all; groups; suspend|resume [--all]; "
	    "check [--repair]",
	    "See and change what waits for delivery.", false, command_queue },
	{ "trace", "ID|ADDRESS|MESSAGE-ID [--days N|--hour YYYY-MM-DDTHH]",
	    "Tell a message's whole story from the logs.", false,
	    command_trace },
	{ "log",
	    "PROGRAM [--day YYYY-MM-DD] [--match TEXT] [--lines N] [--follow]",
	    "Show the end of a program's log, and what is written from now on.",
	    false, command_log },
	{ "check", "; route FROM TO --ip A [--user U]; domain DOMAIN",
	    "Look at the server itself; say what would become of an imagined message, and why; what the "
	    "DNS should say of a domain.",
	    false, command_check },
	{ "mailbox",
	    "list|views ADDRESS; show ADDRESS ID; check|repair|recount [ADDRESS]; "
	    "aside|back ADDRESS; left; purge [--days N] [--address A]; move "
	    "DIRECTORY",
	    "Look into a mailbox (the audit log tells); check the store; "
	    "what deleted users left; move all to another disk.",
	    false, command_mailbox },
	{ "template", "list|check",
	    "The page templates in the state directory, and what is wrong "
	    "with them.",
	    false, command_template },
	{ "fastcgi", "SOCKET",
	    "Pass a web server's FastCGI requests (descriptor 0) on to SOCKET.",
	    true, command_fastcgi },
	{ 0 },
};
