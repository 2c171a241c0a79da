/* cluster: values of the membership. Bytes: a message { repeated membershippb.Member members = 1 }.
 *
 * Identity, as the API computes it (Header and revision rules): a member's id is the first eight bytes, big endian, of
 * SHA-1(sorted peer URLs joined without separator + cluster token); the cluster's is that of SHA-1(sorted member ids, eight bytes
 * big endian each). Both depend on nothing else, so every member computes the same from the same --initial-cluster.
 */
#include "storage/cluster.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"

#define CLUSTER_MEMBERS_MAX 32
#define SHA1_BYTES 20

/* What callers see stands inside what is counted; initial_names runs parallel to the members, NULL when not from a flag. */
struct cluster_box {
    atomic_uint refs;
    char **initial_names;
    struct cluster cluster;
};

static struct cluster_box *box_of(const struct cluster *cluster)
{
    ASSERT(cluster != NULL);
    return LIST_ENTRY(cluster, struct cluster_box, cluster);
}

/* --- building blocks ------------------------------------------------------------------------------------------------------ */

static char *copy_text(struct slice text)
{
    char *copy = alloc_new(text.size + 1);
    if (text.size > 0) memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

static void free_texts(char **texts, size_t count)
{
    ASSERT(texts != NULL || count == 0);
    for (size_t i = 0; i < count; i++) alloc_free(texts[i]);
    alloc_free(texts);
}

static void append_text(char ***texts, size_t *count, char *text)
{
    ASSERT(text != NULL);
    *texts = alloc_resize(*texts, (*count + 1) * sizeof **texts);
    (*texts)[(*count)++] = text;
}

static char **copy_texts(char *const *texts, size_t count)
{
    ASSERT(texts != NULL || count == 0);
    char **copy = NULL;
    size_t copied = 0;
    while (copied < count) append_text(&copy, &copied, alloc_string(texts[copied]));
    return copy;
}

static void member_deinit(struct cluster_member *member)
{
    alloc_free(member->name);
    free_texts(member->peer_urls, member->peer_url_count);
    free_texts(member->client_urls, member->client_url_count);
}

static void member_set_attributes(struct cluster_member *member, const char *name, char *const *client_urls, size_t count)
{
    char *name_copy = alloc_string(name);
    char **urls_copy = copy_texts(client_urls, count);
    alloc_free(member->name);
    free_texts(member->client_urls, member->client_url_count);
    member->name = name_copy;
    member->client_urls = urls_copy;
    member->client_url_count = count;
}

static struct cluster *cluster_new(uint64_t id, const char *version, size_t member_count)
{
    ASSERT(version != NULL && member_count <= CLUSTER_MEMBERS_MAX);
    struct cluster_box *box = ALLOC(struct cluster_box);
    atomic_init(&box->refs, 1);
    box->cluster.id = id;
    box->cluster.version = alloc_string(version);
    box->cluster.members = alloc_zero(member_count > 0 ? member_count : 1, sizeof *box->cluster.members);
    box->cluster.member_count = member_count;
    return &box->cluster;
}

static struct cluster *cluster_copy(const struct cluster *from)
{
    struct cluster *cluster = cluster_new(from->id, from->version, from->member_count);
    for (size_t i = 0; i < from->member_count; i++) {
        const struct cluster_member *member = &from->members[i];
        cluster->members[i] = (struct cluster_member){
            .id = member->id,
            .name = alloc_string(member->name),
            .peer_urls = copy_texts(member->peer_urls, member->peer_url_count),
            .peer_url_count = member->peer_url_count,
            .client_urls = copy_texts(member->client_urls, member->client_url_count),
            .client_url_count = member->client_url_count,
            .is_learner = member->is_learner,
        };
    }
    char **names = box_of(from)->initial_names;
    if (names != NULL) box_of(cluster)->initial_names = copy_texts(names, from->member_count);
    return cluster;
}

struct cluster *cluster_ref(const struct cluster *cluster)
{
    struct cluster_box *box = box_of(cluster);
    unsigned before = atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return &box->cluster;
}

void cluster_unref(struct cluster *cluster)
{
    if (cluster == NULL) return;
    struct cluster_box *box = box_of(cluster);
    unsigned before = atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1) return;
    free_texts(box->initial_names, box->initial_names == NULL ? 0 : cluster->member_count);
    for (size_t i = 0; i < cluster->member_count; i++) member_deinit(&cluster->members[i]);
    alloc_free(cluster->members);
    alloc_free(cluster->version);
    alloc_free(box);
}

