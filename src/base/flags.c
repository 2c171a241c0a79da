/* flags: the parser behind flags.h. The command line first, then the environment for what it left unset. */
#include "base/flags.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

__attribute__((format(printf, 2, 3))) static bool refuse(struct flags_result *result, const char *format, ...)
{
    ASSERT(result != NULL);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(result->error, sizeof result->error, format, arguments);
    va_end(arguments);
    ASSERT(length > 0);
    return false;
}

static bool parse_bool(const char *text, bool *out_value)
{
    static const char *const yes[] = {"true", "1", "t", "T", "TRUE", "True"};
    static const char *const no[] = {"false", "0", "f", "F", "FALSE", "False"};
    ASSERT(text != NULL);
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) != 0 && strcmp(text, no[i]) != 0) continue;
        *out_value = strcmp(text, yes[i]) == 0;
        return true;
    }
    return false;
}

static bool parse_i64(const char *text, int64_t *out_value)
{
    ASSERT(text != NULL);
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || isspace((unsigned char)*text)) return false;
    *out_value = value;
    return true;
}

static bool parse_u64(const char *text, uint64_t *out_value)
{
    ASSERT(text != NULL);
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0 || !isdigit((unsigned char)*text)) return false;
    *out_value = value;
    return true;
}

/* The unit at *at, in nanoseconds, and steps over it; 0 = none. */
static uint64_t take_unit(const char **at)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1},           {"us", NS_PER_US}, {"\xc2\xb5s", NS_PER_US}, {"\xce\xbcs", NS_PER_US},
                 {"ms", NS_PER_MS},   {"s", NS_PER_S},   {"m", 60 * NS_PER_S},     {"h", 3600 * NS_PER_S}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].name);
        if (strncmp(*at, units[i].name, length) != 0) continue;
        ASSERT(units[i].ns > 0);
        *at += length;
        return units[i].ns;
    }
    return 0;
}

/* A sequence of decimals with units, as 1h30m or 1.5s; and 0. Units: ns us µs ms s m h. */
static bool parse_duration(const char *text, uint64_t *out_ns)
{
    ASSERT(text != NULL);
    uint64_t total_ns = 0;
    const char *at = text;
    if (strcmp(text, "0") != 0) {
        if (*text == '\0') return false;
        while (*at != '\0') {
            if (!isdigit((unsigned char)*at) && *at != '.') return false;
            char *end = NULL;
            size_t length = strspn(at, "0123456789.");
            double value = strtod(at, &end);
            if (end != at + length) return false;
            at = end;
            uint64_t unit_ns = take_unit(&at);
            double ns = value * (double)unit_ns;
            if (unit_ns == 0 || ns > (double)(INT64_MAX / 2) || total_ns > INT64_MAX / 2) return false;
            total_ns += (uint64_t)(ns + 0.5);
        }
    }
    *out_ns = total_ns;
    return true;
}

const char *flags_kind_text(enum flag_kind kind)
{
    switch (kind) {
    case FLAG_BOOL: return "true or false";
    case FLAG_I64: return "a whole number";
    case FLAG_U64: return "a whole number that is not negative";
    case FLAG_DURATION_NS: return "a time like 5s, 100ms or 1h30m";
    case FLAG_LIST: return "any text, at most 64 times";
    case FLAG_STRING:
    case FLAG_IGNORED:
    case FLAG_IGNORED_BOOL: break;
    }
    return "any text";
}

bool flags_is_ignored(enum flag_kind kind) { return kind == FLAG_IGNORED || kind == FLAG_IGNORED_BOOL; }

static bool add_to_list(struct flags_list *list, bool is_first, const char *text)
{
    if (is_first) list->count = 0;
    if (list->count == FLAGS_LIST_MAX) return false;
    list->words[list->count++] = text;
    return true;
}

