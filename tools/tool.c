/* tool: see tool.h. */
#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/nearest.h"

#define BAR_CELLS 30

void tool_init(struct tool *tool, const char *name)
{
    ASSERT(name != NULL);
    *tool = (struct tool){.name = name, .out = stdout, .error = stderr, .percent = -1};
    tool->fs = tool_fs_new(fs_real_new());
    tool->has_progress = isatty(STDERR_FILENO) == 1;
    tool->is_shown = isatty(STDOUT_FILENO) == 1;
    (void)signal(SIGPIPE, SIG_DFL); /* `tool | head` ends without a word, whatever was inherited */
}

void tool_deinit(struct tool *tool)
{
    if (tool == NULL) return;
    fs_free(tool->fs);
    tool->fs = NULL;
}

enum tool_exit tool_fail(struct tool *tool, const char *format, ...)
{
    ASSERT(tool->error != NULL);
    va_list arguments;
    tool_progress_end(tool);
    (void)fflush(tool->out);
    (void)fprintf(tool->error, "%s: ", tool->name);
    va_start(arguments, format);
    (void)vfprintf(tool->error, format, arguments);
    va_end(arguments);
    (void)fputc('\n', tool->error);
    return TOOL_ERROR;
}

enum tool_exit tool_finish(struct tool *tool, enum tool_exit code)
{
    ASSERT(tool->out != NULL);
    tool_progress_end(tool);
    bool is_written = fflush(tool->out) == 0 && ferror(tool->out) == 0;
    if (is_written || errno == EPIPE) return code;
    return tool_fail(tool, "the output cannot be written: %s", strerror(errno));
}

/* ---- progress ---- */

void tool_progress(struct tool *tool, uint64_t done, uint64_t total)
{
    if (!tool->has_progress || total < TOOL_PROGRESS_BYTES_MIN) return;
    char bar[BAR_CELLS + 1];
    int percent = done >= total ? 100 : (int)(done / (total / 100));
    if (percent == tool->percent) return;
    tool->percent = percent;
    int full = percent * BAR_CELLS / 100;
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < full ? '=' : ' ';
    bar[BAR_CELLS] = '\0';
    (void)fprintf(tool->error, "\r[%s] %3d%%", bar, percent);
    (void)fflush(tool->error);
}

void tool_progress_end(struct tool *tool)
{
    if (tool->percent < 0) return;
    (void)fprintf(tool->error, "\r%*s\r", BAR_CELLS + 7, "");
    tool->percent = -1;
}

/* ---- the command line ---- */

static void print_help(const struct tool *tool, const struct tool_text *text, const struct flag *flags, int flag_count)
{
    printf("%s - %s\n\nUsage:\n  %s %s\n\nExamples:\n%s\n", tool->name, text->summary, tool->name, text->usage, text->examples);
    flags_print_help(flags, flag_count);
    printf("\n%s"
           "\nExit codes:\n"
           "  0  clean\n"
           "  1  wrong usage, or something cannot be read or is not known to this version\n"
           "  3  torn: a start would cut the log's tail, or go on with a suspect one\n"
           "  4  corrupt: a start would refuse\n"
           "\nNothing is changed, created or locked: it may be used beside a running member.\n",
           text->more);
}

bool tool_start(struct tool *tool, const struct tool_text *text, struct flag *flags, int flag_count, int argc, char **argv,
                const char ***out_words, int *out_count, enum tool_exit *out_code)
{
    const struct flags_options options = {.environment_prefix = NULL};
    const char **words = alloc_zero((size_t)argc + 1, sizeof *words);
    struct flags_result result = {.arguments = words};
    bool has_help = false, has_version = false;
    ASSERT(flag_count >= 2 && flags[flag_count - 2].target == NULL && flags[flag_count - 1].target == NULL);
    flags[flag_count - 2].target = &has_help;
    flags[flag_count - 1].target = &has_version;
    bool is_good = flags_parse(flags, flag_count, argc, argv, &options, &result);
    *out_code = TOOL_CLEAN;
    if (!is_good) *out_code = tool_fail(tool, "%s\nRun '%s --help' for usage.", result.error, tool->name);
    else if (has_help) print_help(tool, text, flags, flag_count);
    else if (has_version) printf("%s version: %s\n", tool->name, KVD_VERSION);
    flags[flag_count - 2].target = flags[flag_count - 1].target = NULL;
    if (!is_good || has_help || has_version) {
        alloc_free(words);
        return false;
    }
    *out_words = words;
    *out_count = result.arguments_count;
    return true;
}

const char *tool_nearest(const char *word, const char *const *names, size_t count)
{
    size_t least = SIZE_MAX;
    const char *near = NULL;
    const char *dot = strrchr(word, '.');
    const char *tail = dot == NULL ? word : dot + 1;
    size_t height = strlen(tail);
    if (height == 0) return NULL;
    for (size_t i = 0; i < count; i++) {
        const char *name_dot = strrchr(names[i], '.');
        const char *name = name_dot == NULL ? names[i] : name_dot + 1;
        size_t edits = nearest_distance(tail, name);
        size_t package = (size_t)(name - names[i]);
        bool is_same_package = dot != NULL && package == (size_t)(tail - word) && strncmp(word, names[i], package) == 0;
        if (edits > 1 + height / 3) continue;
        size_t distance = 2 * edits + !is_same_package;
        if (distance >= least) continue;
        least = distance;
        near = names[i];
    }
    return near;
}

/* ---- bytes ---- */

char *tool_join(const char *directory, const char *name)
{
    ASSERT(directory != NULL && name != NULL);
    size_t length = strlen(directory);
    bool has_slash = length > 0 && directory[length - 1] == '/';
    size_t size = length + strlen(name) + 2;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s%s%s", directory, has_slash ? "" : "/", name);
    return path;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool tool_from_hex(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        if (isspace(text.data[i])) continue;
        int high = hex_digit(text.data[i]);
        int low = i + 1 < text.size ? hex_digit(text.data[i + 1]) : -1;
        if (high < 0 || low < 0) return false;
        buf_put_u8(out, (uint8_t)(high << 4 | low));
        i++;
    }
    return true;
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62; /* both alphabets */
    return c == '/' || c == '_' ? 63 : -1;
}

bool tool_from_base64(struct slice text, struct buf *out)
{
    uint32_t bits = 0, bit_count = 0;
    size_t digits = 0, pads = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (isspace(text.data[i])) continue;
        int digit = base64_digit(text.data[i]);
        if (text.data[i] == '=') {
            pads++;
            continue;
        }
        if (digit < 0 || pads > 0) return false;
        digits++;
        bits = (bits << 6 | (uint32_t)digit) & 0xfff;
        bit_count += 6;
        if (bit_count < 8) continue;
        bit_count -= 8;
        buf_put_u8(out, (uint8_t)(bits >> bit_count));
    }
    bool is_filled = pads == 0 || (digits + pads) % 4 == 0;
    return digits % 4 != 1 && is_filled && pads <= 2;
}
