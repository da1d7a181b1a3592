/*
 * Packets to accountd: the first byte chooses the socket, the rest is the
 * packet, where bytes 1 to 3 stand for sessions of people.h.  Whatever comes is
 * answered by one object with "ok" that fits a packet.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "directory/accountd.h"

#include "tests/fuzz/fuzz.h"
#include "tests/lib/people.h"
#include "tests/lib/tree.h"

static char dir[] = "/tmp/mailstead-fuzz-XXXXXX";
static struct people people;
static struct caller caller;

static void
clean(void)
{
	sasl_free(caller.sasl);
	core_close(people.core);
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
	if (mkdtemp(dir) == NULL)
		abort();
	log_open("fuzz", dir, false);
	people_open(&people, dir);
	caller.core = people.core;
	atexit(clean);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum program programs[] = { FROM_MTAD, FROM_POPD,
		FROM_QUEUE, FROM_WEBMAIL, FROM_ADMIN, FROM_MAILSTEAD };

	struct buf packet;

	if (people.core == NULL)
		start();
	if (size == 0)
		return 0;
	caller.program = programs[data[0] % ARRAY_LEN(programs)];
	caller.is_operator = caller.program == FROM_MAILSTEAD;
	buf_init(&packet, ACCOUNTD_PACKET_MAX);
	for (size_t i = 1; i < size; i++) {
		if (data[i] >= 1 && data[i] <= PEOPLE)
			buf_addstr(&packet, people.sessions[data[i] - 1]);
		else
			buf_addc(&packet, (char)data[i]);
	}
	answer(buf_slice(&packet));
	buf_release(&packet);
	return 0;
}