static void put_list(const struct flags_list *list, struct buf *out_text)
{
    ASSERT(list->count >= 0 && list->count <= FLAGS_LIST_MAX);
    for (int i = 0; i < list->count; i++) buf_printf(out_text, "%s%s", i == 0 ? "" : ",", list->words[i]);
}

char *flags_list_string(const struct flags_list *list)
{
    struct buf text;
    buf_init(&text);
    put_list(list, &text);
    buf_put_u8(&text, '\0');
    char *string = alloc_string((const char *)buf_slice(&text).data);
    buf_deinit(&text);
    return string;
}

bool flags_set(struct flag *flag, const char *text)
{
    ASSERT(flag->target != NULL || flags_is_ignored(flag->kind));
    bool is_good = true;
    switch (flag->kind) {
    case FLAG_BOOL: is_good = parse_bool(text, flag->target); break;
    case FLAG_STRING: *(const char **)flag->target = text; break;
    case FLAG_I64: is_good = parse_i64(text, flag->target); break;
    case FLAG_U64: is_good = parse_u64(text, flag->target); break;
    case FLAG_DURATION_NS: is_good = parse_duration(text, flag->target); break;
    case FLAG_LIST: is_good = add_to_list(flag->target, !flag->is_set, text); break;
    case FLAG_IGNORED:
    case FLAG_IGNORED_BOOL: break;
    }
    if (is_good) flag->is_set = true;
    return is_good;
}

/* `variable` is the environment's, for the error; NULL = the command line. */
static bool set_flag(struct flag *flag, const char *variable, const char *text, struct flags_result *result)
{
    bool is_new = !flag->is_set, is_good = flags_set(flag, text);
    const char *kind = flags_kind_text(flag->kind);
    if (!is_good && variable != NULL) return refuse(result, "invalid value \"%.100s\" for %s: expected %s", text, variable, kind);
    if (!is_good) return refuse(result, "invalid value \"%.100s\" for --%s: expected %s", text, flag->name, kind);
    if (flags_is_ignored(flag->kind) && is_new && result->ignored_count < FLAGS_IGNORED_MAX)
        result->ignored[result->ignored_count++] = flag->name;
    return true;
}

static struct flag *find_flag(struct flag *flags, int flag_count, const char *name, size_t length)
{
    ASSERT(flag_count >= 0 && name != NULL);
    for (int i = 0; i < flag_count; i++)
        if (strlen(flags[i].name) == length && strncmp(flags[i].name, name, length) == 0) return &flags[i];
    for (int i = 0; i < flag_count; i++)
        if (length == 1 && flags[i].letter == name[0]) return &flags[i];
    return NULL;
}

static bool is_boolean(const struct flag *flag) { return flag->kind == FLAG_BOOL || flag->kind == FLAG_IGNORED_BOOL; }

/* True if the next word is the flag's value. A boolean has its value after "=" only; another ignored flag, whose kind is not
 * known, takes a word that does not look like a flag (a negative number does not). */
static bool takes_next_word(const struct flag *flag, const char *next)
{
    if (is_boolean(flag) || next == NULL) return false;
    return flag->kind != FLAG_IGNORED || next[0] != '-' || isdigit((unsigned char)next[1]);
}

/* One word that starts with '-', and the next one if it is its value. Steps *at past them. */
static bool parse_word(struct flag *flags, int flag_count, int argc, char **argv, int *at, struct flags_result *result)
{
    const char *word = argv[(*at)++];
    const char *name = word + (word[1] == '-' ? 2 : 1);
    ASSERT(word[0] == '-' && name[0] != '\0');
    size_t length = strcspn(name, "=");
    struct flag *flag = find_flag(flags, flag_count, name, length);
    /* -wjson: a letter with its value right behind. */
    struct flag *lettered = flag == NULL && word[1] != '-' ? find_flag(flags, flag_count, name, 1) : NULL;
    if (lettered != NULL && !is_boolean(lettered)) return set_flag(lettered, NULL, name + 1, result);
    if (flag == NULL) {
        result->unknown_flag = true;
        return refuse(result, "unknown flag: %.*s", (int)(length + (size_t)(name - word)), word);
    }
    if (name[length] == '=') return set_flag(flag, NULL, name + length + 1, result);
    const char *next = *at < argc ? argv[*at] : NULL;
    if (takes_next_word(flag, next)) {
        (*at)++;
        return set_flag(flag, NULL, next, result);
    }
    bool may_be_bare = is_boolean(flag) || flag->kind == FLAG_IGNORED;
    if (!may_be_bare) return refuse(result, "flag needs an argument: %s", word);
    return set_flag(flag, NULL, "true", result);
}

