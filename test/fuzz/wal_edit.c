/* wal_edit: see wal_edit.h. */
#include "fuzz/wal_edit.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "storage/wal_format.h"

#define FILES_MAX 16
#define BLOCKS_MAX 512
#define BATCHES_MAX 128
#define PATH_BYTES 256
#define NEWEST_BLOCKS 16
#define EDITS_MAX 12
#define EDIT_BYTES 6

struct block {
    size_t file;
    uint64_t offset;
    uint64_t durable; /* the highest batch that it says is on the disk */
    uint8_t bytes[WAL_FORMAT_BLOCK];
};
struct wal_edit {
    struct wal_rig rig;
    struct wal_rig_promise promise;
    struct fs_sim_disk *whole;
    char files[FILES_MAX][PATH_BYTES];
    size_t file_count;
    struct block blocks[BLOCKS_MAX]; /* that a batch wrote, those of a file's former lives among them */
    size_t block_count;
    uint64_t appended[BATCHES_MAX];  /* the model's append that batch n completed, at least */
    uint64_t batch_count;
};

/* --- what is known ---------------------------------------------------------------------------------------------------------- */

static bool is_state_of(const struct wal_rig_state *state, const struct wal_format_batch *batch)
{
    return state->hard.term == batch->hard.term && state->hard.vote == batch->hard.vote &&
           state->hard.commit == batch->hard.commit && state->last_index == batch->last_index;
}

static void learn_batch(struct wal_edit *edit, const struct block *block, uint64_t number, uint64_t *append)
{
    struct wal_format_batch batch = {0};
    wal_format_batch_header(block->bytes, block->offset == 0, &batch);
    while (!is_state_of(edit->rig.states[*append], &batch)) {
        ++*append;
        ASSERT(*append <= edit->rig.appended);
    }
    edit->appended[number] = *append;
    if (number > edit->batch_count) edit->batch_count = number;
}

static void learn_file(struct wal_edit *edit, size_t file, uint64_t *append)
{
    uint64_t size = fs_sim_size(edit->whole, edit->files[file]), segment_id = 0;
    for (uint64_t at = 0; at < size; at += WAL_FORMAT_BLOCK) {
        struct block *block = &edit->blocks[edit->block_count];
        struct wal_format_stamp stamp;
        *block = (struct block){.file = file, .offset = at};
        fs_sim_peek(edit->whole, edit->files[file], at, block->bytes, sizeof block->bytes);
        if (wal_format_classify(block->bytes, &stamp) != WAL_FORMAT_GOOD) continue;
        if (at == 0) segment_id = stamp.segment_id;
        edit->block_count++;
        ASSERT(edit->block_count < BLOCKS_MAX && stamp.batch < BATCHES_MAX);
        if (stamp.segment_id != segment_id) continue; /* of a former life: it promises nothing */
        block->durable = stamp.durable;
        if (stamp.block == 0) learn_batch(edit, block, stamp.batch, append);
    }
}

struct wal_edit *wal_edit_learn(wal_rig_script_fn *script_fn)
{
    struct wal_edit *edit = ALLOC(struct wal_edit);
    struct wal_rig *rig = &edit->rig;
    uint64_t append = 0;
    edit->promise.report = -1;
    wal_rig_init(rig);
    enum err err = script_fn(rig, &edit->promise);
    ASSERT(err == ERR_OK);
    const struct wal_rig_state *state = rig->states[rig->appended];
    wal_rig_append(rig, state->last_index + 1, 2, state->hard.term, state->hard.commit, 1500); /* a last batch that no mark covers */
    wal_rig_run(rig);
    wal_rig_close(rig);
    edit->whole = fs_sim_copy(rig->disk);
    rig->options.must_exist = true;
    while (wal_rig_segment(rig, edit->file_count, edit->files[edit->file_count], PATH_BYTES)) {
        ASSERT(edit->file_count + 1 < FILES_MAX);
        learn_file(edit, edit->file_count++, &append);
    }
    ASSERT(edit->batch_count > 10 && append == rig->appended);
    return edit;
}

struct wal_rig *wal_edit_begin(struct wal_edit *edit)
{
    wal_rig_move(&edit->rig, fs_sim_copy(edit->whole));
    wal_rig_snapshot(&edit->rig, edit->promise.snapshots[0][0], edit->promise.snapshots[0][1]);
    return &edit->rig;
}

uint64_t wal_edit_promised(const struct wal_edit *edit)
{
    const struct fs_sim_disk *disk = edit->rig.disk;
    uint8_t bytes[WAL_FORMAT_BLOCK];
    uint64_t batch = 0;
    for (size_t i = 0; i < edit->block_count; i++) {
        const struct block *block = &edit->blocks[i];
        const char *path = edit->files[block->file];
        if (block->durable <= batch || !fs_sim_exists(disk, path) || fs_sim_size(disk, path) < block->offset + sizeof bytes) continue;
        fs_sim_peek(disk, path, block->offset, bytes, sizeof bytes);
        if (memcmp(bytes, block->bytes, sizeof bytes) == 0) batch = block->durable;
    }
    return edit->appended[batch];
}

/* --- edits ------------------------------------------------------------------------------------------------------------------ */