/* --- identity --------------------------------------------------------------------------------------------------------------- */

static uint64_t digest_head(struct slice bytes)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int ok = EVP_Digest(bytes.data, bytes.size, digest, &size, EVP_sha1(), NULL);
    ASSERT(ok == 1 && size == SHA1_BYTES);
    uint64_t head = 0;
    for (size_t i = 0; i < sizeof head; i++) head = head << 8 | digest[i];
    return head;
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static uint64_t member_id(const struct cluster_member *member, const char *token)
{
    ASSERT(member->peer_url_count > 0); /* sorted by the caller */
    struct buf buf;
    buf_init(&buf);
    for (size_t i = 0; i < member->peer_url_count; i++) buf_put_slice(&buf, slice_from_string(member->peer_urls[i]));
    buf_put_slice(&buf, slice_from_string(token));
    uint64_t id = digest_head(buf_slice(&buf));
    buf_deinit(&buf);
    return id;
}

static uint64_t cluster_id(const struct cluster *cluster)
{
    struct buf buf;
    buf_init(&buf);
    for (size_t i = 0; i < cluster->member_count; i++) {
        ASSERT(i == 0 || cluster->members[i - 1].id < cluster->members[i].id);
        buf_put_u64(&buf, __builtin_bswap64(cluster->members[i].id));
    }
    uint64_t id = digest_head(buf_slice(&buf));
    buf_deinit(&buf);
    return id;
}

/* --- --initial-cluster ------------------------------------------------------------------------------------------------------ */

static const char *const SCHEMES[] = {"http://", "https://", "unix://", "unixs://"};

/* NULL, or what is wrong with a peer URL. scheme://host:port, no path; a unix socket's "host" may be any name. */
static const char *url_complaint(const char *url)
{
    for (size_t i = 0; i < sizeof SCHEMES / sizeof SCHEMES[0]; i++) {
        size_t length = strlen(SCHEMES[i]);
        if (strncmp(url, SCHEMES[i], length) != 0) continue;
        const char *address = url + length;
        bool is_unix = SCHEMES[i][0] == 'u';
        const char *colon = strrchr(address, ':');
        if (!is_unix && strchr(address, '/') != NULL) return "URL must not contain a path";
        if (address[0] == '\0') return "URL has no address";
        if (!is_unix && (colon == NULL || colon == address || colon[1] == '\0' ||
                         strspn(colon + 1, "0123456789") != strlen(colon + 1)))
            return "URL address does not have the form \"host:port\"";
        return NULL;
    }
    return "URL scheme must be http, https, unix, or unixs";
}

static struct cluster_member *member_by_initial_name(struct cluster *cluster, const char *name)
{
    char **names = box_of(cluster)->initial_names;
    for (size_t i = 0; i < cluster->member_count; i++)
        if (strcmp(names[i], name) == 0) return &cluster->members[i];
    return NULL;
}

/* One "name=url". A name that stands more than once has several URLs. NULL, or the complaint. */
static const char *add_initial(struct cluster *cluster, const char *part, size_t size)
{
    const char *equals = memchr(part, '=', size);
    if (equals == NULL || equals == part) return "expected \"name=url\"";
    char *name = copy_text(slice_make(part, (size_t)(equals - part)));
    char *url = copy_text(slice_make(equals + 1, size - (size_t)(equals - part) - 1));
    const char *complaint = url_complaint(url);
    struct cluster_member *member = member_by_initial_name(cluster, name);
    if (complaint == NULL && member == NULL && cluster->member_count == CLUSTER_MEMBERS_MAX)
        complaint = "more than 32 members";
    for (size_t i = 0; complaint == NULL && i < cluster->member_count; i++)
        for (size_t n = 0; n < cluster->members[i].peer_url_count; n++)
            if (strcmp(cluster->members[i].peer_urls[n], url) == 0) complaint = "a peer URL stands twice";
    if (complaint == NULL && member == NULL) {
        box_of(cluster)->initial_names[cluster->member_count] = name;
        name = NULL;
        member = &cluster->members[cluster->member_count++];
        member->name = alloc_string("");
    }
    if (complaint == NULL) {
        append_text(&member->peer_urls, &member->peer_url_count, url);
        url = NULL;
    }
    alloc_free(name);
    alloc_free(url);
    return complaint;
}

