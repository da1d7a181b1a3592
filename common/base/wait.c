/* The one variable of wait.h. */
#include "base/wait.h"

_Thread_local bool (*wait_hook)(void) = NULL;