enum edit_kind { EDIT_FLIP, EDIT_ZERO, EDIT_NOISE, EDIT_COPY, EDIT_CUT, EDIT_REMOVE, EDIT_TAIL, EDIT_POKE, EDIT_FORGE, EDIT_KINDS };

/* Makes the checksums of a batch fit whatever its bytes say, as far as its first block tells where it ends. */
static void forge(struct fs_sim_disk *disk, const char *path, uint64_t offset, uint64_t size)
{
    uint8_t blocks[16 * WAL_FORMAT_BLOCK], payload[16 * WAL_FORMAT_PAYLOAD];
    uint32_t count = 0, records = 0;
    uint64_t left = (size - offset) / WAL_FORMAT_BLOCK;
    fs_sim_peek(disk, path, offset, blocks, WAL_FORMAT_BLOCK);
    memcpy(&count, blocks + 24, sizeof count);
    if (count == 0 || count > 16 || count > left) count = 1;
    fs_sim_peek(disk, path, offset, blocks, count * WAL_FORMAT_BLOCK);
    for (uint32_t i = 0; i < count; i++)
        memcpy(payload + i * WAL_FORMAT_PAYLOAD, blocks + i * WAL_FORMAT_BLOCK + WAL_FORMAT_STAMP, WAL_FORMAT_PAYLOAD);
    size_t head = offset == 0 ? WAL_FORMAT_HEAD : 0;
    memcpy(&records, payload + head, sizeof records);
    uint64_t end = head + WAL_FORMAT_BATCH + (uint64_t)records;
    uint64_t trailer = count * WAL_FORMAT_PAYLOAD - WAL_FORMAT_TRAILER;
    if (end <= trailer) {
        uint32_t sum = crc32c(0, payload, (size_t)end);
        memcpy(payload + trailer, "END\n", 4);
        memcpy(payload + trailer + 4, &sum, sizeof sum);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *block = blocks + i * WAL_FORMAT_BLOCK;
        memcpy(block + WAL_FORMAT_STAMP, payload + i * WAL_FORMAT_PAYLOAD, WAL_FORMAT_PAYLOAD);
        uint32_t sum = crc32c(0, block + 4, WAL_FORMAT_BLOCK - 4);
        memcpy(block, &sum, sizeof sum);
    }
    fs_sim_poke(disk, path, offset, blocks, count * WAL_FORMAT_BLOCK);
}

/* Half of the numbers name one of the newest blocks: behind them nothing but marks tells that something was there. */
static const struct block *block_of(const struct wal_edit *edit, uint16_t number)
{
    ASSERT(edit->block_count > NEWEST_BLOCKS);
    size_t newest = edit->block_count - 1 - number % NEWEST_BLOCKS;
    return &edit->blocks[number < 0x8000 ? number % edit->block_count : newest];
}

/* True if it forges checksums. */
static bool apply(struct wal_edit *edit, struct reader *input)
{
    struct fs_sim_disk *disk = edit->rig.disk;
    uint8_t bytes[WAL_FORMAT_BLOCK] = {0};
    enum edit_kind kind = reader_u8(input) % EDIT_KINDS;
    const struct block *place = block_of(edit, reader_u16(input)), *from = block_of(edit, reader_u16(input));
    uint8_t argument = reader_u8(input);
    const char *path = edit->files[place->file];
    if (!fs_sim_exists(disk, path)) return false;
    uint64_t size = fs_sim_size(disk, path), offset = place->offset;
    if (size < offset + sizeof bytes) return false;
    struct rng rng;
    rng_init(&rng, argument);
    switch (kind) {
    case EDIT_FLIP: fs_sim_flip(disk, path, offset + rng_below(&rng, sizeof bytes), (uint8_t)(1u << (argument % 8))); return false;
    case EDIT_NOISE:
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)rng_next(&rng);
        fs_sim_poke(disk, path, offset, bytes, sizeof bytes);
        return false;
    case EDIT_ZERO: fs_sim_poke(disk, path, offset, bytes, sizeof bytes); return false;
    case EDIT_COPY: fs_sim_poke(disk, path, offset, from->bytes, sizeof from->bytes); return false;
    case EDIT_CUT: fs_sim_cut(disk, path, offset + argument); return false;
    case EDIT_REMOVE: fs_sim_remove(disk, path); return false;
    case EDIT_TAIL:
        for (uint64_t at = offset; at + sizeof bytes <= size; at += sizeof bytes) fs_sim_poke(disk, path, at, bytes, sizeof bytes);
        return false;
    default: break;
    }
    struct slice raw = reader_bytes(input, argument % 32 < reader_left(input) ? argument % 32 : reader_left(input));
    uint64_t at = offset + (kind == EDIT_FORGE ? WAL_FORMAT_STAMP : 0) + (uint64_t)(from - edit->blocks) % 400;
    if (raw.size > 0 && at + raw.size <= size) fs_sim_poke(disk, path, at, raw.data, raw.size);
    if (kind == EDIT_FORGE) forge(disk, path, offset, size);
    return kind == EDIT_FORGE;
}

bool wal_edit_apply(struct wal_edit *edit, struct reader *input)
{
    bool is_forged = false;
    for (size_t i = 0; i < EDITS_MAX && reader_left(input) >= EDIT_BYTES; i++) is_forged |= apply(edit, input);
    return is_forged;
}