/* Ids, then everything in ascending order of them. NULL, or the complaint. */
static const char *identify(struct cluster *cluster, const char *token)
{
    char **names = box_of(cluster)->initial_names;
    for (size_t i = 0; i < cluster->member_count; i++) {
        struct cluster_member *member = &cluster->members[i];
        qsort(member->peer_urls, member->peer_url_count, sizeof member->peer_urls[0], compare_texts);
        member->id = member_id(member, token);
        if (member->id == 0) return "a member's id comes out as 0";
    }
    for (size_t i = 1; i < cluster->member_count; i++) {
        for (size_t n = i; n > 0 && cluster->members[n - 1].id >= cluster->members[n].id; n--) {
            if (cluster->members[n - 1].id == cluster->members[n].id) return "two members have the same id";
            struct cluster_member member = cluster->members[n];
            char *name = names[n];
            cluster->members[n] = cluster->members[n - 1];
            names[n] = names[n - 1];
            cluster->members[n - 1] = member;
            names[n - 1] = name;
        }
    }
    cluster->id = cluster_id(cluster);
    return NULL;
}

struct cluster *cluster_from_initial(const char *initial_cluster, const char *token, char *out_message, size_t message_size)
{
    ASSERT(initial_cluster != NULL && token != NULL && out_message != NULL && message_size > 0);
    struct cluster *cluster = cluster_new(0, "", CLUSTER_MEMBERS_MAX);
    cluster->member_count = 0;
    box_of(cluster)->initial_names = alloc_zero(CLUSTER_MEMBERS_MAX, sizeof(char *));
    const char *complaint = *initial_cluster == '\0' ? "it is empty" : NULL;
    for (const char *part = initial_cluster; complaint == NULL && *part != '\0';) {
        size_t size = strcspn(part, ",");
        complaint = add_initial(cluster, part, size);
        if (complaint == NULL) part += size + (part[size] == ',');
        else snprintf(out_message, message_size, "initial cluster: \"%.*s\": %s", (int)size, part, complaint);
    }
    if (complaint == NULL || *initial_cluster == '\0') {
        if (complaint == NULL) complaint = identify(cluster, token);
        if (complaint != NULL) snprintf(out_message, message_size, "initial cluster: %s", complaint);
    }
    if (complaint == NULL) return cluster;
    cluster_unref(cluster);
    return NULL;
}

/* --- questions ---------------------------------------------------------------------------------------------------------------- */

const struct cluster_member *cluster_find(const struct cluster *cluster, uint64_t id)
{
    ASSERT(cluster->member_count <= CLUSTER_MEMBERS_MAX);
    for (size_t i = 0; i < cluster->member_count; i++)
        if (cluster->members[i].id == id) return &cluster->members[i];
    return NULL;
}

const struct cluster_member *cluster_find_initial_name(const struct cluster *cluster, const char *name)
{
    ASSERT(name != NULL);
    struct cluster_box *box = box_of(cluster);
    return box->initial_names == NULL ? NULL : member_by_initial_name(&box->cluster, name);
}

/* --- bytes ---------------------------------------------------------------------------------------------------------------- */

static void put_texts(struct buf *buf, uint32_t field, char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) buf_put_pb_bytes(buf, field, slice_from_string(texts[i]));
}

static void put_member(struct buf *buf, const struct cluster_member *member)
{
    struct buf part, inner;
    buf_init(&part);
    buf_init(&inner);
    ASSERT(member->id != 0);
    buf_put_pb_varint(&part, 1, member->id);
    put_texts(&inner, 1, member->peer_urls, member->peer_url_count);
    if (member->is_learner) buf_put_pb_varint(&inner, 2, 1);
    buf_put_pb_bytes(&part, 2, buf_slice(&inner));
    buf_clear(&inner);
    if (member->name[0] != '\0') buf_put_pb_bytes(&inner, 1, slice_from_string(member->name));
    put_texts(&inner, 2, member->client_urls, member->client_url_count);
    buf_put_pb_bytes(&part, 3, buf_slice(&inner));
    buf_put_pb_bytes(buf, 1, buf_slice(&part));
    buf_deinit(&inner);
    buf_deinit(&part);
}

