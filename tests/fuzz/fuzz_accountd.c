/*
 * Packets to accountd: the first byte chooses the socket, the rest is the
 * packet.  Whatever comes is answered by one object with "ok" that fits a
 * packet.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "directory/accountd.h"

#include "accountd/core.h"
#include "accountd/request.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/tree.h"

static char dir[] = "/tmp/mailstead-fuzz-XXXXXX";
static struct core *core;
static struct caller caller;

static void
clean(void)
{
	sasl_free(caller.sasl);
	core_close(core);
	tree_remove(dir);
}

static void
answer(struct slice packet)
{
	json_t *reply;

	request_answer(&caller, packet, &reply);
	assert(json_is_boolean(json_object_get(reply, "ok")));
	assert(json_dumpb(reply, NULL, 0, JSON_COMPACT) <= ACCOUNTD_PACKET_MAX);
	json_decref(reply);
}

static void
start(void)
{
	static const char init[] =
	    "{\"verb\":\"init\",\"hostname\":\"h.example\",\"domain\":"
	    "\"d.example\",\"address\":\"a@d.example\",\"password\":"
	    "\"three blind mice\"}";
	struct err e;

	if (mkdtemp(dir) == NULL || core_create(dir, &e) != 0 ||
	    core_open(dir, &core, &e) != 0)
		abort();
	atexit(clean);
	log_open("fuzz", dir, false);
	caller = (struct caller){
		.core = core, .program = FROM_MAILSTEAD, .is_operator = true
	};
	answer(slice_str(init));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum program programs[] = { FROM_MTAD, FROM_POPD,
		FROM_QUEUE, FROM_WEBMAIL, FROM_ADMIN, FROM_MAILSTEAD };

	if (core == NULL)
		start();
	if (size == 0)
		return 0;
	caller.program = programs[data[0] % ARRAY_LEN(programs)];
	caller.is_operator = caller.program == FROM_MAILSTEAD;
	answer(slice_of((const char *)data + 1, size - 1));
	return 0;
}
