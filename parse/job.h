#ifndef PARSE_JOB_H
#define PARSE_JOB_H

#include <jansson.h>

#include "parse/answer.h"

/*
 * One job of mime/wire.h: always ends the answer.  `fd` is the message.
 * Runs on a thread with an 8 MB stack in a process that may be killed.
 */
void job_run(const json_t *job, int fd, struct answer *a);

/* Once per process, before the jail: GMime, libxml2, charset tables. */
void job_prepare(void);

#endif /* PARSE_JOB_H */
