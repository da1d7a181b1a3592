#ifndef MAILSTEAD_TOOL_H
#define MAILSTEAD_TOOL_H

#include "mailstead/cli.h"

int command_tool(struct cli *c);         /* tool lookup|domain|console|... */
int command_check_server(struct cli *c); /* check, without an argument */

/* Run a tool of the runner's (queue/tools.h); steals `args`. */
int tool_run(struct cli *c, const char *tool, json_t *args, json_t **out,
    struct err *e) MUST_CHECK;

#endif /* MAILSTEAD_TOOL_H */
