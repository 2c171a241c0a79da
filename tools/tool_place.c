/* tool_place: see tool_place.h. */
#include "tool_place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/wal_format.h"

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool exists(const char *directory, const char *name)
{
    struct stat status;
    char *path = tool_join(directory, name);
    bool is_there = stat(path, &status) == 0;
    alloc_free(path);
    return is_there;
}

/* ERR_OK, ERR_KEY_NOT_FOUND, or a refusal with its message. */
static enum err load_identity(struct tool_place *place, struct tool *tool, char *path, char *out_message, size_t size)
{
    struct data_dir dir = {.fs = tool->fs, .path = path};
    enum err err = data_names_load(tool->fs, path, &dir.names, out_message, size);
    place->names = dir.names;
    if (err != ERR_OK) return err;
    err = data_dir_load_identity(&dir, &place->identity, out_message, size);
    place->has_identity = err == ERR_OK;
    return err;
}

static bool take_data_dir(struct tool_place *place, struct tool *tool, const char *path, const char *wal_dir)
{
    char message[512] = "";
    place->data_path = alloc_string(path);
    place->names = data_names_usual();
    enum err err = load_identity(place, tool, place->data_path, message, sizeof message);
    place->wal_path = wal_dir[0] != '\0' ? alloc_string(wal_dir) : tool_join(path, place->names.wal);
    place->snap_path = tool_join(path, place->names.snap);
    if (err == ERR_OK || err == ERR_KEY_NOT_FOUND) return true;
    (void)tool_fail(tool, "%s", message);
    return false;
}

/* The directory of the segments alone: the data directory is usually the one above, and if so, says more. */
static bool take_wal_dir(struct tool_place *place, struct tool *tool, char *path)
{
    char message[512] = "";
    char *above = tool_join(path, "..");
    place->wal_path = path;
    bool is_above = exists(above, "names") || (exists(above, DATA_NAMES_WAL) && exists(above, DATA_NAMES_IDENTITY));
    if (is_above && load_identity(place, tool, above, message, sizeof message) == ERR_OK) {
        place->data_path = above;
        place->snap_path = tool_join(above, place->names.snap);
        return true;
    }
    alloc_free(above);
    return true;
}

static char *directory_of(const char *path)
{
    char *directory = alloc_string(path);
    char *slash = strrchr(directory, '/');
    if (slash == NULL) {
        alloc_free(directory);
        return alloc_string(".");
    }
    slash[slash == directory ? 1 : 0] = '\0';
    return directory;
}

static bool take_file(struct tool_place *place, struct tool *tool, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    uint64_t sequence = 0, first_index = 0;
    struct stat status;
    if (stat(path, &status) != 0) {
        (void)tool_fail(tool, "%s: %s", path, strerror(errno));
        return false;
    }
    if (!wal_format_parse_name(name, &sequence, &first_index)) {
        (void)tool_fail(tool, "%s: not the name of a log segment: SEQUENCE-INDEX.wal, each of 16 hexadecimal digits", path);
        return false;
    }
    char *directory = directory_of(path);
    bool is_same = place->wal_path == NULL || strcmp(place->wal_path, directory) == 0;
    if (place->wal_path == NULL) (void)take_wal_dir(place, tool, directory);
    else alloc_free(directory);
    if (!is_same) {
        (void)tool_fail(tool, "%s: all segments must be of one directory", path);
        return false;
    }
    place->sequences[place->sequence_count++] = sequence;
    return true;
}

bool tool_place_init(struct tool_place *place, struct tool *tool, const char *const *words, int count, const char *wal_dir)
{
    *place = (struct tool_place){0};
    ASSERT(count >= 1);
    if (count > 1 || !is_directory(words[0])) {
        place->sequences = alloc_zero((size_t)count, sizeof *place->sequences);
        bool is_good = true;
        for (int i = 0; is_good && i < count; i++) is_good = take_file(place, tool, words[i]);
        return is_good;
    }
    bool is_data_dir = wal_dir[0] != '\0' || exists(words[0], DATA_NAMES_WAL) || exists(words[0], DATA_NAMES_IDENTITY) ||
                       exists(words[0], "names");
    if (is_data_dir) return take_data_dir(place, tool, words[0], wal_dir);
    return take_wal_dir(place, tool, alloc_string(words[0]));
}

void tool_place_deinit(struct tool_place *place)
{
    if (place == NULL) return;
    alloc_free(place->data_path);
    alloc_free(place->wal_path);
    alloc_free(place->snap_path);
    alloc_free(place->sequences);
    *place = (struct tool_place){0};
}
