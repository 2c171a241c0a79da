/* crc32c: the Castagnoli polynomial 0x1EDC6F41, reflected, as in RFC 3720 (iSCSI), B.4.
 * With the instruction, 8 bytes in 3 cycles: faster than any disk that we write to. Without it, a table of nibbles. */
#include "base/crc32c.h"

#include <string.h>

#include "base/assert.h"

#ifdef __SSE4_2__
#include <nmmintrin.h>

static uint32_t update(uint32_t crc, const uint8_t *data, size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; size--) crc = _mm_crc32_u8(crc, *data++);
    return crc;
}
#else
static uint32_t update(uint32_t crc, const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; size > 0; size--) {
        crc ^= *data++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    ASSERT(data != NULL || size == 0);
    return size == 0 ? crc : ~update(~crc, data, size);
}
