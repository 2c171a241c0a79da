/* tool_entry: see tool_entry.h. */
#include "tool_entry.h"

#include <inttypes.h>

#include "base/assert.h"
#include "raft/raft.h"
#include "storage/command.h"
#include "tool_message.h"

const char *tool_entry_kind_name(enum raft_entry_kind kind)
{
    switch (kind) {
    case RAFT_ENTRY_EMPTY: return "empty";
    case RAFT_ENTRY_COMMAND: return "normal";
    case RAFT_ENTRY_CONF: return "conf";
    }
    return "unknown";
}

const char *tool_entry_command_name(struct slice data)
{
    struct command command;
    return command_decode(data, &command) ? command_kind_name(command.kind) : "";
}

static const ProtobufCMessageDescriptor *envelope(void)
{
    const ProtobufCMessageDescriptor *found = tool_message_find("kvd.Envelope");
    ASSERT(found != NULL);
    return found;
}

/* An envelope that this version would not apply, as far as protobuf can tell. */
static void put_foreign(struct tool_tree *tree, struct slice data)
{
    struct tool_message_error error;
    tool_tree_bool(tree, "damaged", true);
    if (!tool_message_check(envelope(), data, &error)) return;
    tool_tree_open(tree, "envelope", '{');
    tool_message_put(tree, envelope(), data);
    tool_tree_close(tree);
}

static void put_id(struct tool_tree *tree, const struct command_id *id)
{
    if (tree->style != TOOL_TREE_JSON) {
        char text[64];
        (void)snprintf(text, sizeof text, "%016" PRIx64 ".%" PRIu64 ".%" PRIu64, id->member, id->boot, id->counter);
        tool_tree_word(tree, "id", text);
        return;
    }
    tool_tree_open(tree, "id", '{');
    tool_tree_id(tree, "member", id->member);
    tool_tree_u64(tree, "boot", id->boot);
    tool_tree_u64(tree, "counter", id->counter);
    tool_tree_close(tree);
}

static void put_chosen(struct tool_tree *tree, const struct command *command)
{
    struct reader ids = reader_make(command->chosen_lease_ids);
    bool has_ids = command->chosen_lease_id != 0 || command->chosen_lease_ids.size > 0;
    if (has_ids) tool_tree_open(tree, "chosen_lease_ids", '[');
    if (command->chosen_lease_id != 0) tool_tree_id(tree, NULL, (uint64_t)command->chosen_lease_id);
    while (!ids.bad && reader_left(&ids) > 0) {
        uint64_t id = reader_varint(&ids);
        if (!ids.bad) tool_tree_id(tree, NULL, id);
    }
    if (has_ids) tool_tree_close(tree);
    if (command->chosen_ttl != 0) tool_tree_i64(tree, "chosen_ttl", command->chosen_ttl);
}

static void put_command(struct tool_tree *tree, struct slice data)
{
    struct command command;
    struct tool_message_error error;
    if (!command_decode(data, &command)) {
        put_foreign(tree, data);
        return;
    }
    const ProtobufCMessageDescriptor *descriptor = tool_message_of_field(envelope(), (uint32_t)command.kind);
    ASSERT(descriptor != NULL);
    tool_tree_open(tree, "command", '{');
    tool_tree_word(tree, "kind", command_kind_name(command.kind));
    tool_tree_u64(tree, "level", command.level);
    put_id(tree, &command.id);
    if (command.user.size > 0) tool_tree_string(tree, "user", command.user);
    if (command.auth_revision > 0) tool_tree_u64(tree, "auth_revision", command.auth_revision);
    put_chosen(tree, &command);
    if (tool_message_check(descriptor, command.body, &error)) {
        tool_tree_open(tree, "body", '{');
        tool_message_put(tree, descriptor, command.body);
        tool_tree_close(tree);
    } else {
        tool_tree_bool(tree, "damaged", true);
        tool_tree_bytes(tree, "body_bytes", command.body);
    }
    tool_tree_close(tree);
}

static void put_ids(struct tool_tree *tree, const char *name, const uint64_t *ids, uint32_t count)
{
    if (count == 0) return;
    ASSERT(count <= RAFT_MEMBERS_MAX);
    tool_tree_open(tree, name, '[');
    for (uint32_t i = 0; i < count; i++) tool_tree_id(tree, NULL, ids[i]);
    tool_tree_close(tree);
}

static void put_urls(struct tool_tree *tree, const char *name, char **urls, size_t count)
{
    if (count == 0) return;
    tool_tree_open(tree, name, '[');
    for (size_t i = 0; i < count; i++) tool_tree_string(tree, NULL, slice_from_string(urls[i]));
    tool_tree_close(tree);
}

void tool_entry_put_members(struct tool_tree *tree, const char *name, const struct cluster *cluster)
{
    ASSERT(cluster != NULL);
    tool_tree_open(tree, name, '[');
    for (size_t i = 0; i < cluster->member_count; i++) {
        const struct cluster_member *member = &cluster->members[i];
        tool_tree_open(tree, NULL, '{');
        tool_tree_id(tree, "id", member->id);
        tool_tree_string(tree, "name", slice_from_string(member->name));
        put_urls(tree, "peer_urls", member->peer_urls, member->peer_url_count);
        put_urls(tree, "client_urls", member->client_urls, member->client_url_count);
        tool_tree_bool(tree, "learner", member->is_learner);
        tool_tree_close(tree);
    }
    tool_tree_close(tree);
}

void tool_entry_put_conf(struct tool_tree *tree, const char *name, struct slice data)
{
    struct raft_conf conf;
    if (!raft_conf_decode(data, &conf)) {
        tool_tree_bool(tree, "damaged", true);
        return;
    }
    struct cluster *cluster = cluster_decode_members(0, blob_slice(conf.members));
    tool_tree_open(tree, name, '{');
    put_ids(tree, "voters", conf.voters, conf.voter_count);
    put_ids(tree, "outgoing", conf.outgoing, conf.outgoing_count);
    put_ids(tree, "learners", conf.learners, conf.learner_count);
    if (cluster != NULL) tool_entry_put_members(tree, "members", cluster);
    else tool_tree_bytes(tree, "member_bytes", blob_slice(conf.members));
    tool_tree_close(tree);
    cluster_unref(cluster);
    raft_conf_deinit(&conf);
}

void tool_entry_put(struct tool_tree *tree, enum raft_entry_kind kind, struct slice data)
{
    ASSERT(tree->depth > 0);
    if (kind == RAFT_ENTRY_COMMAND) put_command(tree, data);
    else if (kind == RAFT_ENTRY_CONF) tool_entry_put_conf(tree, "conf", data);
}
