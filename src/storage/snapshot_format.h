/* snapshot_format: the bytes of a snapshot file. The essay on layout, the reader's way and damage stands at the head of snapshot_format.c.
 *
 * Owner: what is decoded borrows from the bytes it was decoded from. Thread: any. Limits: a block's payload ≤ SNAPSHOT_FORMAT_PAYLOAD_MAX.
 */
#ifndef STORAGE_SNAPSHOT_FORMAT_H
#define STORAGE_SNAPSHOT_FORMAT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "storage/cluster.h"
#include "storage/lease.h"
#include "storage/mvcc_export.h"

#define SNAPSHOT_FORMAT_MAJOR 1
#define SNAPSHOT_FORMAT_MINOR 0
#define SNAPSHOT_FORMAT_FEATURES_KNOWN UINT64_C(0) /* incompatible-feature bits that this program understands */
#define SNAPSHOT_FORMAT_CHECKSUM_CRC32C 1

#define SNAPSHOT_FORMAT_HEAD 128u
#define SNAPSHOT_FORMAT_FRAME 24u               /* in front of every block's payload */
#define SNAPSHOT_FORMAT_BLOCK_BYTES (64u << 10) /* a block of keys is closed when it holds as many */
#define SNAPSHOT_FORMAT_PAYLOAD_MAX (64u << 20) /* for the largest version that a request can bring */
#define SNAPSHOT_FORMAT_VERSION_MIN 3u          /* bytes of the smallest version that the history tells */
#define SNAPSHOT_FORMAT_END_BYTES 40u            /* payload of the end block */
#define SNAPSHOT_FORMAT_NAME_SIZE 40u           /* a file's name with its NUL */
#define SNAPSHOT_FORMAT_SAVED_BLOCK 512u        /* a saved file is padded to whole ones, in front of its trailer */
#define SNAPSHOT_FORMAT_TRAILER_BYTES 32u       /* SHA-256 */
#define SNAPSHOT_FORMAT_SUFFIX ".snap"
#define SNAPSHOT_FORMAT_TMP_SUFFIX ".tmp"

struct snapshot_format_head {
    uint16_t major;
    uint16_t minor;
    uint32_t checksum_kind;
    uint64_t features;
    uint64_t cluster_id;
    uint64_t member_id; /* who wrote it */
    uint64_t index;
    uint64_t term;
    int64_t revision;
    int64_t compact_revision;
    uint64_t history_count;
    uint64_t live_keys;
    uint64_t live_bytes;
};

enum snapshot_format_section {
    SNAPSHOT_FORMAT_CONF = 1,    /* raft_conf_encode's bytes */
    SNAPSHOT_FORMAT_CLUSTER = 2, /* members and version */
    SNAPSHOT_FORMAT_SUMS = 3,    /* what the state's hash needs */
    SNAPSHOT_FORMAT_KEYS = 4,    /* any number of blocks */
    SNAPSHOT_FORMAT_END = 5,
    SNAPSHOT_FORMAT_ALARMS = 16,
    SNAPSHOT_FORMAT_LEASES = 17, /* any number of blocks */
    SNAPSHOT_FORMAT_AUTH = 18,   /* a number that is taken for a section to come */
};
#define SNAPSHOT_FORMAT_INCOMPATIBLE UINT16_C(1) /* flag of a section: who does not know it must not load the file */

struct snapshot_format_block {
    uint16_t section;
    uint16_t flags;
    uint32_t number; /* from 0 */
    uint32_t payload_bytes;
    uint32_t checksum;
};
struct snapshot_format_end {
    uint64_t file_bytes; /* the end block included */
    uint64_t keys;
    uint64_t versions;
    uint64_t history_count;
    uint32_t blocks;     /* before this one */
};

void snapshot_format_name(uint64_t index, uint64_t term, char out_name[SNAPSHOT_FORMAT_NAME_SIZE]);
bool snapshot_format_parse_name(const char *name, uint64_t *out_index, uint64_t *out_term);

void snapshot_format_put_head(struct buf *buf, const struct snapshot_format_head *head);
/* NULL, or what is wrong with it. `is_supported` false: intact, but of a newer program. */
const char *snapshot_format_get_head(const uint8_t bytes[SNAPSHOT_FORMAT_HEAD], struct snapshot_format_head *out_head, bool *out_is_supported);
/* Of a saved file, padding and trailer included, whose snapshot has so many bytes. */
uint64_t snapshot_format_saved_bytes(uint64_t file_bytes);
/* Tells the blocks of one file from those of all others. */
uint64_t snapshot_format_id(const struct snapshot_format_head *head);

/* Begins a block at the buffer's end: room for the frame. */
void snapshot_format_block_begin(struct buf *buf);
/* `begin`: where block_begin found the buffer's end. Fills in the frame of what was put since. */
void snapshot_format_block_end(struct buf *buf, size_t begin, const struct snapshot_format_head *head, uint16_t section, uint16_t flags,
                               uint32_t number);
/* The frame by itself: nothing is checked yet. */
struct snapshot_format_block snapshot_format_get_frame(const uint8_t bytes[SNAPSHOT_FORMAT_FRAME]);
/* Is the whole block (frame and payload) intact, of this file, and the one with this number? */
bool snapshot_format_block_is_good(const uint8_t *bytes, const struct snapshot_format_head *head, uint32_t number);

void snapshot_format_put_cluster(struct buf *buf, const struct cluster *cluster);
struct cluster *snapshot_format_get_cluster(struct slice payload, uint64_t cluster_id); /* NULL: damaged */
void snapshot_format_put_sums(struct buf *buf, const struct mvcc_export_image *image);
bool snapshot_format_get_sums(struct slice payload, struct mvcc_export_image *image);
void snapshot_format_put_lease(struct buf *buf, const struct lease_row *row);
/* The next one of a block of leases; false at the end or when bad (look at reader->bad). */
bool snapshot_format_get_lease(struct reader *reader, struct lease_row *out_row);
void snapshot_format_put_end(struct buf *buf, const struct snapshot_format_end *end);
bool snapshot_format_get_end(struct slice payload, struct snapshot_format_end *out_end);
void snapshot_format_put_version(struct buf *buf, const struct mvcc_export_version *version);
/* The next one of a block of keys; false at the end or when bad (look at reader->bad). Without is_first the key is empty. */
bool snapshot_format_get_version(struct reader *reader, struct mvcc_export_version *out_version);

#endif
