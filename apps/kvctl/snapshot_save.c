/* snapshot_save: see snapshot_save.h. */
#include "snapshot_save.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "progress.h"
#include "storage/restore.h"

#define SNAPSHOT_PATH "/etcdserverpb.Maintenance/Snapshot"
#define BLOCK_BYTES 512
#define MAGIC "kvd-snap"
#define MAGIC_BYTES 8

struct save {
    struct fs *fs;
    const char *path;
    char *part;
    struct fs_file *file;
    int error;                  /* of the file */
    bool is_bad;                /* what came is no message of a snapshot */
    uint64_t bytes;             /* that came */
    uint64_t remaining;         /* as the last message said */
    uint8_t magic[MAGIC_BYTES];
    struct sha256 *sha256;      /* of all but the tail */
    uint8_t tail[SHA256_BYTES]; /* the last bytes that came: at the end, the sum */
    size_t tail_size;
    char version[32];           /* the server's */
    struct progress progress;
};

/* --- what comes ------------------------------------------------------------------------------------------------------------ */

/* The last SHA256_BYTES are held back, whatever the pieces are. */
static void add_bytes(struct save *save, struct slice bytes)
{
    uint8_t joined[2 * SHA256_BYTES];
    if (bytes.size >= SHA256_BYTES) {
        sha256_add(save->sha256, slice_make(save->tail, save->tail_size));
        sha256_add(save->sha256, slice_make(bytes.data, bytes.size - SHA256_BYTES));
        memcpy(save->tail, bytes.data + bytes.size - SHA256_BYTES, SHA256_BYTES);
        save->tail_size = SHA256_BYTES;
        return;
    }
    memcpy(joined, save->tail, save->tail_size);
    if (bytes.size > 0) memcpy(joined + save->tail_size, bytes.data, bytes.size);
    size_t size = save->tail_size + bytes.size, over = size > SHA256_BYTES ? size - SHA256_BYTES : 0;
    sha256_add(save->sha256, slice_make(joined, over));
    save->tail_size = size - over;
    ASSERT(save->tail_size <= SHA256_BYTES);
    memcpy(save->tail, joined + over, save->tail_size);
}

static void take_piece(struct save *save, struct slice piece)
{
    struct fs_op write = {.kind = FS_PWRITE, .file = save->file, .offset = save->bytes, .data = piece.data, .size = piece.size};
    if (save->bytes == 0 && piece.size >= MAGIC_BYTES) memcpy(save->magic, piece.data, MAGIC_BYTES);
    if (piece.size > 0) save->error = fs_run(save->fs, &write);
    add_bytes(save, piece);
    save->bytes += piece.size;
}

static bool take_message(void *context, struct slice body)
{
    struct save *save = context;
    ASSERT(save->error == 0 && !save->is_bad);
    Etcdserverpb__SnapshotResponse *message =
        (Etcdserverpb__SnapshotResponse *)ctl_unpack(&etcdserverpb__snapshot_response__descriptor, body);
    save->is_bad = message == NULL || (message->remaining_bytes > save->remaining && save->bytes > 0);
    if (!save->is_bad) {
        take_piece(save, slice_make(message->blob.data, message->blob.len));
        save->remaining = message->remaining_bytes;
        if (message->version[0] != '\0') (void)snprintf(save->version, sizeof save->version, "%s", message->version);
        progress_show(&save->progress, save->bytes, save->bytes + save->remaining);
    }
    if (message != NULL) protobuf_c_message_free_unpacked(&message->base, NULL);
    return !save->is_bad && save->error == 0;
}

/* --- is it whole? ------------------------------------------------------------------------------------------------------------ */

static enum ctl_exit judge_stream(struct save *save, const struct ctl *ctl, const struct calls_answer *answer)
{
    ASSERT(save->error == 0 || answer->code != ERR_CODE_OK);
    if (save->error != 0) return ctl_fail(CTL_ERROR, "%s: cannot be written: %s", save->part, strerror(save->error));
    if (save->is_bad) return ctl_fail(CTL_INTERRUPTED, "%s answered with bytes that are no snapshot; nothing was saved", ctl->endpoints[0]);
    if (answer->is_unreachable) return ctl_fail_answer(ctl, answer);
    if (answer->code == ERR_CODE_OK) return CTL_OK;
    if (save->bytes == 0) return ctl_fail(CTL_INTERRUPTED, "%s", ctl_error_text(answer));
    return ctl_fail(CTL_INTERRUPTED, "the stream broke after %" PRIu64 " of %" PRIu64 " bytes: %s; nothing was saved", save->bytes,
                    save->bytes + save->remaining, ctl_error_text(answer));
}

