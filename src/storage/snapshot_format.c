/* snapshot_format: the bytes of a snapshot file.
 *
 * A snapshot is the whole replicated state behind one log entry. Its file is called TERM-INDEX.snap (both 16 hexadecimal digits) once it is
 * complete and durable; while it is written it has .tmp behind its name. All integers are little endian, varints as in protobuf.
 *
 * HEAD, 128 bytes:
 *
 *      0  "kvd-snap"                          56  i64 revision of the store
 *      8  u16 major, u16 minor                64  i64 compact revision
 *     12  u32 checksum kind (1 = CRC32C)      72  u64 changes that the history tells
 *     16  u64 incompatible-feature bits       80  u64 live keys
 *     24  u64 cluster id                      88  u64 bytes of live keys and their values
 *     32  u64 member id of the writer         96  zeros
 *     40  u64 index                          124  u32 CRC32C of the bytes before it
 *     48  u64 term
 *
 * BLOCKS follow, one behind the other, numbered from 0:
 *
 *      0  u32 CRC32C of the block from byte 4 to its end
 *      4  u16 section, u16 flags (1 = who does not know this section must not load the file)
 *      8  u64 file id: mixes cluster, index, term, revision and writer, so that blocks of another file never pass for one of this
 *     16  u32 number
 *     20  u32 bytes of payload
 *     24  payload
 *
 * SECTIONS, in this order; each but LEASES and KEYS is one block:
 *
 *     CONF     the raft configuration in force at index, as the log holds it
 *     CLUSTER  a message {1: the members' message, 2: version}
 *     SUMS     u64 hash, superseded, vanished (mvcc_history_log_sums at the revision), u64 garbage hash
 *     ALARMS   active ones and members' reports of their hashes, as alarm_state.c says; without it there are none
 *     LEASES   messages {1: id, 2: granted TTL in seconds, 3: index of the entry that granted it, 4: seconds that a checkpoint left it, if one
 *              is in force}, each behind its size (varint), in no order. A block is closed as one of keys. Which keys belong to them, the keys say
 *     others   to come: auth. Unknown ones are skipped, or refuse the file by their flag
 *     KEYS     versions, in the order of keys, each key's oldest first. A block is closed when it holds 64 KiB, so its size is bounded by that
 *              and the largest version; no version spans two blocks
 *     END      u64 bytes of the file, keys, versions, changes told; u32 blocks before this one, u32 zero. The file ends here: one without
 *              an end was cut off, one that goes on is damaged
 *
 * A VERSION:
 *
 *     u8 flags     1 = first of its key, 2 = delete, 4 = told by the history, 8 = life, 16 = lease
 *     varint       mod revision
 *     [told]       varint ordinal in the history, from 0
 *     [first]      varint size, key; otherwise the key is that of the version before it
 *     [life]       varint create revision, varint version; without it: the mod revision, 1
 *     [lease]      varint lease; without it 0
 *     [not delete] varint size, value
 *
 * Versions from the compact revision on are told by the history; of those before, the file has the one in force at the compact revision, and
 * no deletes. The ordinal puts each change where it stood, so that the history is restored in linear time, sub revisions included.
 *
 * THE READER takes nothing from a block before its checksum, id and number are right. What it has built at the end must have the hash, the
 * counts and the gapless history that head, SUMS and END promise. A damaged file is never half used: the next older one is loaded instead,
 * to which the log still reaches back.
 *
 * A SAVED file is what clients are sent: the file, zeros up to a whole block of 512 bytes, and the SHA-256 of all that. Its own end block says
 * where the zeros begin. Members never read such a file; tools do.
 *
 * THE WRITER writes under the .tmp name, syncs the file, renames it and syncs the directory; only then may the log before it go.
 */
#include "storage/snapshot_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"

STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed integers are copied as they stand in memory");

enum { FLAG_FIRST = 1, FLAG_DELETE = 2, FLAG_TOLD = 4, FLAG_LIFE = 8, FLAG_LEASE = 16, FLAGS_KNOWN = 31 };
enum { CLUSTER_MEMBERS = 1, CLUSTER_VERSION = 2 };

