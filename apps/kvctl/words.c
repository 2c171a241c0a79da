/* words: see the header. */
#include "words.h"

#include <ctype.h>
#include <string.h>

#include "base/assert.h"
#include "txn_parse.h"

const char WORDS_OPEN[] = "a quote is not closed";

static const char *skip_blanks(const char *at) { return at + strspn(at, " \t\r\n"); }

/* Up to the quote that closes. Every step reads at least as many bytes as it writes. */
static const char *take_quoted(const char **at, char **out, char quote, bool is_dollar)
{
    while (**at != quote) {
        bool is_escape = **at == '\\' && (is_dollar || quote == '"');
        if (is_escape) (*at)++;
        if (**at == '\0') return WORDS_OPEN;
        if (is_escape && is_dollar) {
            if (!txn_parse_escape(at, out)) return "an escape in $'...' is wrong";
            continue;
        }
        if (is_escape && strchr("\"\\$`", **at) == NULL) *(*out)++ = '\\';
        *(*out)++ = *(*at)++;
    }
    (*at)++;
    return NULL;
}

/* One word at *at into *out, without its end. */
static const char *take_word(const char **at, char **out)
{
    const char *wrong = NULL;
    while (wrong == NULL && **at != '\0' && strchr(" \t\r\n", **at) == NULL) {
        bool is_dollar = (*at)[0] == '$' && (*at)[1] == '\'';
        char c = **at;
        *at += is_dollar ? 2 : 1;
        if (is_dollar) {
            wrong = take_quoted(at, out, '\'', true);
        } else if (c == '\'' || c == '"') {
            wrong = take_quoted(at, out, c, false);
        } else if (c == '\\') {
            if (**at == '\0') return WORDS_OPEN;
            *(*out)++ = *(*at)++;
        } else {
            *(*out)++ = c;
        }
    }
    return wrong;
}

const char *words_split(const char *line, struct arena *arena, char **out_words, int *out_count)
{
    char *out = arena_alloc(arena, 2 * strlen(line) + 2);
    if (out == NULL) return "the line is too long";
    int count = 0;
    for (const char *at = skip_blanks(line); *at != '\0' && *at != '#'; at = skip_blanks(at)) {
        if (count == WORDS_MAX) return "there are too many words";
        out_words[count++] = out;
        const char *wrong = take_word(&at, &out);
        if (wrong != NULL) return wrong;
        *out++ = '\0';
    }
    out_words[count] = NULL;
    *out_count = count;
    return NULL;
}

int words_last(const char *text, size_t *out_start, struct buf *out)
{
    size_t size = strlen(text);
    int before = 0;
    const char *at = skip_blanks(text), *start = at;
    uint8_t *place = buf_extend(out, 2 * size + 2);
    size_t from = out->size - (2 * size + 2);
    char *end = (char *)place;
    while (*at != '\0') {
        start = at;
        end = (char *)place;
        if (*at == '#') return -1;
        const char *wrong = take_word(&at, &end);
        if (wrong != NULL && wrong != WORDS_OPEN) return -1;
        if (wrong != NULL || *at == '\0') break; /* the cursor is in it */
        before++;
        at = start = skip_blanks(at);
        end = (char *)place;
    }
    *out_start = (size_t)(start - text);
    *end = '\0';
    out->size = from + (size_t)(end - (char *)place) + 1;
    ASSERT(out->size <= out->capacity);
    return before;
}

void words_quote(struct buf *out, struct slice bytes, bool is_whole)
{
    static const char safe[] = "_-./:=@%+,";
    bool is_plain = bytes.size > 0, is_text = true;
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        if (c < 0x20 || c == 0x7f || c == '\'') is_text = false;
        if (isalnum(c) == 0 && c < 0x80 && (c == '\0' || strchr(safe, c) == NULL)) is_plain = false;
    }
    if (is_plain) {
        buf_put_slice(out, bytes);
        return;
    }
    buf_printf(out, is_text ? "'" : "$'");
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        if (is_text || (c >= 0x20 && c != 0x7f && c != '\'' && c != '\\')) buf_put_u8(out, c);
        else if (c == '\'' || c == '\\') buf_printf(out, "\\%c", c);
        else buf_printf(out, "\\x%02x", c);
    }
    if (is_whole) buf_put_u8(out, '\'');
}
