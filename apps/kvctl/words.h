/* words: a line of the interactive mode or of a batch, split as a shell splits it.
 *
 *   blanks end a word · '…' as it is · "…" with \" \\ \$ \` · \c is c · $'…' with C's escapes (\n \t \xff \101 \u20ac) · # at the
 *   beginning of a word makes the rest a comment. Nothing is expanded.
 *
 * Owner: words live in the caller's arena, or where it says. Thread: any. Limits: WORDS_MAX words; no NUL in a word.
 */
#ifndef KVCTL_WORDS_H
#define KVCTL_WORDS_H
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"

#define WORDS_MAX 256

/* NULL, or what is wrong with the line; an unclosed quote is WORDS_OPEN itself. out_words: WORDS_MAX + 1, the last is NULL. */
extern const char WORDS_OPEN[];
const char *words_split(const char *line, struct arena *arena, char **out_words, int *out_count);

/* The word that the end of `text` is in: where it begins (strlen(text): a new one), and what it says so far, appended to out (with a
 * NUL). How many words stand before it; -1 = that cannot be said. */
int words_last(const char *text, size_t *out_start, struct buf *out);
/* A word that words_split reads back as these bytes, as plain as can be. `is_whole` false: without the closing quote. */
void words_quote(struct buf *out, struct slice bytes, bool is_whole);

#endif
