/* wal_format: the bytes of the log on disk.
 *
 * The log is a sequence of batches, numbered from 1 over the whole life of a member. A batch is what one write and one
 * fdatasync make durable together: all appends that waited, with the hard state after them. Batches lie one behind the other in
 * segment files SEQUENCE-FIRSTINDEX.wal (both 16 hexadecimal digits). All integers are little endian.
 *
 * BLOCKS. A segment is made of blocks of 512 bytes (what a disk writes whole or not at all); a batch begins on a block:
 *
 *      0  u32 CRC32C of bytes 4..511          16  u64 batch sequence
 *      4  u32 block: place in the batch       24  u32 blocks: how many the batch has
 *      8  u64 segment id                      28  u32 lag: batch sequence minus the highest batch known durable
 *     32  476 bytes of payload                508  u32 seal, the last to be written: without it the write stopped inside the block
 *
 * The segment id mixes cluster, member and segment sequence: bytes of a file's former life, of another member, or of a misdirected
 * write never pass for a block of this segment, and zeros never carry a valid checksum. The seal is mixed of the segment id, and is not 0.
 *
 * PAYLOAD, over all blocks of a batch, without the stamps:
 *
 *     [segment head, 128]   only in the first batch of a segment, so that the magic stands at offset 32 of the file:
 *                           "kvd-wal\n", u16 major, u16 minor, u32 checksum kind, u64 incompatible-feature bits, u64 cluster,
 *                           u64 member, u64 sequence, u64 first index, u64 capacity, u64 suspect index, u64 suspect term,
 *                           u64 reset index, u64 reset term (with feature bit 1; bit 2: they are 0), u64 former sequence (with
 *                           feature bit 4: the segment that the file was before), zeros
 *     batch header, 56      u32 bytes of records, u32 records, u64 term, u64 vote, u64 commit, u64 last index, u64 last term,
 *                           u32 flags (1 = mark), u32 zero
 *     records               24 + data: u8 kind, u8 entry kind, u16 zero, u32 data bytes, u64 index, u64 term
 *                           ENTRY: an index at or below the last one replaces the log from there on
 *                           NEXT (with feature bit 8): u8 kind, u8 lead, u16 data bytes, data: see below
 *                           CONF: the configuration at the start of a segment (older segments may be gone)
 *     zeros                 so that the trailer ends the last block, and a batch has two blocks at least
 *     trailer, 40           u32 "END\n", u32 CRC32C of the payload up to the records' end, u64 last index, u64 last term,
 *                           u64 term, u64 vote
 *
 * Both ends of a batch say its term, vote and position, in different blocks: one damaged block takes no vote along.
 *
 * What many clients write in one batch differs little in its heads. An ENTRY that follows the one before it, with the term and kind of the newest whole
 * ENTRY record of its batch, may be a NEXT: its first `lead` bytes are that record's, and only the others stand here.
 *
 * So the first batch of a segment repeats term, vote, commit and configuration, and every batch carries the whole hard state:
 * the newest batch is the only truth for them.
 *
 * A SEGMENT is made as "spare": room for its whole length is allocated, which reads as zeros, and synced; so no batch can lack space. Or it is the
 * file of one that the log does not need any more: that is renamed to "spare-SEQUENCE" and the directory synced before a byte of it changes,
 * so that a crash brings it back as it was, or not at all; and only what it lacks in length is allocated. Only a file that this
 * process has filled itself and shortened to its batches is used again: all that it holds is intact blocks of one segment, whose
 * sequence the new head names, and behind them zeros. A start removes all spares, and so never meets a segment id twice.
 * Its first batch is written and synced while it is still called a spare; then it is renamed and the directory synced. A file with a
 * segment's name therefore holds a durable first batch: damage there is always corruption. A segment ends where the first batch
 * of the next one says: batches up to (that one's sequence - 1) count, whatever lies behind them. That is how a damaged tail is
 * cut without touching it: a new segment is begun. Afterwards the file is shortened to what counts of it: one that is shorter than its
 * capacity says that there was a next one, should that be missing.
 *
 * ZEROS AHEAD. The first write to allocated bytes makes a journal say so, about 12 KiB on ext4, and the sync waits for that. While batches are small,
 * one that comes to such bytes is preceded by a write of zeros there, 256 KiB or up to the end, over which it and the next ones go without changing
 * metadata: twice the bytes, and a fast sync. Larger ones go where nothing was written: the journal costs them less than zeros would. What a
 * reader finds behind the end are zeros either way, and where a crash takes some of them they are what was there before.
 *
 * THE HEAD OF THE LOG. A snapshot that reaches index s stands for the entries up to s. A segment may go, oldest first, once the
 * next one begins at or below s + 1; the directory is synced before the one after it may go, so that never one in the middle is
 * missing. A member that took a snapshot from another begins anew: a segment whose head carries the reset bit says behind which
 * (index, term) the log begins. All older segments are void from the moment this one has its name durably, not before: a crash
 * leaves the old log whole, or the new one.
 *
 * DURABLE MARKS. Batch n is written only after batch n - 1 is synced, and says so in its lag. An idle log writes one empty batch
 * (a mark). So all but the last batch of the log is covered by a valid durable mark.
 *
 * RECOVERY reads from the oldest segment, batch after batch. At the first place where the next batch n is not intact:
 *   any intact block behind it with a durable mark >= n, or a later segment: CORRUPT. n was durable; refuse, change nothing.
 *   else no trace of n: the CLEAN end.
 *   else some block of n is zeros, carries another stamp, or has no seal: TORN. The write never completed, so nobody was told: cut.
 *   else all blocks are there and a checksum is wrong: SUSPECT. The batch may have been acknowledged. The log ends before it, and
 *        the next segment's head remembers (suspect index, suspect term) until the commit index has passed that position. Term
 *        and vote are taken from the batch's header or, if its first block is damaged, from its trailer: a vote must not be given
 *        twice, nor an older term be served. If both ends are damaged nobody knows them: refuse.
 *        The only voter of the newest configuration has nobody to ask: it remembers nothing, and says so.
 * What the file held in a former life counts as zeros do. Its intact blocks carry another segment id: no trace, no mark, and no part of
 * what is cut. Where n was written over them and a block came through in part, its checksum is wrong and its end is zeros or the former
 * segment's seal: no seal. The end of a block that was damaged later is neither, unless just these 32 bits became one of the two. A bit that
 * flips in what stands behind the end makes a block that is nobody's, as in zeros: the block before or behind it is none of n, so TORN,
 * and the log goes on in a new segment. Files without bit 4 hold nothing but zeros there.
 * With a snapshot up to s, what is CORRUPT or missing is no refusal if it can only have held entries up to s: the log then begins
 * with the next intact batch of that segment, if its first entry is at most s + 1, or else with the next segment that begins at
 * s + 1 or before. Term, vote and commit index are the newest batch's all the same. A log that ends before s, or holds an
 * entry of another term there, begins anew behind s, as with a snapshot from another member.
 * A log that begins later, because all snapshots that reach there are lost, is of no use alone. Who is not the only voter begins anew behind
 * s (or index 1): term and vote stay, the configuration is the log's, and all that it held is remembered as lost, as that of a suspect batch,
 * so that this member helps nobody to lead who may lack it, until a leader has given it again. The void segments stay until then: should more
 * members have lost the same, they are the only place where it stands.
 * A removed segment may stand again before a hole, for a directory's sync that fails can leave a removal to the next crash: where no snapshot
 * is left, or the log in front of the hole is one without its head itself, it is the part behind the hole that begins later.
 * The bytes cut are copied to NAME.broken. The last intact batch is written once more, in place, with the same bytes, and synced
 * before anything is built on it: after a failed sync the page cache may show bytes that the disk never got. If that batch is the
 * first of its segment, the name may be what the disk never got: a copy of the file takes the name again, with the bytes cut, which
 * are what a start that ends here has to say of the loss to the next one.
 */