static const char snapshot_format_magic[8] = {'k', 'v', 'd', '-', 's', 'n', 'a', 'p'};

/* --- names ------------------------------------------------------------------------------------------------------------------- */

void snapshot_format_name(uint64_t index, uint64_t term, char out_name[SNAPSHOT_FORMAT_NAME_SIZE])
{
    ASSERT(index > 0 && term > 0);
    (void)snprintf(out_name, SNAPSHOT_FORMAT_NAME_SIZE, "%016" PRIx64 "-%016" PRIx64 SNAPSHOT_FORMAT_SUFFIX, term, index);
}

bool snapshot_format_parse_name(const char *name, uint64_t *out_index, uint64_t *out_term)
{
    uint64_t index = 0;
    uint64_t term = 0;
    char again[SNAPSHOT_FORMAT_NAME_SIZE];
    ASSERT(name != NULL);
    if (sscanf(name, "%16" SCNx64 "-%16" SCNx64, &term, &index) != 2 || term == 0 || index == 0) return false;
    snapshot_format_name(index, term, again);
    if (strcmp(name, again) != 0) return false;
    *out_index = index;
    *out_term = term;
    return true;
}

/* --- head -------------------------------------------------------------------------------------------------------------------- */

void snapshot_format_put_head(struct buf *buf, const struct snapshot_format_head *head)
{
    size_t begin = buf->size;
    ASSERT(head->index > 0 && head->term > 0 && head->compact_revision <= head->revision);
    buf_put(buf, snapshot_format_magic, sizeof snapshot_format_magic);
    buf_put_u16(buf, head->major);
    buf_put_u16(buf, head->minor);
    buf_put_u32(buf, head->checksum_kind);
    buf_put_u64(buf, head->features);
    buf_put_u64(buf, head->cluster_id);
    buf_put_u64(buf, head->member_id);
    buf_put_u64(buf, head->index);
    buf_put_u64(buf, head->term);
    buf_put_u64(buf, (uint64_t)head->revision);
    buf_put_u64(buf, (uint64_t)head->compact_revision);
    buf_put_u64(buf, head->history_count);
    buf_put_u64(buf, head->live_keys);
    buf_put_u64(buf, head->live_bytes);
    while (buf->size < begin + SNAPSHOT_FORMAT_HEAD - 4) buf_put_u32(buf, 0);
    buf_put_u32(buf, crc32c(0, buf_slice(buf).data + begin, SNAPSHOT_FORMAT_HEAD - 4));
    ASSERT(buf->size == begin + SNAPSHOT_FORMAT_HEAD);
}

static uint32_t read_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

const char *snapshot_format_get_head(const uint8_t bytes[SNAPSHOT_FORMAT_HEAD], struct snapshot_format_head *out_head, bool *out_is_supported)
{
    struct reader reader = reader_make(slice_make(bytes, SNAPSHOT_FORMAT_HEAD));
    struct slice magic = reader_bytes(&reader, sizeof snapshot_format_magic);
    if (memcmp(magic.data, snapshot_format_magic, magic.size) != 0) return "not a snapshot file";
    if (read_u32(bytes + SNAPSHOT_FORMAT_HEAD - 4) != crc32c(0, bytes, SNAPSHOT_FORMAT_HEAD - 4)) return "the head's checksum is wrong";
    struct snapshot_format_head head = {.major = reader_u16(&reader)};
    head.minor = reader_u16(&reader);
    head.checksum_kind = reader_u32(&reader);
    head.features = reader_u64(&reader);
    head.cluster_id = reader_u64(&reader);
    head.member_id = reader_u64(&reader);
    head.index = reader_u64(&reader);
    head.term = reader_u64(&reader);
    head.revision = (int64_t)reader_u64(&reader);
    head.compact_revision = (int64_t)reader_u64(&reader);
    head.history_count = reader_u64(&reader);
    head.live_keys = reader_u64(&reader);
    head.live_bytes = reader_u64(&reader);
    ASSERT(!reader.bad);
    *out_head = head;
    *out_is_supported = head.major == SNAPSHOT_FORMAT_MAJOR && head.checksum_kind == SNAPSHOT_FORMAT_CHECKSUM_CRC32C &&
                        (head.features & ~SNAPSHOT_FORMAT_FEATURES_KNOWN) == 0;
    if (!*out_is_supported) return "a newer program wrote it";
    if (head.index == 0 || head.term == 0) return "it has no position in the log";
    if (head.revision < 1 || head.compact_revision < 0 || head.compact_revision > head.revision) return "its revisions make no sense";
    return NULL;
}

