#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/*
 * What each tests/fuzz/fuzz_*.c defines: take any bytes, return 0, and stop
 * the process (assert, sanitizer) if the code under test breaks a promise.
 * Its corpus is tests/fuzz/corpus/fuzz_*.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* TESTS_FUZZ_FUZZ_H */
