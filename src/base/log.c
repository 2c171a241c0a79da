/* log: one line is built in a buffer on the stack and handed over whole. The last LOG_RESERVE bytes are kept for the
 * end, so that a line that was cut is still JSON: a text that does not fit ends with "…", a field that does not is left
 * out and "cut" says so. */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"

#define LOG_ELLIPSIS "\xe2\x80\xa6"
#define LOG_CUT ",\"cut\":\"" LOG_ELLIPSIS "\""
#define LOG_RESERVE 32 /* LOG_CUT, or LOG_ELLIPSIS and a quote; then "}\n" */
#define LOG_UNIT_MAX 6 /* "\u001f" */

struct line {
    char text[LOG_LINE_MAX];
    size_t size;
    bool cut; /* something did not fit; nothing more is added */
};

static atomic_int log_level_min = LOG_INFO;
static atomic_int log_format_now = LOG_FORMAT_JSON;
static _Thread_local log_sink_fn *log_sink;
static _Thread_local void *log_sink_context;

static const char *const log_level_names[] = {"debug", "info", "warn", "error", "panic", "fatal"};
#define LOG_LEVEL_COUNT ((int)(sizeof log_level_names / sizeof log_level_names[0]))

void log_set_level(enum log_level level)
{
    ASSERT(level <= LOG_FATAL);
    atomic_store_explicit(&log_level_min, (int)level, memory_order_relaxed);
}

void log_set_format(enum log_format format)
{
    ASSERT(format <= LOG_FORMAT_CONSOLE);
    atomic_store_explicit(&log_format_now, (int)format, memory_order_relaxed);
}

bool log_level_from_text(const char *text, enum log_level *out_level)
{
    ASSERT(text != NULL && out_level != NULL);
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(text, log_level_names[i]) != 0) continue;
        *out_level = (enum log_level)i;
        return true;
    }
    return false;
}

void log_set_thread_sink(log_sink_fn *sink, void *context)
{
    log_sink = sink;
    log_sink_context = context;
}

static bool fits(const struct line *line, size_t size) { return line->size + size <= LOG_LINE_MAX - LOG_RESERVE; }

/* Appends without a look at the reserve. */
static void append(struct line *line, const char *text)
{
    size_t size = strlen(text);
    ASSERT(size <= LOG_LINE_MAX - line->size);
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

/* Bytes of the UTF-8 sequence that starts here (RFC 3629: no surrogates, nothing overlong); 0 = not one. */
static size_t utf8_length(const unsigned char *at)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    if (at[0] == 0xe0) low = 0xa0;
    if (at[0] == 0xed) high = 0x9f;
    if (at[0] == 0xf0) low = 0x90;
    if (at[0] == 0xf4) high = 0x8f;
    if (length > 1 && (at[1] < low || at[1] > high)) return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    return length;
}

/* One character of a text as JSON wants it, into unit; returns how many bytes of the text it took. */
static size_t escape(const unsigned char *at, char unit[LOG_UNIT_MAX + 1])
{
    static const char escaped[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const char *place = memchr(escaped, at[0], sizeof escaped - 1);
    size_t length = utf8_length(at);
    if (place != NULL) {
        snprintf(unit, LOG_UNIT_MAX + 1, "\\%c", letters[place - escaped]);
    } else if (length == 0) {
        snprintf(unit, LOG_UNIT_MAX + 1, "\\ufffd");
        length = 1;
    } else if (at[0] < 0x20 || at[0] == 0x7f) {
        snprintf(unit, LOG_UNIT_MAX + 1, "\\u%04x", at[0]);
    } else {
        memcpy(unit, at, length);
        unit[length] = '\0';
    }
    return length;
}

static void put_text(struct line *line, const char *text)
{
    ASSERT(!line->cut);
    char unit[LOG_UNIT_MAX + 1];
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0' && !line->cut;) {
        at += escape(at, unit);
        if (fits(line, strlen(unit)))
            append(line, unit);
        else
            line->cut = true;
    }
    if (line->cut) append(line, LOG_ELLIPSIS);
}

static void value_text(const struct log_field *field, char *out_text, size_t size)
{
    int length = 0;
    switch (field->kind) {
    case LOG_U64: length = snprintf(out_text, size, "%llu", (unsigned long long)field->value.u64); break;
    case LOG_I64: length = snprintf(out_text, size, "%lld", (long long)field->value.i64); break;
    case LOG_HEX: length = snprintf(out_text, size, "\"%llx\"", (unsigned long long)field->value.u64); break;
    case LOG_BOOL: length = snprintf(out_text, size, "%s", field->value.yes ? "true" : "false"); break;
    case LOG_TEXT: break; /* is written in pieces, not here */
    }
    ASSERT(length > 0 && (size_t)length < size);
}

