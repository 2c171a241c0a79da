/* sha256: SHA-256 over bytes that come in pieces (OpenSSL's).
 * Owner: sha256_new/sha256_free. Thread: one at a time. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H
#include <stdint.h>

#include "base/slice.h"

#define SHA256_BYTES 32

struct sha256;
struct sha256 *sha256_new(void);
void sha256_free(struct sha256 *sha256); /* accepts NULL */
void sha256_add(struct sha256 *sha256, struct slice bytes);
void sha256_finish(struct sha256 *sha256, uint8_t out_sum[SHA256_BYTES]); /* once; nothing can be added behind it */

#endif
