/* mutant: see mutant.h. In a build without KVD_SIM this file is empty. */
#include "base/mutant.h"

#ifdef KVD_SIM

#include <string.h>

#include "base/assert.h"

#define MUTANT_LINE(id, text, source) {#id, text, source},
static const struct mutant_line lines[] = {MUTANT_LIST(MUTANT_LINE)};
#undef MUTANT_LINE
STATIC_ASSERT(sizeof lines / sizeof lines[0] == MUTANT_COUNT - 1, "a line for each mutant");

enum mutant mutant_chosen = MUTANT_NONE;

bool mutant_choose(const char *name)
{
    mutant_chosen = MUTANT_NONE;
    if (name == NULL || name[0] == '\0') return true;
    for (int i = 1; i < MUTANT_COUNT; i++) {
        if (strcmp(lines[i - 1].name, name) == 0) mutant_chosen = (enum mutant)i;
    }
    ASSERT(mutant_chosen < MUTANT_COUNT);
    return mutant_chosen != MUTANT_NONE;
}

const struct mutant_line *mutant_list(size_t *out_count)
{
    ASSERT(out_count != NULL);
    *out_count = MUTANT_COUNT - 1;
    return lines;
}

#endif
