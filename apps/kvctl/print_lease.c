/* print_lease: see the header. In JSON what stands in a response's header stands beside its fields, but for a revoke's; as protobuf the header is
 * all that etcdctl prints, and a revoke's response, which it cannot print, is whole. */
#include "print_lease.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "json.h"
#include "print_fields.h"
#include "print_message.h"

static void put_header(struct json *json, const Etcdserverpb__ResponseHeader *header)
{
    ASSERT(header != NULL);
    json_number(json, "cluster_id", header->cluster_id);
    json_number(json, "member_id", header->member_id);
    json_number(json, "revision", (uint64_t)header->revision);
    json_number(json, "raft_term", header->raft_term);
}

/* A signed one, zero or not. */
static void put_number(struct json *json, const char *name, int64_t value)
{
    if (value < 0) json_i64(json, name, value);
    else json_number(json, name, (uint64_t)value);
}

static void finish(struct json *json)
{
    json_close(json, '}');
    json_print(json);
    json_deinit(json);
}

/* For programs: the header, ID and TTL. */
static enum ctl_exit print_granted(const struct ctl *ctl, const Etcdserverpb__ResponseHeader *header, int64_t id, int64_t ttl, bool has_error)
{
    struct json json;
    ASSERT(header != NULL && ctl->format != CTL_SIMPLE);
    if (ctl->format == CTL_TABLE) return print_message_no_format(ctl);
    if (ctl->format == CTL_PROTOBUF) print_message_bytes(&header->base);
    if (ctl->format == CTL_FIELDS) {
        print_fields_header(header);
        printf("\"ID\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n", id, ttl);
    }
    if (ctl->format != CTL_JSON) return CTL_OK;
    json_init(&json);
    json_open(&json, NULL, '{');
    put_header(&json, header);
    put_number(&json, "ID", id);
    put_number(&json, "TTL", ttl);
    if (has_error) json_string(&json, "Error", "");
    finish(&json);
    return CTL_OK;
}

enum ctl_exit print_lease_grant(const struct ctl *ctl, const Etcdserverpb__LeaseGrantResponse *response)
{
    if (ctl->format != CTL_SIMPLE) return print_granted(ctl, response->header, response->id, response->ttl, true);
    printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s)\n", (uint64_t)response->id, response->ttl);
    return CTL_OK;
}

enum ctl_exit print_lease_revoke(const struct ctl *ctl, int64_t id, const Etcdserverpb__LeaseRevokeResponse *response)
{
    struct json json;
    ASSERT(response->header != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: printf("lease %016" PRIx64 " revoked\n", (uint64_t)id); break;
    case CTL_FIELDS: print_fields_header(response->header); break;
    case CTL_JSON:
        json_init(&json);
        json_open(&json, NULL, '{');
        json_open(&json, "header", '{');
        put_header(&json, response->header);
        json_close(&json, '}');
        finish(&json);
        break;
    case CTL_PROTOBUF: print_message_bytes(&response->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

static void simple_time_to_live(const Etcdserverpb__LeaseTimeToLiveResponse *response, bool has_keys)
{
    ASSERT(response != NULL);
    if (response->grantedttl == 0 && response->ttl == -1) {
        printf("lease %016" PRIx64 " already expired\n", (uint64_t)response->id);
        return;
    }
    printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s), remaining(%" PRId64 "s)", (uint64_t)response->id, response->grantedttl,
           response->ttl);
    if (has_keys) fputs(", attached keys([", stdout);
    for (size_t i = 0; has_keys && i < response->n_keys; i++) {
        if (i > 0) putchar(' ');
        fwrite(response->keys[i].data, 1, response->keys[i].len, stdout);
    }
    puts(has_keys ? "])" : "");
}

static void json_time_to_live(const Etcdserverpb__LeaseTimeToLiveResponse *response)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    put_header(&json, response->header);
    put_number(&json, "id", response->id);
    put_number(&json, "ttl", response->ttl);
    put_number(&json, "granted-ttl", response->grantedttl);
    if (response->n_keys == 0) json_null(&json, "keys");
    if (response->n_keys > 0) json_open(&json, "keys", '[');
    for (size_t i = 0; i < response->n_keys; i++) json_bytes(&json, NULL, slice_make(response->keys[i].data, response->keys[i].len));
    if (response->n_keys > 0) json_close(&json, ']');
    finish(&json);
}

enum ctl_exit print_lease_time_to_live(const struct ctl *ctl, const Etcdserverpb__LeaseTimeToLiveResponse *response, bool has_keys)
{
    ASSERT(response->header != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: simple_time_to_live(response, has_keys); break;
    case CTL_FIELDS:
        print_fields_header(response->header);
        printf("\"ID\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n\"GrantedTTL\" : %" PRId64 "\n", response->id, response->ttl, response->grantedttl);
        for (size_t i = 0; i < response->n_keys; i++) print_fields_bytes("Key", slice_make(response->keys[i].data, response->keys[i].len));
        break;
    case CTL_JSON: json_time_to_live(response); break;
    case CTL_PROTOBUF: print_message_bytes(&response->header->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

static void json_list(const Etcdserverpb__LeaseLeasesResponse *response)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    put_header(&json, response->header);
    json_open(&json, "leases", '[');
    for (size_t i = 0; i < response->n_leases; i++) {
        json_open(&json, NULL, '{');
        put_number(&json, "id", response->leases[i]->id);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    finish(&json);
}

enum ctl_exit print_lease_list(const struct ctl *ctl, const Etcdserverpb__LeaseLeasesResponse *response)
{
    ASSERT(response->header != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE:
        printf("found %zu leases\n", response->n_leases);
        for (size_t i = 0; i < response->n_leases; i++) printf("%016" PRIx64 "\n", (uint64_t)response->leases[i]->id);
        break;
    case CTL_FIELDS:
        print_fields_header(response->header);
        for (size_t i = 0; i < response->n_leases; i++) printf("\"ID\" : %" PRId64 "\n", response->leases[i]->id);
        break;
    case CTL_JSON: json_list(response); break;
    case CTL_PROTOBUF: print_message_bytes(&response->header->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

enum ctl_exit print_lease_keep_alive(const struct ctl *ctl, const Etcdserverpb__LeaseKeepAliveResponse *response)
{
    if (ctl->format != CTL_SIMPLE) return print_granted(ctl, response->header, response->id, response->ttl, false);
    printf("lease %016" PRIx64 " keepalived with TTL(%" PRId64 ")\n", (uint64_t)response->id, response->ttl);
    return CTL_OK;
}
