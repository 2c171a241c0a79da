/* fuzz_door_hello: the first bytes of a TLS connection. What has come so far leaves it open or says what the whole will say. Thread: one. */
#include "fuzz/fuzz.h"
#include "pipeline/door_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum door_hello whole = door_hello_of(slice_make(data, size));
    for (size_t i = 0; i < 16; i++) {
        enum door_hello part = door_hello_of(slice_make(data, size * i / 16));
        ASSERT(part == DOOR_HELLO_MORE || part == whole);
    }
    return 0;
}