/* Tells one mistake; true = goes on. */
static bool tell(const struct flags_options *options, const char *word, const struct flags_result *result)
{
    ASSERT(result->error[0] != '\0');
    if (options->complain != NULL) options->complain(options->context, word, result->error);
    return options->complain != NULL;
}

static bool parse_command_line(struct flag *flags, int flag_count, int argc, char **argv, const struct flags_options *options,
                               struct flags_result *result)
{
    ASSERT(argc >= 1 && argv != NULL && result->arguments != NULL);
    int at = 1;
    bool flags_ended = false, is_good = true;
    while (at < argc) {
        const char *word = argv[at];
        if (!flags_ended && strcmp(word, "--") == 0) {
            flags_ended = true;
            result->before_dashes = result->arguments_count;
            at++;
        } else if (!flags_ended && word[0] == '-' && word[1] != '\0') {
            if (parse_word(flags, flag_count, argc, argv, &at, result)) continue;
            is_good = false;
            if (!tell(options, word, result)) return false;
            /* What follows a flag that nobody knows is most likely its value. */
            if (result->unknown_flag && strchr(word, '=') == NULL && at < argc && argv[at][0] != '-') at++;
            result->unknown_flag = false;
        } else {
            flags_ended = flags_ended || options->stop_at_command;
            result->arguments[result->arguments_count++] = word;
            at++;
        }
    }
    ASSERT(result->arguments_count < argc);
    return is_good;
}

void flags_variable_name(const char *prefix, const char *name, char out_text[FLAGS_VARIABLE_MAX])
{
    int length = snprintf(out_text, FLAGS_VARIABLE_MAX, "%s_%s", prefix, name);
    ASSERT(length > 0 && length < FLAGS_VARIABLE_MAX);
    for (char *at = out_text; *at != '\0'; at++) *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
}

static bool parse_environment(struct flag *flags, int flag_count, const struct flags_options *options,
                              struct flags_result *result)
{
    ASSERT(options->environment_prefix != NULL);
    bool is_good = true;
    for (int i = 0; i < flag_count; i++) {
        char variable[FLAGS_VARIABLE_MAX];
        flags_variable_name(options->environment_prefix, flags[i].name, variable);
        const char *text = getenv(variable);
        if (text == NULL || text[0] == '\0' || flags[i].is_set || set_flag(&flags[i], variable, text, result)) continue;
        is_good = false;
        if (!tell(options, variable, result)) return false;
    }
    return is_good;
}

bool flags_parse(struct flag *flags, int flag_count, int argc, char **argv, const struct flags_options *options,
                 struct flags_result *result)
{
    ASSERT(options != NULL && result != NULL && flag_count >= 0);
    const char **arguments = result->arguments;
    *result = (struct flags_result){.arguments = arguments, .before_dashes = -1};
    for (int i = 0; i < flag_count; i++) flags[i].is_set = false;
    bool is_good = parse_command_line(flags, flag_count, argc, argv, options, result);
    if (!is_good && options->complain == NULL) return false;
    if (options->environment_prefix != NULL && !parse_environment(flags, flag_count, options, result)) is_good = false;
    return is_good;
}

