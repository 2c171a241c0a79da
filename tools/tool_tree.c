/* tool_tree: see tool_tree.h. */
#include "tool_tree.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"

void tool_tree_init(struct tool_tree *tree, enum tool_tree_style style)
{
    ASSERT(tree != NULL);
    tree->style = style;
    tree->depth = 0;
    tree->needs_comma = tree->needs_dash = false;
    buf_init(&tree->text);
}

void tool_tree_deinit(struct tool_tree *tree)
{
    if (tree != NULL) buf_deinit(&tree->text);
}

void tool_tree_print(struct tool_tree *tree, FILE *file)
{
    ASSERT(tree->depth == 0);
    struct slice text = buf_slice(&tree->text);
    if (text.size > 0) (void)fwrite(text.data, 1, text.size, file);
    bool has_newline = tree->style == TOOL_TREE_BLOCK; /* behind every line */
    if (!has_newline) (void)fputc('\n', file);
    buf_clear(&tree->text);
    tree->needs_comma = tree->needs_dash = false;
}

/* ---- strings ---- */

void tool_tree_quote(struct buf *out, struct slice value)
{
    ASSERT(out != NULL);
    buf_put_u8(out, '"');
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if (c == '"' || c == '\\') buf_printf(out, "\\%c", c);
        else if (c == '\n') buf_printf(out, "\\n");
        else if (c == '\t') buf_printf(out, "\\t");
        else if (c < ' ' || c > '~') buf_printf(out, "\\x%02x", c);
        else buf_put_u8(out, c);
    }
    buf_put_u8(out, '"');
}

/* Bytes of the UTF-8 character that begins here; 0 = none does. */
static size_t utf8_size(struct slice text)
{
    ASSERT(text.size > 0);
    uint8_t c = text.data[0];
    if (c < 0x80) return 1;
    size_t size = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (size == 0 || text.size < size) return 0;
    for (size_t i = 1; i < size; i++)
        if ((text.data[i] & 0xc0) != 0x80) return 0;
    uint8_t next = text.data[1];
    bool is_wrong = (c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f);
    return is_wrong ? 0 : size;
}

static void put_json_string(struct buf *out, struct slice value)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < value.size;) {
        uint8_t c = value.data[i];
        size_t size = utf8_size(slice_from(value, i));
        if (size == 0) buf_printf(out, "\\ufffd");
        else if (c == '"' || c == '\\') buf_printf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7f) buf_printf(out, "\\u%04x", c);
        else buf_put(out, value.data + i, size);
        i += size == 0 ? 1 : size;
    }
    buf_put_u8(out, '"');
}

/* ---- fields ---- */

static void begin_line(struct tool_tree *tree, const char *name, bool has_value)
{
    uint32_t indent = tree->depth > 0 ? tree->depth - 1 : 0;
    bool is_dashed = tree->needs_dash || (name == NULL && tree->depth > 0 && tree->is_array[tree->depth - 1]);
    ASSERT(!tree->needs_dash || indent > 0);
    if (tree->needs_dash) indent--;
    for (uint32_t i = 0; i < indent; i++) buf_printf(&tree->text, "  ");
    if (is_dashed) buf_printf(&tree->text, "- ");
    tree->needs_dash = false;
    if (name != NULL) buf_printf(&tree->text, "%s:%s", name, has_value ? " " : "\n");
}

/* The separator before, and the name. */
static void begin(struct tool_tree *tree, const char *name)
{
    bool is_member = tree->depth > 0 && tree->is_array[tree->depth - 1];
    switch (tree->style) {
    case TOOL_TREE_JSON:
        if (tree->needs_comma) buf_put_u8(&tree->text, ',');
        if (name != NULL) put_json_string(&tree->text, slice_from_string(name));
        if (name != NULL) buf_put_u8(&tree->text, ':');
        break;
    case TOOL_TREE_LINE:
        if (tree->needs_comma) buf_printf(&tree->text, "%s", is_member ? ", " : " ");
        if (name != NULL) buf_printf(&tree->text, "%s: ", name);
        break;
    case TOOL_TREE_BLOCK: begin_line(tree, name, true); break;
    }
    tree->needs_comma = true;
}

