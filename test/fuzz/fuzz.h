/* fuzz: what the fuzz targets share. A target is one file fuzz_NAME.c with one entry, which reads bytes as they may come from outside and
 * ASSERTs what must hold whatever they are. It is built twice: with libFuzzer (preset fuzz, test/fuzz_test.sh), and into the unit test
 * test_fuzz_corpus, which replays test/fuzz/corpus/NAME and cheap mutations of it in the gate.
 *
 * The seeds are written by `test_fuzz_corpus --write-seeds` from seeds.c; files called regress-… are inputs that once did harm.
 * Owner, Thread: nothing is kept between inputs but what is the same for all of them. Limits: an input of FUZZ_INPUT_MAX bytes.
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"

#define FUZZ_INPUT_MAX 65536

/* Name, and mutations that the gate tries: what takes about a second under ASan. */
#define FUZZ_TARGETS(X)  \
    X(raft_frame, 20000) \
    X(peer_hello, 20000) \
    X(door_hello, 20000) \
    X(kv_request, 5000)  \
    X(wal, 2000)         \
    X(wal_reuse, 2000)   \
    X(snapshot, 2000)    \
    X(start_flags, 3000) \
    X(config, 5000)      \
    X(entry, 20000)      \
    X(kvctl, 20000)      \
    X(readwal, 300)      \
    X(readstate, 300)    \
    X(readpb, 5000)      \
    X(readsnapshot, 1000)

/* 0, as libFuzzer wants it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes allocated at the moment; 0 where nobody counts them. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
static inline size_t fuzz_allocated(void)
{
    return __sanitizer_get_current_allocated_bytes == NULL ? 0 : __sanitizer_get_current_allocated_bytes();
}

#endif
