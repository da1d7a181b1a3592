/* Time-based codes: the RFC's own values, each code once, recovery codes. */
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "accountd/store_secrets.h"
#include "accountd/totp.h"

static char top[] = "/tmp/totp-XXXXXX";
static struct secrets *secrets;

static int
prepare(void **state)
{
	char path[64];
	struct err e;

	(void)state;
	if (mkdtemp(top) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/directory", top);
	if (mkdir(path, 0700) != 0 || secrets_create(top, &e) != 0)
		return -1;
	return secrets_open(top, &secrets, &e);
}

static int
clean(void **state)
{
	char command[64];

	(void)state;
	secrets_close(secrets);
	(void)snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command) == 0 ? 0 : -1;
}

/* RFC 6238 appendix B, the last six of its eight digits. */
static void
test_rfc_values(void **state)
{
	static const struct {
		uint64_t time;
		uint32_t code;
	} values[] = { { 59, 287082 }, { 1111111109, 81804 },
		{ 1111111111, 50471 }, { 1234567890, 5924 },
		{ 2000000000, 279037 }, { 20000000000, 353130 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_int_equal(
		    totp_code((const uint8_t *)"12345678901234567890", 20,
			values[i].time / TOTP_STEP_S),
		    values[i].code);
}

static struct slice
code_at(const uint8_t *secret, int64_t ms, char out[8])
{
	(void)snprintf(out, 8, "%06u",
	    (unsigned)totp_code(
		secret, TOTP_SECRET_LEN, (uint64_t)ms / 1000 / TOTP_STEP_S));
	return slice_str(out);
}

static void
test_life(void **state)
{
	char codes[TOTP_RECOVERY_CODES][TOTP_RECOVERY_SIZE], text[8];
	const int64_t now = 1800000000000, step = TOTP_STEP_S * 1000;
	uint8_t secret[TOTP_SECRET_LEN];
	struct err e;

	(void)state;
	assert_int_equal(totp_state(secrets, 7, &e), TOTP_OFF);
	assert_int_equal(totp_begin(secrets, 7, secret, &e), 0);
	assert_int_equal(totp_state(secrets, 7, &e), TOTP_PENDING);
	assert_int_equal(
	    totp_check(secrets, 7, slice_str("12345"), now, &e), 0);
	assert_int_equal(totp_check(secrets, 7, slice_str(""), now, &e), 0);
	assert_int_equal(
	    totp_check(secrets, 7, code_at(secret, now, text), now, &e), 1);
	assert_int_equal(totp_confirm(secrets, 7, codes, &e), 0);
	assert_int_equal(totp_state(secrets, 7, &e), TOTP_ON);

	/* once, and not again; the next step's, also a little early; not old */
	assert_int_equal(
	    totp_check(secrets, 7, code_at(secret, now, text), now, &e), 0);
	assert_int_equal(
	    totp_check(secrets, 7, code_at(secret, now + step, text), now, &e),
	    1);
	assert_int_equal(
	    totp_check(secrets, 7, code_at(secret, now - step, text), now, &e),
	    0);
	assert_int_equal(totp_check(secrets, 7,
			     code_at(secret, now + 5 * step, text), now, &e),
	    0);
	/* another account's code is not ours */
	assert_int_equal(
	    totp_check(secrets, 8, code_at(secret, now + 2 * step, text),
		now + 2 * step, &e),
	    0);

	/* a recovery code works once */
	assert_int_equal(
	    totp_check(secrets, 8, slice_str(codes[0]), now, &e), 0);
	assert_int_equal(
	    totp_check(secrets, 7, slice_str(codes[0]), now, &e), 1);
	assert_int_equal(
	    totp_check(secrets, 7, slice_str(codes[0]), now, &e), 0);

	/* in force it is not replaced behind its owner's back */
	assert_int_equal(totp_begin(secrets, 7, secret, &e), -1);
	assert_int_equal(totp_remove(secrets, 7, &e), 1);
	assert_int_equal(totp_state(secrets, 7, &e), TOTP_OFF);
	assert_int_equal(
	    totp_check(secrets, 7, slice_str(codes[1]), now, &e), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_values),
		cmocka_unit_test(test_life),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
