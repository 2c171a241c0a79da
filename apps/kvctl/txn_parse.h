/* txn_parse: the lines of a txn: compares and operations, in etcdctl's notation.
 *
 *   compare    TARGET("key") OP "value"      TARGET: value val version ver create c mod m lease; OP: = != > <
 *   operation  put key value · get key [end] [flags] · del key [end] [flags]; words may be "quoted" (Go escapes) or 'quoted'
 *
 * Owner: words live in the caller's arena. Thread: main. Limits: TXN_PARSE_WORDS_MAX words, the arena.
 */
#ifndef KVCTL_TXN_PARSE_H
#define KVCTL_TXN_PARSE_H
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"

#define TXN_PARSE_WORDS_MAX 64

/* The line as an encoded Compare, appended to `out`. False: it is not one. */
bool txn_parse_compare(const char *line, struct arena *arena, struct buf *out);
/* The line's words, words[0] first; false: too many, a quote is not closed, or an escape is wrong. */
bool txn_parse_words(const char *line, struct arena *arena, char **out_words, int *out_count);
/* What follows a backslash at *at, as in Go's strings, to *out, where there is room for as many bytes; steps over both. False: it is wrong. */
bool txn_parse_escape(const char **at, char **out);

#endif
