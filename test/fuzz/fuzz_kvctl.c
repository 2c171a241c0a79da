/* fuzz_kvctl: a line of kvctl's txn, and a value that it prints as JSON. Every line is read as compare and as words; what is a compare is one
 * for the server, too. Thread: one. */
#include <string.h>

#include "base/alloc.h"
#include "fuzz/fuzz.h"
#include "json.h"
#include "storage/operation.h"
#include "txn_parse.h"
#include "words.h"

static void check_compare(const char *line, struct arena *arena)
{
    struct operation_compare compare;
    struct buf out;
    buf_init(&out);
    if (txn_parse_compare(line, arena, &out)) {
        enum err err = operation_parse_compare(buf_slice(&out), &compare);
        ASSERT(err == ERR_OK && compare.given == compare.target && compare.result >= 0 && compare.result <= OPERATION_NOT_EQUAL);
    } else {
        ASSERT(out.size == 0);
    }
    buf_deinit(&out);
}

static void check_words(const char *line, struct arena *arena)
{
    char *words[TXN_PARSE_WORDS_MAX];
    int count = -1;
    if (!txn_parse_words(line, arena, words, &count)) return;
    ASSERT(count >= 0 && count <= TXN_PARSE_WORDS_MAX);
    size_t total = 0;
    for (int i = 0; i < count; i++) total += strlen(words[i]);
    ASSERT(total <= 4 * strlen(line));
}

/* As a line of a batch; what is quoted is read back. */
static void check_shell_words(const char *line, struct arena *arena)
{
    char *words[WORDS_MAX + 1], *again[WORDS_MAX + 1];
    struct buf quoted;
    int count = -1, count_again = -1;
    if (words_split(line, arena, words, &count) != NULL) return;
    buf_init(&quoted);
    for (int i = 0; i < count; i++) {
        words_quote(&quoted, slice_from_string(words[i]), true);
        buf_put_u8(&quoted, ' ');
    }
    buf_put_u8(&quoted, '\0');
    const char *wrong = words_split((const char *)quoted.blob->data, arena, again, &count_again);
    ASSERT(wrong == NULL && count_again == count);
    for (int i = 0; i < count; i++) ASSERT(strcmp(words[i], again[i]) == 0);
    buf_deinit(&quoted);
}

static void check_last_word(const char *line)
{
    struct buf word;
    size_t start = 0;
    buf_init(&word);
    if (words_last(line, &start, &word) >= 0) ASSERT(start <= strlen(line) && word.size > 0);
    buf_deinit(&word);
}

/* Quotes stand in pairs, and nothing below a blank stands bare. */
static void check_json(const char *text, struct slice bytes)
{
    struct json json;
    bool is_inside = false, is_escaped = false;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "text", text);
    json_bytes(&json, "bytes", bytes);
    json_close(&json, '}');
    struct slice out = buf_slice(&json.text);
    for (size_t i = 0; i < out.size; i++) {
        ASSERT(out.data[i] >= ' ');
        if (!is_escaped && out.data[i] == '"') is_inside = !is_inside;
        is_escaped = !is_escaped && out.data[i] == '\\';
    }
    ASSERT(!is_inside && out.data[0] == '{' && out.data[out.size - 1] == '}');
    json_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = alloc_new(size + 1);
    if (size > 0) memcpy(line, data, size);
    line[size] = '\0';
    struct arena arena;
    arena_init(&arena, 1 << 20);
    check_compare(line, &arena);
    arena_reset(&arena);
    check_words(line, &arena);
    arena_reset(&arena);
    check_shell_words(line, &arena);
    check_last_word(line);
    check_json(line, slice_make(data, size));
    arena_deinit(&arena);
    alloc_free(line);
    return 0;
}
