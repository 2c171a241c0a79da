/* tool_tree: names, values and nesting, written as JSON, as one line of text, or as a block of indented lines: whoever prints says what is
 * there once, and the style decides how it looks.
 *
 *   JSON   {"key":"Zm9v","lease":7}     bytes in base64, ids as strings of 16 hexadecimal digits, 64-bit integers as plain numbers
 *   LINE   key: "foo" lease: 7          bytes quoted, what is not printable as \x00
 *   BLOCK  one field per line, members of arrays behind a dash
 *
 * Owner: tool_tree_init/tool_tree_deinit. Thread: main. Limits: TOOL_TREE_DEPTH_MAX brackets open at once.
 */
#ifndef TOOL_TREE_H
#define TOOL_TREE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

#define TOOL_TREE_DEPTH_MAX 480

enum tool_tree_style { TOOL_TREE_JSON, TOOL_TREE_LINE, TOOL_TREE_BLOCK };
struct tool_tree {
    enum tool_tree_style style;
    struct buf text;
    uint32_t depth;
    bool needs_comma;
    bool needs_dash; /* BLOCK: the next line begins a member of an array */
    bool is_array[TOOL_TREE_DEPTH_MAX];
};

void tool_tree_init(struct tool_tree *tree, enum tool_tree_style style);
void tool_tree_deinit(struct tool_tree *tree);
/* Everything to `file` and a newline; the tree is empty afterwards. All brackets must be closed. */
void tool_tree_print(struct tool_tree *tree, FILE *file);

/* `name` NULL = a member of an array, or the outermost. In LINE and BLOCK the outermost object shows no brackets. */
void tool_tree_open(struct tool_tree *tree, const char *name, char bracket);
void tool_tree_close(struct tool_tree *tree);
void tool_tree_u64(struct tool_tree *tree, const char *name, uint64_t value);
void tool_tree_i64(struct tool_tree *tree, const char *name, int64_t value);
void tool_tree_id(struct tool_tree *tree, const char *name, uint64_t value);
void tool_tree_bool(struct tool_tree *tree, const char *name, bool value);
void tool_tree_word(struct tool_tree *tree, const char *name, const char *value);       /* ours: not quoted in text */
void tool_tree_string(struct tool_tree *tree, const char *name, struct slice value);    /* theirs: should be UTF-8 */
void tool_tree_bytes(struct tool_tree *tree, const char *name, struct slice value);
void tool_tree_base64(struct tool_tree *tree, const char *name, struct slice value);    /* in every style */

void tool_tree_quote(struct buf *out, struct slice value); /* "…" with \n, \" and \x00 */

#endif
