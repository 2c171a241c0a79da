/* log: lines for operators, in etcd's JSON layout ({"level","ts","caller","msg",fields…}) or console form.
 *
 * Roles never write to stderr: log_line() formats the line and hands it to the sink; the default sink writes stderr at once (apps,
 * tests, start-up); a node installs a sink per role that queues the line to `main`. Libraries do not log at all.
 * Thread: any. Level and format are the only process-wide values. A line is at most LOG_LINE_MAX bytes, cut with "…". */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_PANIC, LOG_FATAL };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_CONSOLE };
#define LOG_LINE_MAX 2048

void log_set_level(enum log_level level);
void log_set_format(enum log_format format);
bool log_level_from_text(const char *text, enum log_level *out_level);

/* A thread's sink; NULL restores stderr. `line` ends with a newline and is borrowed. Thread-local. */
typedef void log_sink_fn(void *context, struct slice line);
void log_set_thread_sink(log_sink_fn *sink, void *context);

enum log_field_kind { LOG_TEXT, LOG_U64, LOG_I64, LOG_HEX, LOG_BOOL };
struct log_field {
    const char *name;
    enum log_field_kind kind;
    union {
        const char *text;
        uint64_t u64;
        int64_t i64;
        bool yes;
    } value;
};
#define LOG_F_TEXT(n, v) ((struct log_field){.name = (n), .kind = LOG_TEXT, .value.text = (v)})
#define LOG_F_U64(n, v) ((struct log_field){.name = (n), .kind = LOG_U64, .value.u64 = (v)})
#define LOG_F_I64(n, v) ((struct log_field){.name = (n), .kind = LOG_I64, .value.i64 = (v)})
#define LOG_F_HEX(n, v) ((struct log_field){.name = (n), .kind = LOG_HEX, .value.u64 = (v)}) /* member and cluster ids */
#define LOG_F_BOOL(n, v) ((struct log_field){.name = (n), .kind = LOG_BOOL, .value.yes = (v)})

void log_line(enum log_level level, const char *caller, const char *msg, const struct log_field *fields, int count);
#define LOG_STR2(x) #x
#define LOG_STR(x) LOG_STR2(x)
/* LOG(INFO, "became leader", LOG_F_U64("term", term)); at least one field, or use LOG0. */
#define LOG(level, msg, ...)                                                                                           \
    log_line(LOG_##level, __FILE_NAME_ONLY__ ":" LOG_STR(__LINE__), msg, (const struct log_field[]){__VA_ARGS__},       \
             (int)(sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)))
#define LOG0(level, msg) log_line(LOG_##level, __FILE_NAME_ONLY__ ":" LOG_STR(__LINE__), msg, NULL, 0)
#ifndef __FILE_NAME_ONLY__
#define __FILE_NAME_ONLY__ __FILE__ /* the build passes -fmacro-prefix-map so that it is src/… relative */
#endif

#endif
