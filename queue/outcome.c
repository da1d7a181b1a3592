/*
 * Outcomes of attempts; see outcome.h.  Pure: no I/O, no clock, any thread.
 * Text from strangers becomes printable ASCII here, so that neither a log, a
 * report nor a terminal gets anything else (threats.md F19).
 */
#include "queue/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
clean(char *s)
{
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20)
			*s = ' ';
		else if (c > 0x7e)
			*s = '?';
	}
}

void
outcome_set(struct outcome *o, enum outcome_kind kind, const char *status,
    const char *fmt, ...)
{
	va_list ap;

	o->kind = kind;
	snprintf(o->status, sizeof(o->status), "%s", status);
	va_start(ap, fmt);
	vsnprintf(o->text, sizeof(o->text), fmt, ap);
	va_end(ap);
	clean(o->text);
}

void
outcome_from_err(struct outcome *o, const struct err *e)
{
	if (e->kind == ERR_PERM)
		outcome_set(o, OUTCOME_PERM, "5.0.0", "%s", e->text);
	else
		outcome_set(o, OUTCOME_TEMP, "4.3.0", "%s", e->text);
}
