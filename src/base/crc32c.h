/* crc32c: Castagnoli checksum, by the processor's instruction where there is one. Thread: any. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t size); /* start with 0; may be continued */

#endif
