/* mistakes: see mistakes.h. */
#include "mistakes.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

#define TEXT_BYTES_MAX 1536

void mistakes_deinit(struct mistakes *mistakes)
{
    for (int i = 0; i < mistakes->count; i++) {
        alloc_free(mistakes->items[i].place);
        alloc_free(mistakes->items[i].text);
        alloc_free(mistakes->items[i].hint);
    }
    *mistakes = (struct mistakes){.count = 0};
}

void mistakes_add(struct mistakes *mistakes, const char *place, uint32_t line, const char *hint, const char *format, ...)
{
    char text[TEXT_BYTES_MAX];
    ASSERT(place != NULL && mistakes->count <= MISTAKES_MAX);
    if (mistakes->count == MISTAKES_MAX) {
        mistakes->more++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    mistakes->items[mistakes->count++] =
        (struct mistake){.place = alloc_string(place), .text = alloc_string(text), .hint = alloc_string(hint == NULL ? "" : hint), .line = line};
}

void mistakes_sort(struct mistakes *mistakes)
{
    ASSERT(mistakes->count <= MISTAKES_MAX);
    for (int i = 1; i < mistakes->count; i++) {
        struct mistake item = mistakes->items[i];
        int k = i;
        for (; k > 0 && mistakes->items[k - 1].line - 1 > item.line - 1; k--) mistakes->items[k] = mistakes->items[k - 1]; /* 0 is the last */
        mistakes->items[k] = item;
    }
}

void mistakes_text(const struct mistake *mistake, struct buf *out_text)
{
    ASSERT(mistake->text[0] != '\0');
    if (mistake->place[0] != '\0') buf_printf(out_text, "%s: ", mistake->place);
    buf_printf(out_text, "%s", mistake->text);
    if (mistake->hint[0] != '\0') buf_printf(out_text, "; did you mean %s?", mistake->hint);
}
