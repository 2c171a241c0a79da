/* shell_complete: see the header. */
#include "shell_complete.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "globals.h"
#include "words.h"

#define ARENA_BYTES_MAX (16u << 20)

const char *const SHELL_WORDS[] = {"exit", "help", "unwatch", "watches", NULL};

void shell_complete_init(struct shell_complete *complete)
{
    *complete = (struct shell_complete){.count = 0};
    buf_init(&complete->common);
}

void shell_complete_deinit(struct shell_complete *complete)
{
    for (size_t i = 0; i < complete->count; i++) alloc_free(complete->words[i]);
    buf_deinit(&complete->common);
}

void shell_complete_add(struct shell_complete *complete, struct slice word)
{
    struct buf text;
    size_t same = 0;
    while (same < complete->common.size && same < word.size && complete->common.blob->data[same] == word.data[same]) same++;
    if (complete->count == 0) buf_put_slice(&complete->common, word);
    else complete->common.size = same;
    if (complete->count == SHELL_COMPLETE_MAX) {
        complete->has_more = true;
        return;
    }
    buf_init(&text);
    if (complete->is_key) words_quote(&text, word, true);
    else buf_put_slice(&text, word);
    buf_put_u8(&text, '\0');
    complete->words[complete->count++] = alloc_string((const char *)text.blob->data);
    buf_deinit(&text);
}

/* Adds the name, or a part of it, if it begins with what is typed, in any case; each once. */
static void offer(struct shell_complete *complete, const char *typed, const char *name, size_t size)
{
    size_t length = strlen(typed);
    if (size < length || strncasecmp(name, typed, length) != 0) return;
    for (size_t i = 0; i < complete->count; i++)
        if (strlen(complete->words[i]) == size && strncmp(complete->words[i], name, size) == 0) return;
    shell_complete_add(complete, slice_make(name, size));
}

static void offer_commands(struct shell_complete *complete, const char *typed)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    for (size_t i = 0; i < count; i++)
        if (commands[i].examples != NULL) offer(complete, typed, commands[i].name, strcspn(commands[i].name, " "));
    for (size_t i = 0; SHELL_WORDS[i] != NULL; i++) offer(complete, typed, SHELL_WORDS[i], strlen(SHELL_WORDS[i]));
}

static void offer_second(struct shell_complete *complete, const char *group, const char *typed)
{
    size_t count, size = strlen(group);
    const struct command *commands = commands_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (commands[i].examples == NULL || strncasecmp(commands[i].name, group, size) != 0 || commands[i].name[size] != ' ') continue;
        offer(complete, typed, commands[i].name + size + 1, strlen(commands[i].name + size + 1));
    }
}

static void offer_flags(struct shell_complete *complete, const struct command *command, const char *typed)
{
    struct ctl_options options = {.prefix = false};
    struct ctl_globals globals;
    struct flag flags[COMMANDS_FLAGS_MAX + GLOBALS_FLAGS_MAX];
    int count = commands_flags(command, &options, flags);
    count += globals_flags(&globals, flags + count);
    for (int i = 0; i < count; i++) {
        struct buf name;
        if (flags[i].help == NULL) continue;
        buf_init(&name);
        buf_printf(&name, "--%s", flags[i].name);
        offer(complete, typed, (const char *)name.blob->data, name.size);
        buf_deinit(&name);
    }
}

static bool takes_keys(const struct command *command)
{
    static const char *const names[] = {"put", "get", "del", "watch", "history", "watchers list"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(command->name, names[i]) == 0) return true;
    return false;
}

/* The words before the one under the cursor, small letters in those that name a command. */
static void find(struct shell_complete *complete, int count, char **words, const char *typed, shell_keys_fn *keys_fn, void *context)
{
    static const char *const formats[] = {"fields", "json", "simple", "table"};
    int used = 0;
    if (count > 0 && strcasecmp(words[0], "help") == 0) {
        count--;
        words++;
    }
    if (count == 0) {
        offer_commands(complete, typed);
        return;
    }
    commands_lower(count, words);
    const char *last = words[count - 1];
    if (commands_is_group(words[0]) && commands_second_word(count, (const char *const *)words) == count && typed[0] != '-') {
        offer_second(complete, words[0], typed);
        return;
    }
    const struct command *command = commands_find(count, (const char *const *)words, &used);
    if (command == NULL) return;
    if (strcmp(last, "-w") == 0 || strcmp(last, "--write-out") == 0) {
        for (size_t i = 0; i < 4; i++) offer(complete, typed, formats[i], strlen(formats[i]));
    } else if (typed[0] == '-') {
        offer_flags(complete, command, typed);
    } else if (takes_keys(command)) {
        complete->is_key = true;
        keys_fn(context, slice_from_string(typed), complete);
    }
}

void shell_complete_find(struct shell_complete *complete, const char *text, shell_keys_fn *keys_fn, void *context)
{
    char *words[WORDS_MAX + 1];
    struct buf typed;
    struct arena arena;
    int count = 0;
    buf_init(&typed);
    arena_init(&arena, ARENA_BYTES_MAX);
    if (words_last(text, &complete->start, &typed) >= 0) {
        char *before = arena_alloc(&arena, complete->start + 1);
        ASSERT(before != NULL);
        memcpy(before, text, complete->start);
        before[complete->start] = '\0';
        if (words_split(before, &arena, words, &count) == NULL)
            find(complete, count, words, (const char *)typed.blob->data, keys_fn, context);
    }
    arena_deinit(&arena);
    buf_deinit(&typed);
}
