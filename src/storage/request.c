/* request: the checks of single requests, and the scan of messages that are unpacked elsewhere. Transactions: request_txn.c. */
#include "storage/request.h"

#include "base/assert.h"
#include "base/buf.h"
#include "storage/lease.h"
#include "storage/operation.h"
#include "storage/request_parsed.h"

STATIC_ASSERT(REQUEST_DEPTH_MAX == OPERATION_DEPTH_MAX, "what the door admits, the state machine can walk");

#define REQUEST_PUT_OVERHEAD 256 /* the quota's estimate of a pair beyond its bytes: API, Maintenance, Quota */

enum err request_check_parsed_put(const struct operation_put *put)
{
    ASSERT(put != NULL);
    if (put->key.size == 0) return ERR_EMPTY_KEY;
    if (put->ignore_value && put->value.size != 0) return ERR_VALUE_PROVIDED;
    if (put->ignore_lease && put->lease != 0) return ERR_LEASE_PROVIDED;
    if (put->ttl != 0 && (put->lease != 0 || put->ignore_lease)) return ERR_TTL_PROVIDED;
    if (put->ttl < 0) return ERR_LEASE_TTL_NEGATIVE;
    return put->ttl > LEASE_TTL_MAX ? ERR_LEASE_TTL_TOO_LARGE : ERR_OK;
}

enum err request_check_put(struct slice bytes)
{
    struct operation_put put;
    enum err err = operation_parse_put(bytes, &put);
    return err != ERR_OK ? err : request_check_parsed_put(&put);
}

enum err request_check_delete_range(struct slice bytes)
{
    struct operation_delete_range request;
    enum err err = operation_parse_delete_range(bytes, &request);
    if (err != ERR_OK) return err;
    return request.key.size == 0 ? ERR_EMPTY_KEY : ERR_OK;
}

enum err request_check_compaction(struct slice bytes, int64_t *out_revision, bool *out_physical)
{
    ASSERT(out_revision != NULL && out_physical != NULL);
    struct operation_compaction request;
    enum err err = operation_parse_compaction(bytes, &request);
    if (err != ERR_OK) return err;
    *out_revision = request.revision;
    *out_physical = request.physical;
    return ERR_OK;
}

uint64_t request_parsed_put_cost(const struct operation_put *put)
{
    ASSERT(put != NULL);
    return REQUEST_PUT_OVERHEAD + put->key.size + put->value.size + (put->ttl == 0 ? 0 : REQUEST_LEASE_COST);
}

uint64_t request_put_cost(struct slice bytes)
{
    struct operation_put put;
    if (operation_parse_put(bytes, &put) != ERR_OK) return 0; /* will be refused */
    return request_parsed_put_cost(&put);
}

bool request_put_makes_lease(struct slice bytes)
{
    struct operation_put put;
    return operation_parse_put(bytes, &put) == ERR_OK && put.ttl != 0;
}

/* How many bytes a sequence that begins with `lead` has, and the least code point that needs so many; 0 = no such lead. */
static uint32_t utf8_length(uint8_t lead, uint32_t *out_least)
{
    ASSERT(lead >= 0x80);
    if (lead >= 0xc2 && lead <= 0xdf) return *out_least = 0x80, 2;
    if ((lead & 0xf0) == 0xe0) return *out_least = 0x800, 3;
    if (lead >= 0xf0 && lead <= 0xf4) return *out_least = 0x10000, 4;
    return 0;
}

/* RFC 3629, and no NUL: such a string is the same one for C, for JSON and for every other member. */
static bool is_plain_text(struct slice text)
{
    ASSERT(text.data != NULL || text.size == 0);
    for (size_t i = 0; i < text.size;) {
        uint8_t lead = text.data[i++];
        if (lead == 0) return false;
        if (lead < 0x80) continue;
        uint32_t least = 0;
        uint32_t length = utf8_length(lead, &least);
        if (length == 0 || text.size - i < length - 1) return false;
        uint32_t point = lead & (0x7fu >> length);
        for (uint32_t n = 1; n < length; n++, i++) {
            if ((text.data[i] & 0xc0) != 0x80) return false;
            point = point << 6 | (text.data[i] & 0x3fu);
        }
        if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    }
    return true;
}

static bool is_listed(const uint32_t *fields, uint32_t number)
{
    for (; fields != NULL && *fields != 0; fields++)
        if (*fields == number) return true;
    return false;
}

enum err request_scan(struct slice bytes, const uint32_t *string_fields)
{
    ASSERT(bytes.data != NULL || bytes.size == 0);
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_text = true;
    while (reader_pb_field(&reader, &field)) {
        if (!is_listed(string_fields, field.number)) continue;
        if (field.wire != PB_BYTES) return ERR_MALFORMED;
        is_text = is_text && is_plain_text(field.bytes);
    }
    if (reader.bad) return ERR_MALFORMED;
    return is_text ? ERR_OK : ERR_BAD_UTF8;
}
