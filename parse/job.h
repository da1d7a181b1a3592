#ifndef PARSE_JOB_H
#define PARSE_JOB_H

#include <jansson.h>

/*
 * One job of mime/mime.h: the answer, always an object.  `fd` is the message.
 * Runs on a thread with an 8 MB stack in a process that may be killed.
 */
json_t *job_run(const json_t *job, int fd);

/* Once per process, before the jail: GMime and the charsets it may need. */
void job_prepare(void);

#endif /* PARSE_JOB_H */