/* A whole field, or of a text as much as fits, or LOG_CUT. Names are ours and need no escapes. */
static void put_field(struct line *line, const struct log_field *field, bool is_first)
{
    ASSERT(field->name != NULL && !line->cut);
    char number[32] = "";
    bool is_text = field->kind == LOG_TEXT;
    if (!is_text) value_text(field, number, sizeof number);
    if (!fits(line, strlen(field->name) + sizeof ",\"\":\"\"" + strlen(number))) {
        line->cut = true;
        append(line, &LOG_CUT[is_first ? 1 : 0]); /* the first field has no comma */
        return;
    }
    append(line, is_first ? "\"" : ",\"");
    append(line, field->name);
    append(line, is_text ? "\":\"" : "\":");
    if (is_text) put_text(line, field->value.text == NULL ? "" : field->value.text);
    append(line, is_text ? "\"" : number);
}

/* The caller's last folder and file, as "raft/raft.c:12". */
static const char *short_caller(const char *caller)
{
    ASSERT(caller != NULL);
    const char *start = caller;
    for (const char *at = caller; (at = strchr(at, '/')) != NULL; at++)
        if (strchr(at + 1, '/') != NULL) start = at + 1;
    return start;
}

static void time_text(char *out_text, size_t size)
{
    uint64_t now_ns = clock_wall_ns();
    time_t seconds = (time_t)(now_ns / NS_PER_S);
    struct tm utc;
    const struct tm *converted = gmtime_r(&seconds, &utc);
    ASSERT(converted == &utc);
    size_t length = strftime(out_text, size, "%Y-%m-%dT%H:%M:%S", &utc);
    ASSERT(length > 0 && length < size);
    snprintf(out_text + length, size - length, ".%06lluZ", (unsigned long long)(now_ns % NS_PER_S / NS_PER_US));
}

/* `caller` and `ts` are short by nature; msg may be cut. Leaves the line open for fields. */
static void put_head_json(struct line *line, enum log_level level, const char *time, const char *caller,
                          const char *msg)
{
    line->size = (size_t)snprintf(line->text, LOG_LINE_MAX / 2, "{\"level\":\"%s\",\"ts\":\"%s\",\"caller\":\"%.200s\"",
                                  log_level_names[level], time, caller);
    ASSERT(line->size < LOG_LINE_MAX / 2);
    append(line, ",\"msg\":\"");
    put_text(line, msg);
    append(line, "\"");
}

static void put_head_console(struct line *line, enum log_level level, const char *time, const char *caller,
                             const char *msg)
{
    const char *name = log_level_names[level];
    line->size = (size_t)snprintf(line->text, LOG_LINE_MAX / 2, "%s\t%s\t%.200s\t", time, name, caller);
    ASSERT(line->size < LOG_LINE_MAX / 2);
    put_text(line, msg);
}

static void hand_over(const struct line *line)
{
    ASSERT(line->size > 0 && line->text[line->size - 1] == '\n');
    if (log_sink != NULL) {
        log_sink(log_sink_context, slice_make(line->text, line->size));
        return;
    }
    ssize_t written = write(STDERR_FILENO, line->text, line->size);
    (void)written; /* nobody is left to tell */
}

void log_line(enum log_level level, const char *caller, const char *msg, const struct log_field *fields, int count)
{
    ASSERT(level <= LOG_FATAL && caller != NULL && msg != NULL && count >= 0 && (fields != NULL || count == 0));
    if ((int)level < atomic_load_explicit(&log_level_min, memory_order_relaxed)) return;
    bool is_json = atomic_load_explicit(&log_format_now, memory_order_relaxed) == LOG_FORMAT_JSON;
    char time[48];
    struct line line;
    line.size = 0;
    line.cut = false;
    time_text(time, sizeof time);
    if (is_json)
        put_head_json(&line, level, time, short_caller(caller), msg);
    else
        put_head_console(&line, level, time, short_caller(caller), msg);
    bool has_fields = count > 0 && !line.cut;
    if (has_fields && !is_json) append(&line, "\t{");
    for (int i = 0; i < count && !line.cut; i++) put_field(&line, &fields[i], i == 0 && !is_json);
    append(&line, is_json || has_fields ? "}\n" : "\n");
    hand_over(&line);
}
