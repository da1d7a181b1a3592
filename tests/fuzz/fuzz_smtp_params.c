/* Parameters of MAIL and RCPT: what is taken has no control bytes. */
#include <assert.h>

#include "mail/verb.h"

#include "mtad/params.h"
#include "tests/fuzz/fuzz.h"

static void
check_clean(const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		assert((unsigned char)*s >= ' ' && *s != 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of((const char *)data, size), name, args;
	struct pool pool = { 0 };
	struct mail_params mail;
	struct rcpt_params rcpt;

	verb_split(s, &name, &args);
	assert(name.len + args.len <= size);
	if (mail_params_parse(s, &pool, &mail) == PARAMS_OK)
		check_clean(mail.envid);
	if (rcpt_params_parse(s, true, &pool, &rcpt) == PARAMS_OK)
		check_clean(rcpt.original);
	pool_release(&pool);
	return 0;
}
