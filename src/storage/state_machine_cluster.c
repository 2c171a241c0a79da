/* state_machine_cluster: the commands that say of members what no configuration does, and the configuration. See state_machine.h. */
#include "storage/state_machine_inner.h"

#include <string.h>

#include "base/alloc.h"

static void set_cluster(struct state_machine *machine, struct cluster *cluster)
{
    ASSERT(cluster != NULL && cluster != machine->cluster);
    cluster_unref(machine->cluster);
    machine->cluster = cluster;
}

/* A string as it stands in a message; false if it is none that a C string can hold. */
static bool take_text(const struct pb_field *field, char **out_text)
{
    if (field->wire != PB_BYTES || memchr(field->bytes.data, 0, field->bytes.size) != NULL) return false;
    char *text = alloc_new(field->bytes.size + 1);
    memcpy(text, field->bytes.data, field->bytes.size);
    text[field->bytes.size] = '\0';
    alloc_free(*out_text);
    *out_text = text;
    return true;
}

/* ClusterVersionSetRequest { ver = 1 } */
void state_machine_cluster_version_set(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    char *version = alloc_string("");
    bool ok = true;
    while (reader_pb_field(&reader, &field))
        if (field.number == 1) ok = take_text(&field, &version) && ok;
    state_machine_demand(entry, ok && !reader.bad ? ERR_OK : ERR_MALFORMED);
    set_cluster(machine, cluster_with_version(machine->cluster, version));
    alloc_free(version);
}

struct attributes {
    char *name;
    char **client_urls;
    size_t client_url_count;
};

static void attributes_deinit(struct attributes *attributes)
{
    alloc_free(attributes->name);
    for (size_t i = 0; i < attributes->client_url_count; i++) alloc_free(attributes->client_urls[i]);
    alloc_free(attributes->client_urls);
}

/* Attributes { name = 1, repeated client_urls = 2 } */
static bool read_attributes(struct slice bytes, struct attributes *attributes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool ok = true;
    while (reader_pb_field(&reader, &field)) {
        char *url = NULL;
        if (field.number == 1) ok = take_text(&field, &attributes->name) && ok;
        if (field.number != 2) continue;
        ok = take_text(&field, &url) && ok;
        if (url == NULL) continue;
        size_t count = attributes->client_url_count++;
        attributes->client_urls = alloc_resize(attributes->client_urls, (count + 1) * sizeof(char *));
        attributes->client_urls[count] = url;
    }
    return ok && !reader.bad;
}

/* ClusterMemberAttrSetRequest { member_ID = 1, member_attributes = 2 } */
void state_machine_cluster_attributes_set(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes,
                                 struct state_machine_result *result)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    struct attributes attributes = {.name = alloc_string("")};
    uint64_t id = 0;
    bool ok = true;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) id = field.value;
        if (field.number == 2) ok = field.wire == PB_BYTES && read_attributes(field.bytes, &attributes) && ok;
    }
    state_machine_demand(entry, ok && !reader.bad ? ERR_OK : ERR_MALFORMED);
    if (cluster_find(machine->cluster, id) == NULL) /* removed in between */
        result->err = ERR_MEMBER_NOT_FOUND;
    else
        set_cluster(machine, cluster_with_attributes(machine->cluster, id, attributes.name, attributes.client_urls,
                                                     attributes.client_url_count));
    attributes_deinit(&attributes);
}

/* The configuration says who belongs; what members said of themselves, and the version, are ours to keep. */
void state_machine_cluster_conf(struct state_machine *machine, const struct raft_entry *entry, struct slice conf_members)
{
    blob_unref(machine->conf);
    machine->conf = entry->data == NULL ? NULL : blob_ref(entry->data);
    if (conf_members.size == 0) return;
    struct cluster *next = cluster_decode_members(machine->cluster->id, conf_members);
    state_machine_demand(entry, next != NULL ? ERR_OK : ERR_MALFORMED);
    for (size_t i = 0; i < machine->cluster->member_count; i++) {
        const struct cluster_member *member = &machine->cluster->members[i];
        if (cluster_find(next, member->id) == NULL) continue;
        struct cluster *with_attributes =
            cluster_with_attributes(next, member->id, member->name, member->client_urls, member->client_url_count);
        cluster_unref(next);
        next = with_attributes;
    }
    struct cluster *with_version = cluster_with_version(next, machine->cluster->version);
    cluster_unref(next);
    set_cluster(machine, with_version);
}
