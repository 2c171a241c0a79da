/* readpb: prints the bytes of any of kvd's protobuf messages. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "readpb_print.h"

#define READ_BYTES 65536

static const struct tool_text text = {
    .summary = "prints the bytes of any of kvd's protobuf messages",
    .usage = "[flags] MESSAGE [FILE | -]",
    .examples =
        "  readpb --list                                             all messages\n"
        "  readpb etcdserverpb.PutRequest request.bin\n"
        "  echo 0a03666f6f 1203626172 | readpb --hex etcdserverpb.PutRequest\n"
        "  readwal --json -t put data | head -1 | jq -r .data | readpb --base64 kvd.Envelope\n"
        "  readpb --json mvccpb.KeyValue - < pair.bin                JSON; bytes are base64\n",
    .more =
        "Only what stands in the bytes is shown: a field that is missing has its default. Fields that this version does not know are\n"
        "shown as unknown_fields. Bytes that are not such a message are an error with its offset, and exit code 4.\n",
};

/* Everything up to the end, or TOOL_INPUT_MAX and a byte. */
static bool read_all(struct tool *tool, FILE *file, const char *name, struct buf *out)
{
    while (out->size <= TOOL_INPUT_MAX) {
        uint8_t *place = buf_extend(out, READ_BYTES);
        size_t size = fread(place, 1, READ_BYTES, file);
        out->size -= READ_BYTES - size;
        if (size == 0) break;
    }
    if (ferror(file) != 0) (void)tool_fail(tool, "%s: %s", name, strerror(errno));
    else if (out->size > TOOL_INPUT_MAX) (void)tool_fail(tool, "%s: more than %zu bytes", name, TOOL_INPUT_MAX);
    return ferror(file) == 0 && out->size <= TOOL_INPUT_MAX;
}

static enum tool_exit run(struct tool *tool, const char *message, const char *path, enum readpb_print_encoding encoding)
{
    struct buf input;
    bool is_stdin = path == NULL || strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "rbe");
    enum tool_exit code = TOOL_ERROR;
    if (file == NULL) return tool_fail(tool, "%s: %s", path, strerror(errno));
    buf_init(&input);
    if (read_all(tool, file, is_stdin ? "standard input" : path, &input)) code = readpb_print(tool, message, buf_slice(&input), encoding);
    buf_deinit(&input);
    if (!is_stdin) (void)fclose(file);
    return code;
}

int main(int argc, char **argv)
{
    struct tool tool;
    bool is_hex = false, is_base64 = false, is_list = false;
    struct flag flags[] = {
        {"json", 'j', FLAG_BOOL, &tool.is_json, NULL, "JSON instead of text", "Options", false},
        {"hex", 'x', FLAG_BOOL, &is_hex, NULL, "the input is hexadecimal; blanks may stand between bytes", "Options", false},
        {"base64", 'b', FLAG_BOOL, &is_base64, NULL, "the input is base64 of either alphabet", "Options", false},
        {"list", 'l', FLAG_BOOL, &is_list, NULL, "the names of all messages", "Options", false},
        {"help", 'h', FLAG_BOOL, NULL, NULL, "this text", "Options", false},
        {"version", 0, FLAG_BOOL, NULL, NULL, "the program's version", "Options", false},
    };
    const char **words = NULL;
    int count = 0;
    enum tool_exit code = TOOL_ERROR;
    tool_init(&tool, "readpb");
    if (!tool_start(&tool, &text, flags, sizeof flags / sizeof flags[0], argc, argv, &words, &count, &code)) goto out;
    enum readpb_print_encoding encoding = is_hex ? READPB_PRINT_HEX : is_base64 ? READPB_PRINT_BASE64 : READPB_PRINT_RAW;
    if (is_list && count == 0) {
        code = TOOL_CLEAN;
        readpb_print_list(&tool);
    } else if (is_hex && is_base64) {
        code = tool_fail(&tool, "--hex or --base64, not both");
    } else if (count < 1 || count > 2 || is_list) {
        code = tool_fail(&tool, "which message, and at most one file?\nRun 'readpb --help' for usage.");
    } else {
        code = run(&tool, words[0], words[1], encoding);
    }
out:
    code = tool_finish(&tool, code);
    alloc_free(words);
    tool_deinit(&tool);
    return (int)code;
}