static void end(struct tool_tree *tree)
{
    if (tree->style == TOOL_TREE_BLOCK) buf_put_u8(&tree->text, '\n');
}

void tool_tree_open(struct tool_tree *tree, const char *name, char bracket)
{
    ASSERT(bracket == '{' || bracket == '[');
    ASSERT(tree->depth < TOOL_TREE_DEPTH_MAX);
    bool is_outermost = tree->depth == 0 && name == NULL;
    bool is_member = tree->depth > 0 && tree->is_array[tree->depth - 1];
    if (tree->style == TOOL_TREE_JSON) {
        begin(tree, name);
        buf_put_u8(&tree->text, (uint8_t)bracket);
    } else if (tree->style == TOOL_TREE_LINE && !is_outermost) {
        if (tree->needs_comma) buf_printf(&tree->text, "%s", is_member ? ", " : " ");
        if (name != NULL) buf_printf(&tree->text, "%s ", name);
        buf_put_u8(&tree->text, (uint8_t)bracket);
    } else if (tree->style == TOOL_TREE_BLOCK && !is_outermost) {
        if (name != NULL) begin_line(tree, name, false);
        else tree->needs_dash = true;
    }
    tree->is_array[tree->depth++] = bracket == '[';
    tree->needs_comma = false;
}

void tool_tree_close(struct tool_tree *tree)
{
    ASSERT(tree->depth > 0);
    bool is_array = tree->is_array[--tree->depth];
    bool has_bracket = tree->style == TOOL_TREE_JSON || (tree->style == TOOL_TREE_LINE && tree->depth > 0);
    if (has_bracket) buf_put_u8(&tree->text, is_array ? ']' : '}');
    tree->needs_comma = true;
    if (!tree->needs_dash) return; /* BLOCK: a member without fields is a dash alone */
    tree->depth++;
    begin_line(tree, NULL, false);
    tree->depth--;
    end(tree);
}

void tool_tree_u64(struct tool_tree *tree, const char *name, uint64_t value)
{
    begin(tree, name);
    buf_printf(&tree->text, "%" PRIu64, value);
    end(tree);
}

void tool_tree_i64(struct tool_tree *tree, const char *name, int64_t value)
{
    begin(tree, name);
    buf_printf(&tree->text, "%" PRId64, value);
    end(tree);
}

void tool_tree_id(struct tool_tree *tree, const char *name, uint64_t value)
{
    const char *quote = tree->style == TOOL_TREE_JSON ? "\"" : "";
    begin(tree, name);
    buf_printf(&tree->text, "%s%016" PRIx64 "%s", quote, value, quote);
    end(tree);
}

void tool_tree_bool(struct tool_tree *tree, const char *name, bool value)
{
    begin(tree, name);
    buf_printf(&tree->text, "%s", value ? "true" : "false");
    end(tree);
}

void tool_tree_word(struct tool_tree *tree, const char *name, const char *value)
{
    ASSERT(value != NULL);
    begin(tree, name);
    if (tree->style == TOOL_TREE_JSON) put_json_string(&tree->text, slice_from_string(value));
    else buf_put(&tree->text, value, strlen(value));
    end(tree);
}

void tool_tree_string(struct tool_tree *tree, const char *name, struct slice value)
{
    begin(tree, name);
    if (tree->style == TOOL_TREE_JSON) put_json_string(&tree->text, value);
    else tool_tree_quote(&tree->text, value);
    end(tree);
}

void tool_tree_base64(struct tool_tree *tree, const char *name, struct slice value)
{
    const char *quote = tree->style == TOOL_TREE_JSON ? "\"" : "";
    begin(tree, name);
    buf_printf(&tree->text, "%s", quote);
    buf_put_base64(&tree->text, value);
    buf_printf(&tree->text, "%s", quote);
    end(tree);
}

void tool_tree_bytes(struct tool_tree *tree, const char *name, struct slice value)
{
    if (tree->style == TOOL_TREE_JSON) {
        tool_tree_base64(tree, name, value);
        return;
    }
    begin(tree, name);
    tool_tree_quote(&tree->text, value);
    end(tree);
}
