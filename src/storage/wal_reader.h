/* wal_reader: the log's intact batches, one after the other, over all segments. It gives no verdict on what is not intact:
 * recovery does (wal_recover), and whoever reads beside the writer takes it for the end (wal_fetch).
 *
 * Owner: embedded by its user; the fs is borrowed. Thread: its user's. Blocking (fs_run).
 * Limits: memory = one window of WAL_READER_WINDOW bytes at most, or one batch if that is larger.
 */
#ifndef STORAGE_WAL_READER_H
#define STORAGE_WAL_READER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fs.h"
#include "storage/wal_format.h"

#define WAL_READER_WINDOW ((size_t)1 << 20)

struct wal_reader_segment {
    uint64_t sequence;
    uint64_t first_index;
    uint64_t bytes;       /* once its head was read */
    uint64_t first_batch; /* as its first block says; 0 = not read, or not intact */
    bool is_reset;        /* as its head says: older segments are void */
};

struct wal_reader_position {
    uint64_t sequence; /* segment */
    uint64_t offset;
    uint64_t batch;    /* the one that stands there */
};

struct wal_reader {
    struct fs *fs;
    char *directory;
    struct wal_reader_segment *segments; /* by sequence */
    size_t segment_count;
    size_t segment_capacity;
    size_t broken_count; /* files kept aside that were listed */

    size_t at;           /* place in `segments` */
    struct fs_file *file; /* of that segment; NULL = to be opened */
    char *path;
    uint64_t file_bytes;
    bool head_ok; /* the first block is intact and carries the magic */
    struct wal_format_stamp head_stamp;
    struct wal_format_head head;
    uint64_t offset;     /* of the next batch */
    uint64_t next_batch; /* 0 = whatever the segment begins with */
    uint64_t stop_batch; /* first batch of the next segment; 0 = there is none */

    uint8_t *window;
    size_t window_capacity;
    size_t window_bytes;
    uint64_t window_offset;
    struct wal_reader_position last; /* of the batch that was read last */
    int error;                       /* errno of WAL_READER_FAILED */
};

enum wal_reader_verdict {
    WAL_READER_BATCH,
    WAL_READER_END,    /* no intact batch at {segments[at], offset}; at == segment_count: no segment there */
    WAL_READER_FAILED, /* `error` on `path` */
};

void wal_reader_init(struct wal_reader *reader, struct fs *fs, const char *directory);
void wal_reader_deinit(struct wal_reader *reader);
/* Lists the segments anew and goes to the first. Returns an errno value. */
int wal_reader_list(struct wal_reader *reader);
/* The place of the first segment, from `at` on, whose number does not follow that of the one before; segment_count if there is none. */
size_t wal_reader_gap(const struct wal_reader *reader, size_t at);
/* Reads the first block of segments[at]. Returns an errno value. */
int wal_reader_head(struct wal_reader *reader, size_t at);
/* To the beginning of segments[at]. */
void wal_reader_rewind(struct wal_reader *reader, size_t at);
/* To a batch read earlier. False if its segment is not there any more. */
bool wal_reader_seek(struct wal_reader *reader, const struct wal_reader_position *position);
/* After WAL_READER_END: on to the next block of the open segment that may begin a batch of it. False if there is none, or `error` != 0. */
bool wal_reader_skip(struct wal_reader *reader);
/* Borrowed until the next call. */
enum wal_reader_verdict wal_reader_next(struct wal_reader *reader, struct wal_format_batch *out_batch);
/* The path of segments[at]; the caller frees it (alloc_free). */
char *wal_reader_path(const struct wal_reader *reader, size_t at);
/* The block at an offset of the open segment, borrowed until the next call; NULL beyond the end, or `error` != 0. */
const uint8_t *wal_reader_block(struct wal_reader *reader, uint64_t offset);

#endif
