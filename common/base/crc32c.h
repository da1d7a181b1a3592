#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC-32C (Castagnoli), as in RFC 3720 B.4; uses the processor's instruction
 * where there is one.  Start with `crc` 0 or a seed, feed pieces in order.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The same without the instruction; crc32c() chooses, tests compare. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif /* BASE_CRC32C_H */
