/* sha256: see sha256.h. */
#include "base/sha256.h"

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/assert.h"

struct sha256 {
    EVP_MD_CTX *context;
};

struct sha256 *sha256_new(void)
{
    struct sha256 *sha256 = ALLOC(struct sha256);
    sha256->context = EVP_MD_CTX_new();
    ASSERT(sha256->context != NULL);
    int is_good = EVP_DigestInit_ex(sha256->context, EVP_sha256(), NULL);
    ASSERT(is_good == 1);
    return sha256;
}

void sha256_free(struct sha256 *sha256)
{
    if (sha256 == NULL) return;
    EVP_MD_CTX_free(sha256->context);
    alloc_free(sha256);
}

void sha256_add(struct sha256 *sha256, struct slice bytes)
{
    ASSERT(sha256 != NULL);
    int is_good = EVP_DigestUpdate(sha256->context, bytes.data, bytes.size);
    ASSERT(is_good == 1);
}

void sha256_finish(struct sha256 *sha256, uint8_t out_sum[SHA256_BYTES])
{
    unsigned size = 0;
    int is_good = EVP_DigestFinal_ex(sha256->context, out_sum, &size);
    ASSERT(is_good == 1 && size == SHA256_BYTES);
}
