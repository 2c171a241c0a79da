/* snapshot_reader: a snapshot file block by block; what it hands out was verified.
 *
 * Blocking (start-up) and in steps over submitted operations (snap role): one code.
 * Owner: embedded (init/deinit). Thread: one, with an fs of its own. Limits: a buffer of SNAPSHOT_READER_BYTES, or one block if larger.
 */
#ifndef STORAGE_SNAPSHOT_READER_H
#define STORAGE_SNAPSHOT_READER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha256.h"
#include "storage/snapshot_format.h"
#include "storage/snapshot_io.h"

#define SNAPSHOT_READER_BYTES (256u << 10)

enum snapshot_reader_progress {
    SNAPSHOT_READER_WAIT,   /* for a completion */
    SNAPSHOT_READER_AGAIN,  /* an operation was taken in; call again */
    SNAPSHOT_READER_BLOCK,  /* *out_block, *out_payload: borrowed until the next call */
    SNAPSHOT_READER_END,    /* the last block was the end block, and the file ends there, or behind its trailer; it is closed */
    SNAPSHOT_READER_FAILED, /* err, message; it is closed */
};
/* What a saved file has behind its end (snapshot_format.c). */
enum snapshot_reader_trailer {
    SNAPSHOT_READER_NO_TRAILER, /* the file must end with its end block: a member's own */
    SNAPSHOT_READER_TRAILER,    /* may be there, and is then verified */
    SNAPSHOT_READER_TRAILER_MUST,
    SNAPSHOT_READER_TRAILER_UNSEEN, /* may be there; its hash is not looked at */
};
struct snapshot_reader {
    struct snapshot_io io;
    char *path;
    struct fs_file *file;
    uint64_t file_bytes;
    uint64_t offset;      /* of buffer[0] in the file */
    uint8_t *buffer;
    size_t capacity;
    size_t filled;
    size_t used;          /* bytes of the buffer that were handed out */
    uint32_t blocks;
    int phase;
    bool has_ended;
    bool is_saved;         /* the end block says that a trailer follows */
    enum snapshot_reader_trailer trailer;
    struct sha256 *sha256; /* of what was read, if the file may have a trailer that is to be verified */
    struct snapshot_format_head head; /* from the first block on */
    enum err err;         /* ERR_CORRUPT: damaged; ERR_STOPPED: cannot be read, or a newer program wrote it */
    bool is_unsupported;
    char message[512];
};

void snapshot_reader_init(struct snapshot_reader *reader, struct fs *fs, const char *path, bool is_blocking);
void snapshot_reader_set_trailer(struct snapshot_reader *reader, enum snapshot_reader_trailer trailer); /* before the first step */
void snapshot_reader_deinit(struct snapshot_reader *reader); /* no operation may be in flight; closes the file */
enum snapshot_reader_progress snapshot_reader_step(struct snapshot_reader *reader, struct snapshot_format_block *out_block,
                                                   struct slice *out_payload);
/* The block that was handed out last: says so with its place, and ends the reading. */
void snapshot_reader_refuse(struct snapshot_reader *reader, enum err err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
