/* readpb_print: see readpb_print.h. */
#include "readpb_print.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tool_message.h"

/* Sorted as people read them; the caller frees it (alloc_free). */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char **sorted_names(void)
{
    size_t count = tool_message_count();
    const char **names = alloc_zero(count, sizeof *names);
    for (size_t i = 0; i < count; i++) names[i] = tool_message_at(i)->name;
    ASSERT(count > 0);
    qsort(names, count, sizeof *names, compare_names);
    return names;
}

void readpb_print_list(struct tool *tool)
{
    const char **names = sorted_names();
    for (size_t i = 0; i < tool_message_count(); i++) (void)fprintf(tool->out, "%s\n", names[i]);
    alloc_free(names);
}

static enum tool_exit fail_unknown(struct tool *tool, const char *message)
{
    const char **names = sorted_names();
    const char *near = tool_nearest(message, names, tool_message_count());
    if (near != NULL) (void)tool_fail(tool, "%s: no such message; did you mean %s?", message, near);
    else (void)tool_fail(tool, "%s: no such message; readpb --list shows all", message);
    alloc_free(names);
    return TOOL_ERROR;
}

static enum tool_exit print_bytes(struct tool *tool, const ProtobufCMessageDescriptor *descriptor, struct slice bytes)
{
    struct tool_message_error error;
    struct tool_tree tree;
    if (!tool_message_check(descriptor, bytes, &error)) {
        (void)tool_fail(tool, "offset %zu: in %s: %s", error.offset, error.message, error.reason);
        return TOOL_CORRUPT;
    }
    tool_tree_init(&tree, tool->is_json ? TOOL_TREE_JSON : TOOL_TREE_BLOCK);
    tool_tree_open(&tree, NULL, '{');
    tool_message_put(&tree, descriptor, bytes);
    tool_tree_close(&tree);
    tool_tree_print(&tree, tool->out);
    tool_tree_deinit(&tree);
    return TOOL_CLEAN;
}

enum tool_exit readpb_print(struct tool *tool, const char *message, struct slice input, enum readpb_print_encoding encoding)
{
    const ProtobufCMessageDescriptor *descriptor = tool_message_find(message);
    struct buf decoded;
    enum tool_exit code = TOOL_ERROR;
    ASSERT(input.size <= TOOL_INPUT_MAX);
    if (descriptor == NULL) return fail_unknown(tool, message);
    buf_init(&decoded);
    if (encoding == READPB_PRINT_RAW) {
        code = print_bytes(tool, descriptor, input);
    } else if (encoding == READPB_PRINT_HEX ? tool_from_hex(input, &decoded) : tool_from_base64(input, &decoded)) {
        code = print_bytes(tool, descriptor, buf_slice(&decoded));
    } else {
        (void)tool_fail(tool, "the input is not %s", encoding == READPB_PRINT_HEX ? "hexadecimal" : "base64");
    }
    buf_deinit(&decoded);
    return code;
}