struct blob *cluster_encode_members(const struct cluster *cluster)
{
    struct buf buf;
    buf_init(&buf);
    ASSERT(cluster->member_count <= CLUSTER_MEMBERS_MAX);
    for (size_t i = 0; i < cluster->member_count; i++) put_member(&buf, &cluster->members[i]);
    return buf_take_blob(&buf);
}

/* A string field; false on another wire type or a NUL inside. */
static bool take_text(const struct pb_field *field, char **out_text)
{
    if (field->wire != PB_BYTES || memchr(field->bytes.data, 0, field->bytes.size) != NULL) return false;
    *out_text = copy_text(field->bytes);
    return true;
}

static bool decode_raft_attributes(struct slice bytes, struct cluster_member *member)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    char *text;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) {
            if (!take_text(&field, &text)) return false;
            append_text(&member->peer_urls, &member->peer_url_count, text);
        } else if (field.number == 2) {
            if (field.wire != PB_VARINT) return false;
            member->is_learner = field.value != 0;
        }
    }
    return !reader.bad;
}

static bool decode_attributes(struct slice bytes, struct cluster_member *member)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    char *text;
    while (reader_pb_field(&reader, &field)) {
        if (field.number != 1 && field.number != 2) continue;
        if (!take_text(&field, &text)) return false;
        if (field.number == 2) {
            append_text(&member->client_urls, &member->client_url_count, text);
        } else {
            alloc_free(member->name);
            member->name = text;
        }
    }
    return !reader.bad;
}

/* False on damage; what was built stays in the member. */
static bool decode_member(struct slice bytes, struct cluster_member *member)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    member->name = alloc_string("");
    while (reader_pb_field(&reader, &field)) {
        bool ok = true;
        if (field.number == 1) {
            ok = field.wire == PB_VARINT;
            member->id = field.value;
        } else if (field.number == 2) {
            ok = field.wire == PB_BYTES && decode_raft_attributes(field.bytes, member);
        } else if (field.number == 3) {
            ok = field.wire == PB_BYTES && decode_attributes(field.bytes, member);
        }
        if (!ok) return false;
    }
    return !reader.bad && member->id != 0;
}

struct cluster *cluster_decode_members(uint64_t cluster_id_value, struct slice bytes)
{
    ASSERT(bytes.data != NULL || bytes.size == 0);
    struct cluster *cluster = cluster_new(cluster_id_value, "", CLUSTER_MEMBERS_MAX);
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool ok = true;
    cluster->member_count = 0;
    while (ok && reader_pb_field(&reader, &field)) {
        ok = field.number == 1 && field.wire == PB_BYTES && cluster->member_count < CLUSTER_MEMBERS_MAX;
        if (!ok) break;
        size_t n = cluster->member_count++;
        ok = decode_member(field.bytes, &cluster->members[n]) &&
             (n == 0 || cluster->members[n - 1].id < cluster->members[n].id);
    }
    if (ok && !reader.bad) return cluster;
    cluster_unref(cluster);
    return NULL;
}

/* --- changed copies ---------------------------------------------------------------------------------------------------------- */

struct cluster *cluster_with_attributes(const struct cluster *cluster, uint64_t id, const char *name, char **client_urls,
                                        size_t client_url_count)
{
    ASSERT(name != NULL && cluster_find(cluster, id) != NULL);
    struct cluster *changed = cluster_copy(cluster);
    size_t place = (size_t)(cluster_find(changed, id) - changed->members);
    member_set_attributes(&changed->members[place], name, client_urls, client_url_count);
    return changed;
}

struct cluster *cluster_with_version(const struct cluster *cluster, const char *version)
{
    ASSERT(version != NULL);
    struct cluster *changed = cluster_copy(cluster);
    alloc_free(changed->version);
    changed->version = alloc_string(version);
    return changed;
}
