/* data_names: see data_names.h. */
#include "storage/data_names.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/blob.h"
#include "base/buf.h"

#define DATA_NAMES_FILE "names"
#define DATA_NAMES_HEAD "kvd-names 1\n"
#define DATA_NAMES_FILE_BYTES_MAX (sizeof DATA_NAMES_HEAD + 3 * (DATA_NAMES_BYTES_MAX + 1))

__attribute__((format(printf, 4, 5))) static enum err refuse(char *out_message, size_t size, enum err err, const char *format, ...)
{
    ASSERT(err != ERR_OK && size > 0);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(out_message, size, format, arguments);
    va_end(arguments);
    return err;
}

struct data_names data_names_make(const char *wal, const char *snap, const char *identity)
{
    struct data_names names = {0};
    ASSERT(data_names_is_name(wal) && data_names_is_name(snap) && data_names_is_name(identity));
    (void)snprintf(names.wal, sizeof names.wal, "%s", wal);
    (void)snprintf(names.snap, sizeof names.snap, "%s", snap);
    (void)snprintf(names.identity, sizeof names.identity, "%s", identity);
    return names;
}

struct data_names data_names_usual(void) { return data_names_make(DATA_NAMES_WAL, DATA_NAMES_SNAP, DATA_NAMES_IDENTITY); }

bool data_names_is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(text);
    if (size == 0 || size > DATA_NAMES_BYTES_MAX || text[0] == '.' || strspn(text, letters) != size) return false;
    if (size > 4 && strcmp(text + size - 4, ".tmp") == 0) return false;
    return strcmp(text, "LOCK") != 0 && strcmp(text, DATA_NAMES_FILE) != 0;
}

/* The line at *at, without its end, into out_name; steps over it. */
static bool take_line(struct slice *rest, char out_name[DATA_NAMES_BYTES_MAX + 1])
{
    const uint8_t *end = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
    size_t size = end == NULL ? SIZE_MAX : (size_t)(end - rest->data);
    if (size > DATA_NAMES_BYTES_MAX) return false;
    memcpy(out_name, rest->data, size);
    out_name[size] = '\0';
    *rest = slice_from(*rest, size + 1);
    return strlen(out_name) == size && data_names_is_name(out_name);
}

static bool decode(struct slice bytes, struct data_names *out_names)
{
    const size_t head = sizeof DATA_NAMES_HEAD - 1;
    if (bytes.size < head || memcmp(bytes.data, DATA_NAMES_HEAD, head) != 0) return false;
    struct slice rest = slice_from(bytes, head);
    bool is_whole = take_line(&rest, out_names->wal) && take_line(&rest, out_names->snap) && take_line(&rest, out_names->identity);
    return is_whole && rest.size == 0;
}

/* ERR_KEY_NOT_FOUND = the directory says nothing. */
static enum err load(struct fs *fs, const char *data_path, struct data_names *out_names, char *out_message, size_t message_size)
{
    struct blob *bytes = NULL;
    struct buf path;
    enum err err = ERR_OK;
    buf_init(&path);
    buf_printf(&path, "%s/%s%c", data_path, DATA_NAMES_FILE, 0);
    const char *text = (const char *)buf_slice(&path).data;
    int error = fs_read_file(fs, text, DATA_NAMES_FILE_BYTES_MAX, &bytes);
    if (error == ENOENT || error == ENOTDIR) {
        err = ERR_KEY_NOT_FOUND;
    } else if (error != 0 && error != EFBIG) {
        err = refuse(out_message, message_size, ERR_STOPPED, "%s: cannot be read: %s", text, strerror(error));
    } else if (error == EFBIG || !decode(blob_slice(bytes), out_names)) {
        err = refuse(out_message, message_size, ERR_CORRUPT, "%s: corrupt: not the names of a data directory", text);
    }
    blob_unref(bytes);
    buf_deinit(&path);
    return err;
}

enum err data_names_load(struct fs *fs, const char *data_path, struct data_names *out_names, char *out_message, size_t message_size)
{
    ASSERT(fs != NULL && data_path[0] != '\0');
    enum err err = load(fs, data_path, out_names, out_message, message_size);
    if (err != ERR_KEY_NOT_FOUND) return err;
    *out_names = data_names_usual();
    return ERR_OK;
}

static void look(void *owner, const char *name)
{
    bool *is_used = owner;
    ASSERT(name[0] != '\0');
    if (strcmp(name, DATA_NAMES_WAL) == 0 || strcmp(name, DATA_NAMES_SNAP) == 0 || strcmp(name, DATA_NAMES_IDENTITY) == 0) *is_used = true;
}

static bool is_same(const struct data_names *a, const struct data_names *b)
{
    return strcmp(a->wal, b->wal) == 0 && strcmp(a->snap, b->snap) == 0 && strcmp(a->identity, b->identity) == 0;
}

static enum err store(struct fs *fs, const char *data_path, const struct data_names *names, char *out_message, size_t message_size)
{
    struct buf text;
    buf_init(&text);
    buf_printf(&text, DATA_NAMES_HEAD "%s\n%s\n%s\n", names->wal, names->snap, names->identity);
    ASSERT(text.size < DATA_NAMES_FILE_BYTES_MAX);
    int error = fs_replace_file(fs, data_path, DATA_NAMES_FILE, buf_slice(&text));
    buf_deinit(&text);
    if (error == 0) return ERR_OK;
    return refuse(out_message, message_size, ERR_STOPPED, "%s/%s: cannot be written: %s", data_path, DATA_NAMES_FILE, strerror(error));
}

enum err data_names_settle(struct fs *fs, const char *data_path, const struct data_names *names, char *out_message, size_t message_size)
{
    struct data_names usual = data_names_usual(), found = usual;
    bool is_used = false;
    enum err err = load(fs, data_path, &found, out_message, message_size);
    if (err != ERR_OK && err != ERR_KEY_NOT_FOUND) return err;
    if (err == ERR_KEY_NOT_FOUND && !is_same(names, &usual)) {
        struct fs_op list = {.kind = FS_LIST, .path = data_path, .list_fn = look, .owner = &is_used};
        int error = fs_run(fs, &list);
        if (error != 0) return refuse(out_message, message_size, ERR_STOPPED, "%s: cannot be read: %s", data_path, strerror(error));
        if (!is_used) return store(fs, data_path, names, out_message, message_size);
    }
    if (is_same(names, &found)) return ERR_OK;
    return refuse(out_message, message_size, ERR_STOPPED,
                  "%s: this directory was made with the names %s, %s and %s for log, snapshots and state (--wal-subdir, --snapshot-subdir, "
                  "--raft-state-file), and keeps them; told were %s, %s and %s",
                  data_path, found.wal, found.snap, found.identity, names->wal, names->snap, names->identity);
}
