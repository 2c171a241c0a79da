/* txn_block: see the header. */
#include "txn_block.h"

#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "commands.h"
#include "words.h"

#define ARENA_BYTES_MAX (64u << 20)
enum { KEYWORD_NONE, KEYWORD_IF, KEYWORD_THEN, KEYWORD_ELSE, KEYWORD_END, KEYWORD_ABORT }; /* the first three: as txn_part */

void txn_block_init(struct txn_block *block)
{
    *block = (struct txn_block){.part = TXN_COMPARE};
    txn_build_init(&block->build);
    arena_init(&block->arena, ARENA_BYTES_MAX);
}

void txn_block_deinit(struct txn_block *block)
{
    arena_deinit(&block->arena);
    txn_build_deinit(&block->build);
}

void txn_block_begin(struct txn_block *block)
{
    txn_build_clear(&block->build);
    block->part = TXN_COMPARE;
}

/* The keyword that a line begins with, and what stands behind it; KEYWORD_NONE if there is none. */
static int txn_keyword(const char *line, const char **out_rest)
{
    static const char *const names[] = {"", "IF", "THEN", "ELSE", "END", "ABORT"};
    line += strspn(line, " \t");
    for (int i = 1; i < 6; i++) {
        size_t size = strlen(names[i]);
        if (strncasecmp(line, names[i], size) != 0 || (line[size] != '\0' && line[size] != ' ' && line[size] != '\t')) continue;
        *out_rest = line + size + strspn(line + size, " \t");
        return i;
    }
    *out_rest = line;
    return 0;
}

static enum txn_block_state state_of(enum ctl_exit code) { return code == CTL_OK ? TXN_BLOCK_MORE : TXN_BLOCK_WRONG; }

enum txn_block_state txn_block_line(struct txn_block *block, const char *line)
{
    char *words[WORDS_MAX + 1];
    int count = 0;
    const char *rest;
    int keyword = txn_keyword(line, &rest);
    if (keyword >= KEYWORD_END && rest[0] != '\0') return state_of(ctl_fail(CTL_INVALID_INPUT, "nothing stands behind END or ABORT"));
    if (keyword >= KEYWORD_END) return keyword == KEYWORD_END ? TXN_BLOCK_END : TXN_BLOCK_ABORT;
    if (keyword != KEYWORD_NONE) block->part = (enum txn_part)keyword;
    if (rest[0] == '\0' || rest[0] == '#') return TXN_BLOCK_MORE;
    if (block->part == TXN_COMPARE) return state_of(txn_build_compare(&block->build, rest));
    arena_reset(&block->arena);
    const char *wrong = words_split(rest, &block->arena, words, &count);
    if (wrong != NULL) return state_of(ctl_fail(CTL_INVALID_INPUT, "%s", wrong));
    ASSERT(count > 0);
    commands_lower(count, words);
    return state_of(txn_build_operation(&block->build, block->part, count, words, rest));
}
