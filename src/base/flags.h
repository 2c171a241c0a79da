/* flags: command lines by one table: --name value, --name=value, -name, -nvalue for a letter, booleans bare or
 * =true/false; a repeated flag: the last wins, of a list all count. Environment PREFIX_UPPER_SNAKE for each flag. Used by kvd, kvctl, tools, benchmarks. Thread: start-up. */
#ifndef BASE_FLAGS_H
#define BASE_FLAGS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum flag_kind { FLAG_BOOL, FLAG_STRING, FLAG_I64, FLAG_U64, FLAG_DURATION_NS /* 5s, 100ms, 1h30m, 0; a unit is a must */,
                 FLAG_LIST /* a string; repeated, one more */, FLAG_IGNORED /* accepted; one warning through flags_result */,
                 FLAG_IGNORED_BOOL /* likewise, and the next word is not its value */ };
/* Texts of one flag in their order; an item may hold several, with commas between. Borrowed, so it can be copied. */
#define FLAGS_LIST_MAX 64
struct flags_list {
    const char *words[FLAGS_LIST_MAX];
    int count;
};
struct flag {
    const char *name;       /* "data-dir" */
    char letter;            /* 'w', or 0 */
    enum flag_kind kind;
    void *target;           /* bool*, const char**, int64_t*, uint64_t*, struct flags_list* */
    const char *value_name; /* "<path>" for --help */
    const char *help;       /* one line */
    const char *group;      /* heading in --help; same pointer or text for neighbours */
    bool is_set;            /* out: by command line or environment */
};
#define FLAGS_IGNORED_MAX 192
struct flags_result {
    int arguments_count;          /* what is not a flag, in order */
    const char **arguments;       /* points into argv; array owned by the caller: at least argc long */
    int before_dashes;            /* how many of them stand before the "--" that ends the flags; -1 = there is none */
    const char *ignored[FLAGS_IGNORED_MAX]; /* names of ignored flags that were given */
    int ignored_count;
    char error[256];              /* when flags_parse answers false */
    bool unknown_flag;            /* the error is an unknown flag */
};
/* One mistake; `word` is the flag as it was written, or the variable's name. */
typedef void flags_complaint_fn(void *context, const char *word, const char *error);
/* Strings are borrowed from argv / environ. `environment_prefix` ("KVCTL") may be NULL; the command line wins. "--" ends the flags; with
 * `stop_at_command` the first plain word ends them too (sub-commands parse the rest themselves). With `complain` all mistakes are told
 * there, and what can be read is read; without it the first one ends it. */
struct flags_options {
    const char *environment_prefix;
    bool stop_at_command;
    flags_complaint_fn *complain;
    void *context;
};
bool flags_parse(struct flag *flags, int flag_count, int argc, char **argv, const struct flags_options *options,
                 struct flags_result *result);
/* Sets a flag from text; false = it is not of the flag's kind. An ignored one takes anything. The first text of a FLAG_LIST replaces its default. */
bool flags_set(struct flag *flag, const char *text);
bool flags_is_ignored(enum flag_kind kind);
/* All of a list with commas between (owned: alloc_free). */
char *flags_list_string(const struct flags_list *list);
const char *flags_kind_text(enum flag_kind kind); /* what its values look like: "a whole number" */
/* PREFIX_UPPER_SNAKE of a flag's name. */
#define FLAGS_VARIABLE_MAX 128
void flags_variable_name(const char *prefix, const char *name, char out_text[FLAGS_VARIABLE_MAX]);
/* A value as its kind is written; "" for 0, false and "" unless `is_whole`. Appended to out_text. */
void flags_value_text(const struct flag *flag, bool is_whole, struct buf *out_text);
/* What the flag is when nobody sets it, likewise; nothing where it was set. */
void flags_default_text(const struct flag *flag, struct buf *out_text);
/* To stdout, grouped, aligned; what a flag is when nobody sets it stands behind its text (read from its target). */
void flags_print_help(const struct flag *flags, int flag_count);

#endif
