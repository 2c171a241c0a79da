/* readsnapshot_print: see readsnapshot_print.h. */
#include "readsnapshot_print.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "tool_snap.h"

struct print {
    struct tool *tool;
    const struct readsnapshot_print_options *options;
    struct tool_snap snap;
    struct tool_tree tree; /* of lines */

    /* The newest version, so far, of the key that is read: it is printed when the next key begins. */
    bool has_kept;
    struct mvcc_export_version kept; /* without key and value: */
    struct buf key;
    struct buf value;
};

static bool has_prefix(struct slice key, const char *prefix)
{
    size_t size = strlen(prefix);
    return key.size >= size && memcmp(key.data == NULL ? (const void *)"" : key.data, prefix, size) == 0;
}

static void print_version(struct print *print, const struct mvcc_export_version *version)
{
    struct tool_tree *tree = &print->tree;
    const struct mvcc_kv *kv = &version->kv;
    if (!has_prefix(kv->key, print->options->prefix)) return;
    tool_tree_open(tree, NULL, '{');
    if (print->tool->is_json) tool_tree_word(tree, "type", version->is_delete ? "delete" : "key");
    tool_tree_bytes(tree, "key", kv->key);
    if (version->is_delete && !print->tool->is_json) tool_tree_bool(tree, "delete", true);
    tool_tree_i64(tree, "mod_revision", kv->mod_revision);
    if (!version->is_delete) {
        tool_tree_i64(tree, "create_revision", kv->create_revision);
        tool_tree_i64(tree, "version", kv->version);
        if (kv->lease != 0) tool_tree_i64(tree, "lease", kv->lease);
        if (print->options->has_values) tool_tree_bytes(tree, "value", kv->value);
    }
    tool_tree_close(tree);
    tool_tree_print(tree, print->tool->out);
}

static void print_kept(struct print *print)
{
    if (print->has_kept && !print->kept.is_delete) {
        print->kept.kv.key = buf_slice(&print->key);
        print->kept.kv.value = buf_slice(&print->value);
        print_version(print, &print->kept);
    }
    print->has_kept = false;
}

/* Is the revision that was asked for none of the file's? */
static bool is_outside(const struct print *print)
{
    int64_t revision = print->options->at_revision;
    const struct snapshot_format_head *head = &print->snap.head;
    return revision != 0 && print->snap.has_head && (revision > head->revision || revision < head->compact_revision);
}

static void take_version(void *context, const struct mvcc_export_version *version)
{
    struct print *print = context;
    const struct snapshot_format_head *head = &print->snap.head;
    int64_t revision = print->options->at_revision == 0 ? head->revision : print->options->at_revision;
    if (print->options->has_all_versions) {
        print_version(print, version);
        return;
    }
    if (version->is_first) print_kept(print);
    if (version->kv.mod_revision > revision || is_outside(print)) return;
    print->kept = *version;
    print->has_kept = true;
    buf_clear(&print->key);
    buf_clear(&print->value);
    buf_put_slice(&print->key, version->kv.key);
    if (print->options->has_values) buf_put_slice(&print->value, version->kv.value);
}

/* In text the whole is a block of lines, or, behind keys, only the verdict. */
static void print_whole(struct print *print)
{
    struct tool_tree tree;
    bool is_short = print->options->has_keys && !print->tool->is_json;
    tool_tree_init(&tree, print->tool->is_json ? TOOL_TREE_JSON : TOOL_TREE_BLOCK);
    tool_tree_open(&tree, NULL, '{');
    if (print->tool->is_json) tool_tree_word(&tree, "type", "snapshot");
    if (is_short) {
        tool_tree_word(&tree, "verdict", print->snap.verdict);
        if (print->snap.message[0] != '\0') tool_tree_string(&tree, "message", slice_from_string(print->snap.message));
    } else {
        tool_snap_put(&print->snap, &tree);
    }
    tool_tree_close(&tree);
    tool_tree_print(&tree, print->tool->out);
    tool_tree_deinit(&tree);
}

enum tool_exit readsnapshot_print(struct tool *tool, const struct readsnapshot_print_options *options)
{
    struct print print = {.tool = tool, .options = options};
    ASSERT(options->path != NULL && options->prefix != NULL);
    buf_init(&print.key);
    buf_init(&print.value);
    tool_tree_init(&print.tree, tool->is_json ? TOOL_TREE_JSON : TOOL_TREE_LINE);
    tool_snap_init(&print.snap, tool, options->path);
    print.snap.trailer = SNAPSHOT_READER_TRAILER;
    enum tool_exit code = tool_snap_read(&print.snap, 0, options->has_keys ? take_version : NULL, &print);
    print_kept(&print);
    print_whole(&print);
    if (is_outside(&print)) {
        code = tool_fail(tool, "%s: revision %" PRId64 " is not one of the file's, %" PRId64 " to %" PRId64, options->path,
                         options->at_revision, print.snap.head.compact_revision, print.snap.head.revision);
    }
    tool_snap_deinit(&print.snap);
    tool_tree_deinit(&print.tree);
    buf_deinit(&print.key);
    buf_deinit(&print.value);
    return code;
}
