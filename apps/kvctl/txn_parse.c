/* txn_parse: a small scanner over one line. Text inside quotes may hold any byte but NUL (words are C strings). */
#include "txn_parse.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"

struct scanner {
    const char *at;
    char *out; /* where the next unquoted byte goes; the arena's, as long as the line */
};

static bool scanner_init(struct scanner *scanner, const char *line, struct arena *arena)
{
    ASSERT(line != NULL);
    scanner->at = line;
    scanner->out = arena_alloc(arena, 4 * strlen(line) + 2);
    return scanner->out != NULL;
}

static void skip_space(struct scanner *scanner)
{
    ASSERT(scanner->at != NULL);
    scanner->at += strspn(scanner->at, " \t\r");
}

static char *put_utf8(char *out, uint32_t c)
{
    ASSERT(c <= 0x10ffff);
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 63));
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    }
    return out;
}

/* `size` digits of the base at scanner->at; -1 = they are not. */
static int64_t take_digits(struct scanner *scanner, size_t size, int base)
{
    char digits[9] = "";
    ASSERT(size < sizeof digits);
    if (strlen(scanner->at) < size) return -1;
    memcpy(digits, scanner->at, size);
    char *end = NULL;
    long value = strtol(digits, &end, base);
    if (end != digits + size || digits[0] == '-' || digits[0] == '+' || digits[0] == ' ') return -1;
    scanner->at += size;
    return value;
}

/* What follows a backslash, as in Go's strings. */
static bool take_escape(struct scanner *scanner)
{
    static const char letters[] = "abfnrtv\\'\"", bytes[] = "\a\b\f\n\r\t\v\\'\"";
    char c = *scanner->at;
    const char *letter = c == '\0' ? NULL : strchr(letters, c);
    if (letter != NULL) {
        *scanner->out++ = bytes[letter - letters];
        scanner->at++;
        return true;
    }
    bool is_octal = c >= '0' && c <= '7';
    if (!is_octal && c != 'x' && c != 'u' && c != 'U') return false;
    if (!is_octal) scanner->at++;
    size_t size = is_octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : 8;
    int64_t value = take_digits(scanner, size, is_octal ? 8 : 16);
    bool is_byte = is_octal || c == 'x';
    if (value <= 0 || value > (is_byte ? 0xff : 0x10ffff)) return false;
    ASSERT(size >= 2);
    if (is_byte)
        *scanner->out++ = (char)value;
    else
        scanner->out = put_utf8(scanner->out, (uint32_t)value);
    return true;
}

bool txn_parse_escape(const char **at, char **out)
{
    struct scanner scanner = {.at = *at, .out = *out};
    bool is_good = take_escape(&scanner);
    *at = scanner.at;
    *out = scanner.out;
    return is_good;
}

/* The string in double quotes at the scanner; NULL = there is none, or it is not well formed. */
static char *take_quoted(struct scanner *scanner)
{
    if (*scanner->at != '"') return NULL;
    char *start = scanner->out;
    scanner->at++;
    while (*scanner->at != '"') {
        if (*scanner->at == '\0') return NULL;
        if (*scanner->at != '\\') {
            *scanner->out++ = *scanner->at++;
            continue;
        }
        scanner->at++;
        if (!take_escape(scanner)) return NULL;
    }
    scanner->at++;
    *scanner->out++ = '\0';
    ASSERT(scanner->out > start);
    return start;
}

/* --- compare ------------------------------------------------------------------------------------------------------------- */

/* Numbers of Compare.CompareTarget, and the field of target_union. */
struct target {
    const char *name;
    uint64_t target;
    uint32_t field;
};
static const struct target TARGETS[] = {{"ver", 0, 4}, {"version", 0, 4}, {"c", 1, 5},   {"create", 1, 5}, {"m", 2, 6},
                                        {"mod", 2, 6}, {"val", 3, 7},     {"value", 3, 7}, {"lease", 4, 8}};

static const struct target *find_target(const char *name, size_t size)
{
    ASSERT(name != NULL);
    for (size_t i = 0; i < sizeof TARGETS / sizeof TARGETS[0]; i++)
        if (strlen(TARGETS[i].name) == size && strncasecmp(TARGETS[i].name, name, size) == 0) return &TARGETS[i];
    return NULL;
}

/* Compare.CompareResult of an operator; -1 = none. Steps over it. */
static int take_operator(struct scanner *scanner)
{
    static const char *const operators[] = {"=", ">", "<", "!="};
    for (int i = 0; i < 4; i++) {
        size_t size = strlen(operators[i]);
        ASSERT(size > 0);
        if (strncmp(scanner->at, operators[i], size) != 0) continue;
        scanner->at += size;
        return i;
    }
    return -1;
}

bool txn_parse_compare(const char *line, struct arena *arena, struct buf *out)
{
    struct scanner scanner;
    if (!scanner_init(&scanner, line, arena)) return false;
    skip_space(&scanner);
    size_t name_size = strcspn(scanner.at, "(");
    const struct target *target = find_target(scanner.at, name_size);
    if (target == NULL || scanner.at[name_size] != '(') return false;
    scanner.at += name_size + 1;
    const char *key = take_quoted(&scanner);
    if (key == NULL || *scanner.at != ')') return false;
    scanner.at++;
    skip_space(&scanner);
    int result = take_operator(&scanner);
    skip_space(&scanner);
    const char *value = result < 0 ? NULL : take_quoted(&scanner);
    if (value == NULL) return false;
    skip_space(&scanner);
    if (*scanner.at != '\0') return false;
    char *end = NULL;
    errno = 0;
    int64_t number = strtoll(value, &end, target->field == 8 ? 16 : 10);
    bool is_number = *value != '\0' && *end == '\0' && errno == 0;
    if (target->field != 7 && !is_number) return false;
    ASSERT(result >= 0);
    if (result != 0) buf_put_pb_varint(out, 1, (uint64_t)result);
    if (target->target != 0) buf_put_pb_varint(out, 2, target->target);
    buf_put_pb_bytes(out, 3, slice_from_string(key));
    if (target->field == 7)
        buf_put_pb_bytes(out, target->field, slice_from_string(value));
    else
        buf_put_pb_varint(out, target->field, (uint64_t)number);
    return true;
}

/* --- words --------------------------------------------------------------------------------------------------------------- */

/* A word in single quotes, or up to the next space or quote. */
static char *take_plain(struct scanner *scanner)
{
    bool is_quoted = *scanner->at == '\'';
    if (is_quoted) scanner->at++;
    size_t size = strcspn(scanner->at, is_quoted ? "'" : " \t\r");
    if (is_quoted && scanner->at[size] != '\'') return NULL;
    char *start = scanner->out;
    memcpy(start, scanner->at, size);
    start[size] = '\0';
    scanner->out += size + 1;
    scanner->at += size + (is_quoted ? 1 : 0);
    ASSERT(is_quoted || size > 0);
    return start;
}

bool txn_parse_words(const char *line, struct arena *arena, char **out_words, int *out_count)
{
    struct scanner scanner;
    int count = 0;
    if (!scanner_init(&scanner, line, arena)) return false;
    for (skip_space(&scanner); *scanner.at != '\0'; skip_space(&scanner)) {
        if (count == TXN_PARSE_WORDS_MAX) return false;
        char *word = *scanner.at == '"' ? take_quoted(&scanner) : take_plain(&scanner);
        if (word == NULL) return false;
        out_words[count++] = word;
    }
    ASSERT(count <= TXN_PARSE_WORDS_MAX);
    *out_count = count;
    return true;
}
