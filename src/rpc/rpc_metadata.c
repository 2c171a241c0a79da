/* rpc_metadata: see rpc_metadata.h. */
#include "rpc/rpc_metadata.h"

#include <string.h>

#include "base/assert.h"
#include "base/slice.h"

static struct slice slice_of(const grpc_slice *slice) { return slice_make(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)); }

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(struct slice text)
{
    size_t i = 0;
    while (i < text.size) {
        uint8_t lead = text.data[i++];
        if (lead < 0x80) continue;
        unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || text.size - i < more) return false;
        uint8_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        for (; more > 0; more--, i++, least = 0x80, most = 0xbf) {
            if (text.data[i] < least || text.data[i] > most) return false;
        }
    }
    ASSERT(i == text.size);
    return true;
}

static bool is_plain(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte != 0 && strchr(".+-_", byte) != NULL);
}

static void take_version(struct slice text, char out_version[RPC_API_VERSION_BYTES])
{
    bool is_good = text.size > 0 && text.size < RPC_API_VERSION_BYTES;
    for (size_t i = 0; is_good && i < text.size; i++) is_good = is_plain(text.data[i]);
    if (!is_good) text = slice_from_string("other");
    memcpy(out_version, text.data, text.size);
    out_version[text.size] = '\0';
}

void rpc_metadata_read(const grpc_metadata_array *metadata, struct rpc_metadata *out_metadata)
{
    bool saw_leader = false, saw_version = false;
    *out_metadata = (struct rpc_metadata){.require_leader = false};
    for (size_t i = 0; i < metadata->count; i++) {
        const grpc_metadata *pair = &metadata->metadata[i];
        if (!saw_leader && grpc_slice_str_cmp(pair->key, "hasleader") == 0) {
            saw_leader = true;
            out_metadata->require_leader = grpc_slice_str_cmp(pair->value, "true") == 0;
        } else if (!saw_version && grpc_slice_str_cmp(pair->key, "client-api-version") == 0) {
            saw_version = true;
            out_metadata->bad_api_version = !is_utf8(slice_of(&pair->value));
            take_version(slice_of(&pair->value), out_metadata->api_version);
        }
    }
}