/* "  -w, --write-out <format>" into out_text; returns its width. */
static int help_left(const struct flag *flag, char *out_text, size_t size)
{
    char letter[8] = "    ";
    if (flag->letter != 0) snprintf(letter, sizeof letter, "-%c, ", flag->letter);
    int width = snprintf(out_text, size, "  %s--%s%s%s", letter, flag->name, flag->value_name == NULL ? "" : " ",
                         flag->value_name == NULL ? "" : flag->value_name);
    ASSERT(width > 0 && (size_t)width < size);
    return width;
}

/* A time in its largest unit that divides it: 2h, 90s, 250ms. */
static void put_duration(uint64_t ns, struct buf *out_text)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{3600 * NS_PER_S, "h"}, {60 * NS_PER_S, "m"}, {NS_PER_S, "s"}, {NS_PER_MS, "ms"}, {NS_PER_US, "us"}, {1, "ns"}};
    size_t i = 0;
    ASSERT(ns > 0);
    while (ns % units[i].ns != 0) i++;
    buf_printf(out_text, "%" PRIu64 "%s", ns / units[i].ns, units[i].name);
}

void flags_value_text(const struct flag *flag, bool is_whole, struct buf *out_text)
{
    ASSERT(flag->target != NULL || flags_is_ignored(flag->kind));
    int64_t i64 = flag->kind == FLAG_I64 ? *(const int64_t *)flag->target : 0;
    bool is_unsigned = flag->kind == FLAG_U64 || flag->kind == FLAG_DURATION_NS;
    uint64_t u64 = is_unsigned ? *(const uint64_t *)flag->target : 0;
    switch (flag->kind) {
    case FLAG_BOOL:
        if (*(const bool *)flag->target || is_whole) buf_printf(out_text, "%s", *(const bool *)flag->target ? "true" : "false");
        break;
    case FLAG_STRING: buf_printf(out_text, "%s", *(const char *const *)flag->target); break;
    case FLAG_I64:
        if (i64 != 0 || is_whole) buf_printf(out_text, "%" PRId64, i64);
        break;
    case FLAG_U64:
        if (u64 != 0 || is_whole) buf_printf(out_text, "%" PRIu64, u64);
        break;
    case FLAG_DURATION_NS:
        if (u64 != 0) put_duration(u64, out_text);
        else if (is_whole) buf_printf(out_text, "0");
        break;
    case FLAG_LIST: put_list(flag->target, out_text); break;
    case FLAG_IGNORED:
    case FLAG_IGNORED_BOOL: break;
    }
}

/* What nobody has set is still the default. Nothing is said of 0, false and "": the flag's text explains those. */
void flags_default_text(const struct flag *flag, struct buf *out_text)
{
    if (flag->is_set || flag->target == NULL) return;
    if (flag->kind != FLAG_STRING || *(const char *const *)flag->target != NULL) flags_value_text(flag, false, out_text);
}

static void print_default(const struct flag *flag)
{
    struct buf text;
    buf_init(&text);
    flags_default_text(flag, &text);
    if (text.size > 0) printf(" (default %.*s)", (int)text.size, (const char *)buf_slice(&text).data);
    buf_deinit(&text);
}

void flags_print_help(const struct flag *flags, int flag_count)
{
    ASSERT(flags != NULL || flag_count == 0);
    char left[FLAGS_VARIABLE_MAX * 2];
    int widest = 0;
    for (int i = 0; i < flag_count; i++) {
        int width = flags[i].help == NULL ? 0 : help_left(&flags[i], left, sizeof left);
        if (width > widest) widest = width;
    }
    const char *group = NULL;
    for (int i = 0; i < flag_count; i++) {
        const struct flag *flag = &flags[i];
        if (flag->help == NULL) continue;
        if (flag->group != NULL && (group == NULL || strcmp(group, flag->group) != 0)) {
            printf("%s%s:\n", group == NULL ? "" : "\n", flag->group);
            group = flag->group;
        }
        help_left(flag, left, sizeof left);
        printf("%-*s  %s", widest, left, flag->help);
        print_default(flag);
        putchar('\n');
    }
}
