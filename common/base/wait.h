#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A thread that serves many in turn must not stand still while one of them
 * makes it wait.  What may wait for others (a socket, a name server, a flush)
 * calls wait_begins() first; who runs the thread hears of it through
 * `wait_hook`, until that returns true, and lets another thread go on.
 *
 * False: no other thread can be had.  Who waits for strangers gives up then,
 * or one of them would keep everybody waiting.
 */
extern _Thread_local bool (*wait_hook)(void); /* NULL: nobody asks */

static inline bool
wait_begins(void)
{
	if (wait_hook == NULL)
		return true;
	if (!wait_hook())
		return false;
	wait_hook = NULL;
	return true;
}

#endif /* BASE_WAIT_H */