static enum ctl_exit judge_bytes(struct save *save)
{
    uint8_t sum[SHA256_BYTES];
    if (save->remaining != 0 || save->bytes % BLOCK_BYTES != SHA256_BYTES)
        return ctl_fail(CTL_INTERRUPTED, "the server ended the stream after %" PRIu64 " bytes, which are no whole snapshot; nothing was saved",
                        save->bytes);
    ASSERT(save->tail_size == SHA256_BYTES);
    sha256_finish(save->sha256, sum);
    if (memcmp(sum, save->tail, SHA256_BYTES) == 0) return CTL_OK;
    return ctl_fail(CTL_ERROR, "the snapshot's hash is not that of the bytes that came; nothing was saved");
}

/* Of a snapshot in another format, as etcd's, the sum is all that can be verified. */
static enum ctl_exit judge_blocks(struct save *save)
{
    struct restore_file file;
    char message[512];
    if (memcmp(save->magic, MAGIC, MAGIC_BYTES) != 0) return CTL_OK;
    enum err err = restore_inspect(save->fs, save->part, SNAPSHOT_READER_TRAILER_MUST, NULL, NULL, &file, message, sizeof message);
    return err == ERR_OK ? CTL_OK : ctl_fail(CTL_ERROR, "the server sent a snapshot that is damaged; nothing was saved: %s", message);
}

/* --- the file ---------------------------------------------------------------------------------------------------------------- */

static void skip_name(void *owner, const char *name)
{
    ASSERT(owner == NULL && name != NULL);
}

static enum ctl_exit open_part(struct save *save)
{
    struct fs_op list = {.kind = FS_LIST, .path = save->path, .list_fn = skip_name};
    if (fs_run(save->fs, &list) == 0) return ctl_fail(CTL_BAD_ARGS, "%s is a directory: name a file", save->path);
    int error = fs_open(save->fs, save->part, FS_WRITE | FS_CREATE | FS_TRUNC, &save->file);
    return error == 0 ? CTL_OK : ctl_fail(CTL_ERROR, "could not open %s (%s)", save->part, strerror(error));
}

static enum ctl_exit name_part(struct save *save)
{
    char *directory = alloc_string(save->path);
    char *slash = strrchr(directory, '/');
    struct fs_op sync = {.kind = FS_FDATASYNC, .file = save->file};
    struct fs_op rename = {.kind = FS_RENAME, .path = save->part, .path2 = save->path};
    struct fs_op sync_names = {.kind = FS_FSYNC_DIR, .path = slash == NULL ? "." : slash == directory ? "/" : directory};
    if (slash != NULL && slash != directory) *slash = '\0';
    int error = fs_run(save->fs, &sync);
    if (error == 0) error = fs_run(save->fs, &rename);
    if (error == 0) error = fs_run(save->fs, &sync_names);
    alloc_free(directory);
    return error == 0 ? CTL_OK : ctl_fail(CTL_ERROR, "could not rename %s to %s (%s)", save->part, save->path, strerror(error));
}

static enum ctl_exit fetch(struct save *save, struct ctl *ctl)
{
    struct calls_answer answer;
    progress_init(&save->progress);
    ctl_stream(ctl, SNAPSHOT_PATH, slice_empty(), take_message, save, &answer);
    progress_end(&save->progress);
    enum ctl_exit code = judge_stream(save, ctl, &answer);
    calls_answer_deinit(&answer);
    if (code == CTL_OK) code = judge_bytes(save);
    if (code == CTL_OK) code = judge_blocks(save);
    return code == CTL_OK ? name_part(save) : code;
}

enum ctl_exit snapshot_save(struct ctl *ctl, const char *path)
{
    size_t size = strlen(path) + sizeof ".part";
    struct save save = {.fs = fs_real_new(), .path = path, .part = alloc_new(size), .sha256 = sha256_new()};
    (void)snprintf(save.part, size, "%s.part", path);
    enum ctl_exit code = open_part(&save);
    if (code == CTL_OK) {
        code = fetch(&save, ctl);
        fs_close(save.fs, save.file);
        struct fs_op drop = {.kind = FS_UNLINK, .path = save.part};
        if (code != CTL_OK) (void)fs_run(save.fs, &drop);
    }
    if (code == CTL_OK) printf("Snapshot saved at %s\n", path);
    if (code == CTL_OK && save.version[0] != '\0') printf("Server version %s\n", save.version);
    sha256_free(save.sha256);
    alloc_free(save.part);
    fs_free(save.fs);
    return code;
}