uint64_t snapshot_format_saved_bytes(uint64_t file_bytes)
{
    ASSERT(file_bytes <= UINT64_MAX - SNAPSHOT_FORMAT_SAVED_BLOCK - SNAPSHOT_FORMAT_TRAILER_BYTES);
    uint64_t blocks = (file_bytes + SNAPSHOT_FORMAT_SAVED_BLOCK - 1) / SNAPSHOT_FORMAT_SAVED_BLOCK;
    return blocks * SNAPSHOT_FORMAT_SAVED_BLOCK + SNAPSHOT_FORMAT_TRAILER_BYTES;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint64_t snapshot_format_id(const struct snapshot_format_head *head)
{
    uint64_t id = mix(mix(mix(head->cluster_id + 1) + head->member_id) + head->index);
    return mix(mix(id + head->term) + (uint64_t)head->revision);
}

/* --- blocks ------------------------------------------------------------------------------------------------------------------ */

void snapshot_format_block_begin(struct buf *buf)
{
    uint8_t *frame = buf_extend(buf, SNAPSHOT_FORMAT_FRAME);
    memset(frame, 0, SNAPSHOT_FORMAT_FRAME);
}

void snapshot_format_block_end(struct buf *buf, size_t begin, const struct snapshot_format_head *head, uint16_t section, uint16_t flags,
                               uint32_t number)
{
    ASSERT(buf->size >= begin + SNAPSHOT_FORMAT_FRAME);
    size_t bytes = buf->size - begin;
    uint8_t *frame = buf->blob->data + begin;
    uint32_t payload_bytes = (uint32_t)(bytes - SNAPSHOT_FORMAT_FRAME);
    uint64_t id = snapshot_format_id(head);
    ASSERT(bytes - SNAPSHOT_FORMAT_FRAME <= SNAPSHOT_FORMAT_PAYLOAD_MAX);
    memcpy(frame + 4, &section, sizeof section);
    memcpy(frame + 6, &flags, sizeof flags);
    memcpy(frame + 8, &id, sizeof id);
    memcpy(frame + 16, &number, sizeof number);
    memcpy(frame + 20, &payload_bytes, sizeof payload_bytes);
    uint32_t checksum = crc32c(0, frame + 4, bytes - 4);
    memcpy(frame, &checksum, sizeof checksum);
}

struct snapshot_format_block snapshot_format_get_frame(const uint8_t bytes[SNAPSHOT_FORMAT_FRAME])
{
    uint32_t kind = read_u32(bytes + 4);
    return (struct snapshot_format_block){.section = (uint16_t)kind,
                                          .flags = (uint16_t)(kind >> 16),
                                          .number = read_u32(bytes + 16),
                                          .payload_bytes = read_u32(bytes + 20),
                                          .checksum = read_u32(bytes)};
}

bool snapshot_format_block_is_good(const uint8_t *bytes, const struct snapshot_format_head *head, uint32_t number)
{
    struct snapshot_format_block block = snapshot_format_get_frame(bytes);
    uint64_t id;
    memcpy(&id, bytes + 8, sizeof id);
    ASSERT(block.payload_bytes <= SNAPSHOT_FORMAT_PAYLOAD_MAX);
    if (id != snapshot_format_id(head) || block.number != number) return false;
    return crc32c(0, bytes + 4, SNAPSHOT_FORMAT_FRAME - 4 + (size_t)block.payload_bytes) == block.checksum;
}

/* --- sections ---------------------------------------------------------------------------------------------------------------- */

void snapshot_format_put_cluster(struct buf *buf, const struct cluster *cluster)
{
    struct blob *members = cluster_encode_members(cluster);
    buf_put_pb_bytes(buf, CLUSTER_MEMBERS, blob_slice(members));
    buf_put_pb_bytes(buf, CLUSTER_VERSION, slice_from_string(cluster->version));
    blob_unref(members);
}

struct cluster *snapshot_format_get_cluster(struct slice payload, uint64_t cluster_id)
{
    struct reader reader = reader_make(payload);
    struct pb_field field;
    struct slice members = slice_empty();
    struct slice version = slice_empty();
    bool ok = true;
    while (ok && reader_pb_field(&reader, &field)) {
        bool is_known = field.number == CLUSTER_MEMBERS || field.number == CLUSTER_VERSION;
        ok = !is_known || field.wire == PB_BYTES;
        if (field.number == CLUSTER_MEMBERS) members = field.bytes;
        if (field.number == CLUSTER_VERSION) version = field.bytes;
    }
    if (!ok || reader.bad || (version.size > 0 && memchr(version.data, 0, version.size) != NULL)) return NULL;
    struct cluster *bare = cluster_decode_members(cluster_id, members);
    if (bare == NULL) return NULL;
    char *text = alloc_zero(version.size + 1, 1);
    if (version.size > 0) memcpy(text, version.data, version.size);
    struct cluster *cluster = cluster_with_version(bare, text);
    alloc_free(text);
    cluster_unref(bare);
    return cluster;
}

void snapshot_format_put_sums(struct buf *buf, const struct mvcc_export_image *image)
{
    ASSERT(image->revision > 0);
    buf_put_u64(buf, image->hash);
    buf_put_u64(buf, image->superseded);
    buf_put_u64(buf, image->vanished);
    buf_put_u64(buf, image->garbage_hash);
}

bool snapshot_format_get_sums(struct slice payload, struct mvcc_export_image *image)
{
    struct reader reader = reader_make(payload);
    image->hash = reader_u64(&reader);
    image->superseded = reader_u64(&reader);
    image->vanished = reader_u64(&reader);
    image->garbage_hash = reader_u64(&reader);
    return !reader.bad && reader_left(&reader) == 0;
}

void snapshot_format_put_end(struct buf *buf, const struct snapshot_format_end *end)
{
    ASSERT(end->versions >= end->keys);
    buf_put_u64(buf, end->file_bytes);
    buf_put_u64(buf, end->keys);
    buf_put_u64(buf, end->versions);
    buf_put_u64(buf, end->history_count);
    buf_put_u32(buf, end->blocks);
    buf_put_u32(buf, 0);
}

bool snapshot_format_get_end(struct slice payload, struct snapshot_format_end *out_end)
{
    struct reader reader = reader_make(payload);
    struct snapshot_format_end end = {.file_bytes = reader_u64(&reader)};
    end.keys = reader_u64(&reader);
    end.versions = reader_u64(&reader);
    end.history_count = reader_u64(&reader);
    end.blocks = reader_u32(&reader);
    (void)reader_u32(&reader);
    if (reader.bad || reader_left(&reader) != 0 || end.keys > end.versions) return false;
    *out_end = end;
    return true;
}

/* --- versions ---------------------------------------------------------------------------------------------------------------- */

static void put_bytes(struct buf *buf, struct slice bytes)
{
    buf_put_varint(buf, bytes.size);
    buf_put_slice(buf, bytes);
}

void snapshot_format_put_version(struct buf *buf, const struct mvcc_export_version *version)
{
    const struct mvcc_kv *kv = &version->kv;
    bool has_life = !version->is_delete && kv->version != 1;
    bool has_lease = kv->lease != 0;
    uint8_t flags = (uint8_t)((version->is_first ? FLAG_FIRST : 0) | (version->is_delete ? FLAG_DELETE : 0) |
                              (version->is_told ? FLAG_TOLD : 0) | (has_life ? FLAG_LIFE : 0) | (has_lease ? FLAG_LEASE : 0));
    ASSERT(has_life || version->is_delete || kv->create_revision == kv->mod_revision);
    buf_put_u8(buf, flags);
    buf_put_varint(buf, (uint64_t)kv->mod_revision);
    if (version->is_told) buf_put_varint(buf, version->ordinal);
    if (version->is_first) put_bytes(buf, kv->key);
    if (has_life) buf_put_varint(buf, (uint64_t)kv->create_revision);
    if (has_life) buf_put_varint(buf, (uint64_t)kv->version);
    if (has_lease) buf_put_varint(buf, (uint64_t)kv->lease);
    if (!version->is_delete) put_bytes(buf, kv->value);
}

static struct slice get_bytes(struct reader *reader)
{
    uint64_t size = reader_varint(reader);
    if (size > reader_left(reader)) reader->bad = true;
    return reader->bad ? slice_empty() : reader_bytes(reader, (size_t)size);
}

bool snapshot_format_get_version(struct reader *reader, struct mvcc_export_version *out_version)
{
    if (reader->bad || reader_left(reader) == 0) return false;
    uint8_t flags = reader_u8(reader);
    struct mvcc_export_version version = {.is_first = (flags & FLAG_FIRST) != 0,
                                          .is_delete = (flags & FLAG_DELETE) != 0,
                                          .is_told = (flags & FLAG_TOLD) != 0};
    struct mvcc_kv *kv = &version.kv;
    kv->mod_revision = (int64_t)reader_varint(reader);
    uint64_t ordinal = version.is_told ? reader_varint(reader) : 0;
    version.ordinal = (uint32_t)ordinal;
    if (version.is_first) kv->key = get_bytes(reader);
    if (!version.is_delete) {
        kv->create_revision = kv->mod_revision;
        kv->version = 1;
    }
    if ((flags & FLAG_LIFE) != 0) {
        kv->create_revision = (int64_t)reader_varint(reader);
        kv->version = (int64_t)reader_varint(reader);
    }
    if ((flags & FLAG_LEASE) != 0) kv->lease = (int64_t)reader_varint(reader);
    if (!version.is_delete) kv->value = get_bytes(reader);
    if ((flags & ~FLAGS_KNOWN) != 0 || ordinal > UINT32_MAX || kv->mod_revision < 1) reader->bad = true;
    if (reader->bad) return false;
    *out_version = version;
    return true;
}

void snapshot_format_put_lease(struct buf *buf, const struct lease_row *row)
{
    struct buf message;
    ASSERT(row->id != 0 && row->ttl > 0 && row->granted_index > 0);
    buf_init(&message);
    buf_put_pb_varint(&message, 1, (uint64_t)row->id);
    buf_put_pb_varint(&message, 2, (uint64_t)row->ttl);
    buf_put_pb_varint(&message, 3, row->granted_index);
    if (row->remaining > 0) buf_put_pb_varint(&message, 4, (uint64_t)row->remaining);
    buf_put_varint(buf, message.size);
    buf_put_slice(buf, buf_slice(&message));
    buf_deinit(&message);
}

bool snapshot_format_get_lease(struct reader *reader, struct lease_row *out_row)
{
    struct pb_field field;
    uint64_t values[4] = {0, 0, 0, 0};
    if (reader->bad || reader_left(reader) == 0) return false;
    struct reader message = reader_make(reader_bytes(reader, reader_varint(reader)));
    while (reader_pb_field(&message, &field)) {
        bool is_known = field.number <= 4 && field.wire == PB_VARINT && values[field.number - 1] == 0;
        if (!is_known) break;
        values[field.number - 1] = field.value;
    }
    bool is_read = !reader->bad && !message.bad && reader_left(&message) == 0;
    bool is_sound = values[0] != 0 && (int64_t)values[1] > 0 && values[2] != 0 && values[3] <= values[1];
    if (!is_read || !is_sound) {
        reader->bad = true;
        return false;
    }
    *out_row = (struct lease_row){.id = (int64_t)values[0], .ttl = (int64_t)values[1], .granted_index = values[2],
                                 .remaining = (int64_t)values[3]};
    return true;
}