#include "storage/wal_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mutant.h"

#define WAL_FORMAT_END_MAGIC UINT32_C(0x0a444e45) /* "END\n" */
#define WAL_FORMAT_FLAG_MARK 1u
#define WAL_FORMAT_KIND_NEXT 3 /* beside the record kinds that users see: an ENTRY */

STATIC_ASSERT(WAL_FORMAT_HEAD + WAL_FORMAT_BATCH <= WAL_FORMAT_PAYLOAD, "head and batch header share the first block");

static const char wal_format_magic[8] = {'k', 'v', 'd', '-', 'w', 'a', 'l', '\n'};

static void put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, (uint16_t)value);
    put_u16(at + 2, (uint16_t)(value >> 16));
}

static void put_u64(uint8_t *at, uint64_t value)
{
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint64_t wal_format_segment_id(uint64_t cluster_id, uint64_t member_id, uint64_t sequence)
{
    ASSERT(sequence > 0);
    uint64_t id = mix(mix(mix(cluster_id + 1) + member_id) + sequence);
    return id == 0 ? 1 : id;
}

void wal_format_name(uint64_t sequence, uint64_t first_index, char out_name[WAL_FORMAT_NAME_SIZE])
{
    ASSERT(sequence > 0);
    ASSERT(first_index > 0);
    (void)snprintf(out_name, WAL_FORMAT_NAME_SIZE, "%016" PRIx64 "-%016" PRIx64 WAL_FORMAT_SUFFIX, sequence, first_index);
}

static bool parse_hex16(const char *text, uint64_t *out_value)
{
    uint64_t value = 0;
    for (int i = 0; i < 16; i++) {
        char c = text[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && !(c >= 'a' && c <= 'f')) return false;
        value = value << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *out_value = value;
    return true;
}

bool wal_format_parse_name(const char *name, uint64_t *out_sequence, uint64_t *out_first_index)
{
    ASSERT(name != NULL);
    uint64_t sequence = 0;
    uint64_t first_index = 0;
    if (strlen(name) != 33 + strlen(WAL_FORMAT_SUFFIX) || name[16] != '-') return false;
    if (strcmp(name + 33, WAL_FORMAT_SUFFIX) != 0) return false;
    if (!parse_hex16(name, &sequence) || !parse_hex16(name + 17, &first_index)) return false;
    if (sequence == 0 || first_index == 0) return false;
    *out_sequence = sequence;
    *out_first_index = first_index;
    return true;
}

/* Of a batch with so many bytes before its trailer. */
static uint64_t blocks_of(uint64_t payload)
{
    ASSERT(payload >= WAL_FORMAT_BATCH);
    uint64_t blocks = (payload + WAL_FORMAT_TRAILER + WAL_FORMAT_PAYLOAD - 1) / WAL_FORMAT_PAYLOAD;
    return blocks < WAL_FORMAT_BLOCKS_MIN ? WAL_FORMAT_BLOCKS_MIN : blocks;
}

uint64_t wal_format_batch_bytes(bool with_head, uint64_t record_count, uint64_t data_bytes)
{
    ASSERT(data_bytes < WAL_FORMAT_BATCH_MAX);
    ASSERT(record_count < WAL_FORMAT_BATCH_MAX / WAL_FORMAT_RECORD);
    return WAL_FORMAT_BLOCK * blocks_of((with_head ? WAL_FORMAT_HEAD : 0) + WAL_FORMAT_BATCH +
                                          record_count * WAL_FORMAT_RECORD + data_bytes);
}

/* ---- writing ---- */

void wal_format_writer_init(struct wal_format_writer *writer)
{
    *writer = (struct wal_format_writer){0};
}

void wal_format_writer_deinit(struct wal_format_writer *writer)
{
    if (writer == NULL) return;
    alloc_free(writer->memory);
    wal_format_writer_init(writer);
}

/* Copies payload bytes behind those already there, stepping over the stamps. */
static void writer_bytes(struct wal_format_writer *writer, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        size_t block = writer->payload / WAL_FORMAT_PAYLOAD;
        size_t inside = writer->payload % WAL_FORMAT_PAYLOAD;
        size_t piece = WAL_FORMAT_PAYLOAD - inside < size ? WAL_FORMAT_PAYLOAD - inside : size;
        ASSERT((block + 1) * WAL_FORMAT_BLOCK <= writer->capacity);
        memcpy(writer->memory + block * WAL_FORMAT_BLOCK + WAL_FORMAT_STAMP + inside, from, piece);
        writer->payload += piece;
        from += piece;
        size -= piece;
    }
}

static void head_encode(const struct wal_format_head *head, uint8_t *at)
{
    memset(at, 0, WAL_FORMAT_HEAD);
    memcpy(at, wal_format_magic, sizeof wal_format_magic);
    put_u16(at + 8, head->major);
    put_u16(at + 10, head->minor);
    put_u32(at + 12, head->checksum_kind);
    put_u64(at + 16, (head->features & ~WAL_FORMAT_FEATURE_REUSED) | (head->former == 0 ? 0 : WAL_FORMAT_FEATURE_REUSED));
    put_u64(at + 24, head->cluster_id);
    put_u64(at + 32, head->member_id);
    put_u64(at + 40, head->sequence);
    put_u64(at + 48, head->first_index);
    put_u64(at + 56, head->capacity);
    put_u64(at + 64, head->suspect_index);
    put_u64(at + 72, head->suspect_term);
    put_u64(at + 80, head->reset_index);
    put_u64(at + 88, head->reset_term);
    put_u64(at + 96, head->former);
}

void wal_format_writer_begin(struct wal_format_writer *writer, const struct wal_format_head *head_or_null, uint64_t bytes)
{
    ASSERT(bytes % WAL_FORMAT_BLOCK == 0);
    ASSERT(bytes > 0 && bytes < WAL_FORMAT_BATCH_MAX);
    if (writer->capacity < bytes) {
        alloc_free(writer->memory);
        writer->memory = alloc_aligned(WAL_FORMAT_BLOCK, bytes); /* as FS_DIRECT wants it */
        writer->capacity = bytes;
    }
    writer->payload = 0;
    writer->record_count = 0;
    writer->index = 0;
    writer->with_head = head_or_null != NULL;
    uint8_t fixed[WAL_FORMAT_HEAD + WAL_FORMAT_BATCH] = {0};
    if (head_or_null != NULL) {
        head_encode(head_or_null, fixed);
        writer_bytes(writer, fixed, WAL_FORMAT_HEAD);
    }
    memset(fixed, 0, sizeof fixed);
    writer_bytes(writer, fixed, WAL_FORMAT_BATCH); /* filled in by finish */
}

/* How many of its first bytes a short record need not say; 0 = it has to be a whole one. Less than a whole record's head is not worth the loss of
 * another one to compare with. */
static size_t writer_lead(const struct wal_format_writer *writer, const struct wal_format_record *record)
{
    if (!writer->may_shorten || writer->index == 0 || record->kind != WAL_FORMAT_ENTRY || record->index != writer->index + 1) return 0;
    if (record->term != writer->term || record->entry_kind != writer->entry_kind) return 0;
    size_t lead = 0, most = record->data.size < writer->lead_size ? record->data.size : writer->lead_size;
    while (lead < most && record->data.data[lead] == writer->lead[lead]) lead++;
    return lead < WAL_FORMAT_RECORD || record->data.size - lead > UINT16_MAX ? 0 : lead;
}

/* The next ones are compared with this one. */
static void writer_note(struct wal_format_writer *writer, const struct wal_format_record *record)
{
    if (record->kind != WAL_FORMAT_ENTRY) return;
    writer->index = record->index;
    writer->term = record->term;
    writer->entry_kind = record->entry_kind;
    writer->lead_size = record->data.size < WAL_FORMAT_LEAD_MAX ? record->data.size : WAL_FORMAT_LEAD_MAX;
    if (writer->lead_size > 0) memcpy(writer->lead, record->data.data, writer->lead_size);
}

static void writer_put_next(struct wal_format_writer *writer, const struct wal_format_record *record, size_t lead)
{
    uint8_t fixed[WAL_FORMAT_NEXT] = {WAL_FORMAT_KIND_NEXT, (uint8_t)lead};
    put_u16(fixed + 2, (uint16_t)(record->data.size - lead));
    writer_bytes(writer, fixed, sizeof fixed);
    writer_bytes(writer, record->data.data + lead, record->data.size - lead);
    writer->index = record->index;
}

void wal_format_writer_put(struct wal_format_writer *writer, const struct wal_format_record *record)
{
    ASSERT(record->kind == WAL_FORMAT_ENTRY || record->kind == WAL_FORMAT_CONF);
    ASSERT(record->data.size < WAL_FORMAT_BATCH_MAX && record->lead.size == 0);
    writer->record_count++;
    size_t lead = writer_lead(writer, record);
    if (lead > 0) {
        writer_put_next(writer, record, lead);
        return;
    }
    uint8_t fixed[WAL_FORMAT_RECORD];
    fixed[0] = (uint8_t)record->kind;
    fixed[1] = (uint8_t)record->entry_kind;
    put_u16(fixed + 2, 0);
    put_u32(fixed + 4, (uint32_t)record->data.size);
    put_u64(fixed + 8, record->index);
    put_u64(fixed + 16, record->term);
    writer_bytes(writer, fixed, sizeof fixed);
    writer_bytes(writer, record->data.data, record->data.size);
    writer_note(writer, record);
}

static void batch_encode(const struct wal_format_writer *writer, const struct wal_format_batch *batch, uint8_t *at)
{
    size_t before = (writer->with_head ? WAL_FORMAT_HEAD : 0) + WAL_FORMAT_BATCH;
    ASSERT(writer->payload >= before);
    put_u32(at, (uint32_t)(writer->payload - before));
    put_u32(at + 4, writer->record_count);
    put_u64(at + 8, batch->hard.term);
    put_u64(at + 16, batch->hard.vote);
    put_u64(at + 24, batch->hard.commit);
    put_u64(at + 32, batch->last_index);
    put_u64(at + 40, batch->last_term);
    put_u32(at + 48, batch->is_mark ? WAL_FORMAT_FLAG_MARK : 0);
    put_u32(at + 52, 0);
}

static uint32_t payload_crc(const struct wal_format_writer *writer)
{
    uint32_t crc = 0;
    const uint8_t *block = writer->memory;
    for (size_t left = writer->payload; left > 0; block += WAL_FORMAT_BLOCK) {
        size_t piece = left < WAL_FORMAT_PAYLOAD ? left : WAL_FORMAT_PAYLOAD;
        crc = crc32c(crc, block + WAL_FORMAT_STAMP, piece);
        left -= piece;
    }
    return crc;
}

static void trailer_encode(struct wal_format_writer *writer, const struct wal_format_batch *batch, uint32_t blocks)
{
    static const uint8_t zeros[WAL_FORMAT_PAYLOAD];
    size_t start = (size_t)blocks * WAL_FORMAT_PAYLOAD - WAL_FORMAT_TRAILER;
    uint32_t crc = payload_crc(writer);
    while (writer->payload < start) {
        size_t left = start - writer->payload;
        writer_bytes(writer, zeros, left < sizeof zeros ? left : sizeof zeros);
    }
    uint8_t trailer[WAL_FORMAT_TRAILER];
    put_u32(trailer, WAL_FORMAT_END_MAGIC);
    put_u32(trailer + 4, crc);
    put_u64(trailer + 8, batch->last_index);
    put_u64(trailer + 16, batch->last_term);
    put_u64(trailer + 24, batch->hard.term);
    put_u64(trailer + 32, batch->hard.vote);
    writer_bytes(writer, trailer, sizeof trailer);
    ASSERT(writer->payload == (size_t)blocks * WAL_FORMAT_PAYLOAD);
}

/* Differs from that of other segments in about half of its bits: some that flip make of it neither another's nor zeros. */
static uint32_t seal_of(uint64_t segment_id)
{
    uint64_t mixed = mix(MUTANT(D131) ? 1 : segment_id);
    uint32_t seal = (uint32_t)(mixed ^ mixed >> 32);
    return seal == 0 ? 1 : seal;
}

struct slice wal_format_writer_finish(struct wal_format_writer *writer, const struct wal_format_stamp *stamp,
                                      const struct wal_format_batch *batch)
{
    ASSERT(stamp->durable < stamp->batch);
    ASSERT(batch->hard.commit <= batch->last_index);
    batch_encode(writer, batch, writer->memory + WAL_FORMAT_STAMP + (writer->with_head ? WAL_FORMAT_HEAD : 0));

    uint32_t blocks = (uint32_t)blocks_of(writer->payload);
    trailer_encode(writer, batch, blocks);
    for (uint32_t i = 0; i < blocks; i++) {
        uint8_t *block = writer->memory + (size_t)i * WAL_FORMAT_BLOCK;
        put_u32(block + 4, i);
        put_u64(block + 8, stamp->segment_id);
        put_u64(block + 16, stamp->batch);
        put_u32(block + 24, blocks);
        put_u32(block + 28, (uint32_t)(stamp->batch - stamp->durable));
        put_u32(block + WAL_FORMAT_BLOCK - WAL_FORMAT_SEAL, seal_of(stamp->segment_id));
        put_u32(block, crc32c(0, block + 4, WAL_FORMAT_BLOCK - 4));
    }
    return slice_make(writer->memory, (size_t)blocks * WAL_FORMAT_BLOCK);
}

/* ---- reading ---- */

enum wal_format_class wal_format_classify(const uint8_t *block, struct wal_format_stamp *out_stamp)
{
    ASSERT(block != NULL);
    struct reader reader = reader_make(slice_make(block, WAL_FORMAT_STAMP));
    uint32_t crc = reader_u32(&reader);
    if (crc == 0 && block[4] == 0 && memcmp(block + 4, block + 5, WAL_FORMAT_BLOCK - 5) == 0) return WAL_FORMAT_ZERO;
    if (crc != crc32c(0, block + 4, WAL_FORMAT_BLOCK - 4)) return WAL_FORMAT_BAD;
    struct wal_format_stamp stamp = {.block = reader_u32(&reader), .segment_id = 0};
    stamp.segment_id = reader_u64(&reader);
    stamp.batch = reader_u64(&reader);
    stamp.blocks = reader_u32(&reader);
    uint32_t lag = reader_u32(&reader);
    if (lag == 0 || lag > stamp.batch || stamp.block >= stamp.blocks) return WAL_FORMAT_BAD;
    stamp.durable = stamp.batch - lag;
    ASSERT(!reader.bad);
    *out_stamp = stamp;
    return WAL_FORMAT_GOOD;
}

bool wal_format_is_unfinished(const uint8_t *block, uint64_t former_id)
{
    struct reader reader = reader_make(slice_make(block + WAL_FORMAT_BLOCK - WAL_FORMAT_SEAL, WAL_FORMAT_SEAL));
    uint32_t end = reader_u32(&reader);
    return end == 0 || (former_id != 0 && end == seal_of(former_id) && !MUTANT(D132));
}

uint64_t wal_format_former_id(const struct wal_format_head *head)
{
    return head->former == 0 ? 0 : wal_format_segment_id(head->cluster_id, head->member_id, head->former);
}

bool wal_format_head_decode(const uint8_t *block, struct wal_format_head *out_head)
{
    struct reader reader = reader_make(slice_make(block + WAL_FORMAT_STAMP, WAL_FORMAT_HEAD));
    if (memcmp(reader.at, wal_format_magic, sizeof wal_format_magic) != 0) return false;
    reader_skip(&reader, sizeof wal_format_magic);
    struct wal_format_head head = {.major = reader_u16(&reader), .minor = 0};
    head.minor = reader_u16(&reader);
    head.checksum_kind = reader_u32(&reader);
    head.features = reader_u64(&reader);
    head.cluster_id = reader_u64(&reader);
    head.member_id = reader_u64(&reader);
    head.sequence = reader_u64(&reader);
    head.first_index = reader_u64(&reader);
    head.capacity = reader_u64(&reader);
    head.suspect_index = reader_u64(&reader);
    head.suspect_term = reader_u64(&reader);
    head.reset_index = reader_u64(&reader);
    head.reset_term = reader_u64(&reader);
    head.former = reader_u64(&reader);
    ASSERT(!reader.bad);
    if ((head.features & WAL_FORMAT_FEATURE_REUSED) == 0) head.former = 0;
    if (!wal_format_is_reset(&head)) head.reset_index = head.reset_term = 0;
    *out_head = head;
    return true;
}

bool wal_format_head_is_supported(const struct wal_format_head *head)
{
    return head->major == WAL_FORMAT_MAJOR && head->checksum_kind == WAL_FORMAT_CHECKSUM_CRC32C &&
           (head->features & ~WAL_FORMAT_FEATURES_KNOWN) == 0;
}

static uint32_t header_decode(struct reader *reader, struct wal_format_batch *batch)
{
    uint32_t records_size = reader_u32(reader);
    batch->record_count = reader_u32(reader);
    batch->hard.term = reader_u64(reader);
    batch->hard.vote = reader_u64(reader);
    batch->hard.commit = reader_u64(reader);
    batch->last_index = reader_u64(reader);
    batch->last_term = reader_u64(reader);
    uint32_t flags = reader_u32(reader);
    batch->is_mark = (flags & WAL_FORMAT_FLAG_MARK) != 0;
    reader_skip(reader, 4);
    return records_size;
}

void wal_format_batch_header(const uint8_t *block, bool with_head, struct wal_format_batch *out_batch)
{
    ASSERT(block != NULL);
    size_t offset = WAL_FORMAT_STAMP + (with_head ? WAL_FORMAT_HEAD : 0);
    struct reader reader = reader_make(slice_make(block + offset, WAL_FORMAT_BATCH));
    *out_batch = (struct wal_format_batch){.has_head = with_head};
    (void)header_decode(&reader, out_batch);
    ASSERT(!reader.bad && reader_left(&reader) == 0);
}

static void trailer_decode(struct slice trailer, struct wal_format_batch *batch, uint32_t *out_magic, uint32_t *out_crc)
{
    struct reader reader = reader_make(trailer);
    *out_magic = reader_u32(&reader);
    *out_crc = reader_u32(&reader);
    batch->last_index = reader_u64(&reader);
    batch->last_term = reader_u64(&reader);
    batch->hard.term = reader_u64(&reader);
    batch->hard.vote = reader_u64(&reader);
    ASSERT(!reader.bad && reader_left(&reader) == 0);
}

void wal_format_batch_trailer(const uint8_t *block, struct wal_format_batch *out_batch)
{
    ASSERT(block != NULL);
    uint32_t magic = 0;
    uint32_t crc = 0;
    *out_batch = (struct wal_format_batch){0};
    trailer_decode(slice_make(block + WAL_FORMAT_BLOCK - WAL_FORMAT_SEAL - WAL_FORMAT_TRAILER, WAL_FORMAT_TRAILER), out_batch, &magic, &crc);
}

/* The trailer against what stands before it. */
static bool trailer_is_intact(struct slice before, struct slice trailer, const struct wal_format_batch *batch)
{
    uint32_t magic = 0;
    uint32_t crc = 0;
    struct wal_format_batch end;
    trailer_decode(trailer, &end, &magic, &crc);
    return magic == WAL_FORMAT_END_MAGIC && (crc == crc32c(0, before.data, before.size) || MUTANT(P20)) &&
           end.last_index == batch->last_index && end.last_term == batch->last_term && end.hard.term == batch->hard.term &&
           end.hard.vote == batch->hard.vote;
}

bool wal_format_batch_decode(uint8_t *blocks, uint32_t block_count, bool with_head, struct wal_format_batch *out_batch)
{
    ASSERT(block_count > 0);
    struct wal_format_batch batch = {.has_head = with_head};
    struct wal_format_stamp stamp;
    if (wal_format_classify(blocks, &stamp) != WAL_FORMAT_GOOD || stamp.blocks != block_count) return false;
    batch.sequence = stamp.batch;
    if (with_head && !wal_format_head_decode(blocks, &batch.head)) return false;

    uint8_t *payload = blocks + WAL_FORMAT_STAMP;
    for (size_t i = 1; i < block_count; i++) {
        memmove(payload + i * WAL_FORMAT_PAYLOAD, blocks + i * WAL_FORMAT_BLOCK + WAL_FORMAT_STAMP, WAL_FORMAT_PAYLOAD);
    }
    struct reader reader = reader_make(slice_make(payload, (size_t)block_count * WAL_FORMAT_PAYLOAD));
    if (with_head) reader_skip(&reader, WAL_FORMAT_HEAD);
    uint32_t records_size = header_decode(&reader, &batch);
    batch.records = reader_bytes(&reader, records_size);
    struct slice before = slice_make(payload, (size_t)(reader.at - payload));
    if (reader.bad || block_count != blocks_of(before.size)) return false;
    struct slice trailer = slice_make(payload + (size_t)block_count * WAL_FORMAT_PAYLOAD - WAL_FORMAT_TRAILER, WAL_FORMAT_TRAILER);
    if (!trailer_is_intact(before, trailer, &batch) || batch.hard.commit > batch.last_index) return false;
    *out_batch = batch;
    return true;
}

static bool next_decode(struct wal_format_records *records, struct wal_format_record *out_record)
{
    struct reader *reader = &records->reader;
    size_t lead = reader_u8(reader);
    uint16_t size = reader_u16(reader);
    struct slice data = reader_bytes(reader, size);
    if (records->whole.index == 0 || lead > records->whole.data.size) reader->bad = true;
    if (reader->bad) return false;
    *out_record = records->whole;
    out_record->index = ++records->index;
    out_record->lead = slice_make(records->whole.data.data, lead);
    out_record->data = data;
    return true;
}

static bool whole_decode(struct wal_format_records *records, uint8_t kind, struct wal_format_record *out_record)
{
    struct reader *reader = &records->reader;
    uint8_t entry_kind = reader_u8(reader);
    reader_skip(reader, 2);
    uint32_t size = reader_u32(reader);
    uint64_t index = reader_u64(reader);
    uint64_t term = reader_u64(reader);
    struct slice data = reader_bytes(reader, size);
    if (kind != WAL_FORMAT_ENTRY && kind != WAL_FORMAT_CONF) reader->bad = true;
    if (reader->bad) return false;
    *out_record = (struct wal_format_record){.kind = (enum wal_format_record_kind)kind,
                                             .entry_kind = (enum raft_entry_kind)entry_kind,
                                             .index = index,
                                             .term = term,
                                             .data = data};
    if (kind != WAL_FORMAT_ENTRY) return true;
    records->whole = *out_record;
    records->index = index;
    return true;
}

bool wal_format_record_next(struct wal_format_records *records, struct wal_format_record *out_record)
{
    if (records->reader.bad || reader_left(&records->reader) == 0) return false;
    uint8_t kind = reader_u8(&records->reader);
    return kind == WAL_FORMAT_KIND_NEXT ? next_decode(records, out_record) : whole_decode(records, kind, out_record);
}

struct blob *wal_format_record_blob(const struct wal_format_record *record)
{
    if (wal_format_record_bytes(record) == 0) return NULL;
    struct blob *blob = blob_new(wal_format_record_bytes(record));
    if (record->lead.size > 0) memcpy(blob->data, record->lead.data, record->lead.size);
    if (record->data.size > 0) memcpy(blob->data + record->lead.size, record->data.data, record->data.size);
    return blob;
}
