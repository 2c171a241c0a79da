/* watch_words: see the header. */
#include "watch_words.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

static bool has_text(const char *text) { return text != NULL && text[0] != '\0'; }

const char *watch_words_split(const char *const *words, int count, int before_dashes, const char *env_key, const char *env_range_end,
                              struct watch_words *out)
{
    bool has_dashes = before_dashes >= 0;
    int plain = has_dashes ? before_dashes : count;
    ASSERT(plain <= count);
    *out = (struct watch_words){.command = words + plain, .command_count = count - plain};
    if (has_dashes && out->command_count == 0) return "bad number of arguments (found separator --, but no commands)";
    if (has_text(env_key) && plain > 0) return "bad number of arguments (found conflicting environment key)";
    if (has_text(env_key)) {
        out->keys[out->key_count++] = env_key;
        if (has_text(env_range_end)) out->keys[out->key_count++] = env_range_end;
    }
    if (out->key_count == 0 && (plain < 1 || plain > 2)) return "bad number of arguments";
    for (int i = 0; i < plain; i++) out->keys[out->key_count++] = words[i];
    ASSERT(out->key_count <= 2);
    return NULL;
}
