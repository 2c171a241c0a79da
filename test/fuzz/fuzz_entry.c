/* fuzz_entry: what stands in the log: by the first byte of the input the envelope of a command, a configuration, or its members. What is
 * decoded can be encoded again and decodes to the same. Thread: one. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "raft/raft.h"
#include "storage/cluster.h"
#include "storage/command.h"
#include "storage/request.h"

static void check_command(struct slice bytes)
{
    struct command command, back;
    struct command_id id = {0};
    bool has_id = command_peek_id(bytes, &id);
    if (!command_decode(bytes, &command)) return;
    ASSERT(has_id && memcmp(&id, &command.id, sizeof id) == 0);
    ASSERT(command.level >= 1 && command.level <= COMMAND_LEVEL && strcmp(command_kind_name(command.kind), "unknown") != 0);
    struct blob *encoded = command_encode(&command);
    bool is_read = command_decode(blob_slice(encoded), &back);
    ASSERT(is_read && memcmp(&back.id, &command.id, sizeof id) == 0 && back.kind == command.kind && back.level == command.level);
    ASSERT(slice_equal(back.body, command.body) && slice_equal(back.user, command.user));
    ASSERT(back.auth_revision == command.auth_revision && back.chosen_lease_id == command.chosen_lease_id);
    ASSERT(slice_equal(back.chosen_lease_ids, command.chosen_lease_ids) && back.chosen_ttl == command.chosen_ttl);
    blob_unref(encoded);
}

static void check_conf(struct slice bytes)
{
    struct raft_conf conf, back;
    if (!raft_conf_decode(bytes, &conf)) return;
    ASSERT(raft_conf_is_valid(&conf));
    struct blob *encoded = raft_conf_encode(&conf);
    bool is_read = raft_conf_decode(blob_slice(encoded), &back);
    ASSERT(is_read && slice_equal(blob_slice(encoded), bytes));
    blob_unref(encoded);
    raft_conf_deinit(&back);
    raft_conf_deinit(&conf);
}

static void check_members(struct slice bytes)
{
    struct cluster *cluster = cluster_decode_members(7, bytes);
    if (cluster == NULL) return;
    for (size_t i = 0; i < cluster->member_count; i++) {
        ASSERT(cluster_find(cluster, cluster->members[i].id) == &cluster->members[i]);
        ASSERT(cluster->members[i].name != NULL && (i == 0 || cluster->members[i - 1].id < cluster->members[i].id));
    }
    struct blob *encoded = cluster_encode_members(cluster);
    struct cluster *back = cluster_decode_members(7, blob_slice(encoded));
    ASSERT(back != NULL && back->member_count == cluster->member_count);
    struct blob *again = cluster_encode_members(back);
    ASSERT(slice_equal(blob_slice(encoded), blob_slice(again)));
    blob_unref(again);
    blob_unref(encoded);
    cluster_unref(back);
    cluster_unref(cluster);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t strings[] = {1, 3, 0};
    if (size == 0) return 0;
    struct slice bytes = slice_make(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0: check_command(bytes); break;
    case 1: check_conf(bytes); break;
    case 2: check_members(bytes); break;
    default: (void)(request_scan(bytes, strings) == ERR_OK); break;
    }
    return 0;
}
