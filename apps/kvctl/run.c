/* run: flags may stand before, between and behind a command's words: the line is parsed twice, for the command and then with its flags. */
#include "run.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "credentials.h"
#include "ear.h"
#include "globals.h"
#include "help.h"

static enum ctl_exit run_command(struct ctl *ctl, const struct command *command, int count, const char **words)
{
    enum ctl_exit code = globals_check(ctl);
    if (code == CTL_OK && command->ways != WAYS_OFFLINE) code = credentials_prepare(ctl); /* while signals still end us */
    if (command->ways == WAYS_LIVE) ear_block_signals();
    if (command->ways == WAYS_LIVE) ctl->hears = false; /* it has an ear of its own */
    if (code == CTL_OK && command->ways != WAYS_OFFLINE) code = ctl_connect(ctl, &ctl->globals.endpoints);
    if (code == CTL_OK) code = command->run(ctl, count, words);
    ASSERT(code >= CTL_OK);
    ctl_disconnect(ctl);
    if (fflush(stdout) != 0 && code == CTL_OK) code = ctl_fail(CTL_ERROR, "standard output cannot be written");
    return code;
}

/* Of the shell's own: another user does not come with its password or its token, nor another token with its user. */
static void forget_credentials(struct ctl *ctl, const struct ctl_globals *base)
{
    struct ctl_globals *own = &ctl->globals;
    if (base == NULL) return;
    bool is_other_user = own->user != base->user, is_other_token = own->auth_jwt_token != base->auth_jwt_token;
    if ((is_other_user || is_other_token) && own->password == base->password) own->password = "";
    if (is_other_user && !is_other_token) own->auth_jwt_token = "";
    if (is_other_token && !is_other_user) own->user = "";
}

static enum ctl_exit run_words(struct ctl *ctl, const struct ctl_globals *base, int argc, char **argv, const char **words)
{
    struct flag flags[GLOBALS_FLAGS_MAX + COMMANDS_FLAGS_MAX];
    struct flags_result result = {.arguments = words};
    const struct flags_options first_word = {.stop_at_command = true}, all = {.environment_prefix = NULL};
    int flag_count = globals_flags(&ctl->globals, flags), used = 0;
    if (base != NULL) ctl->globals = *base;
    if ((base == NULL && !globals_parse_environment(ctl, flags, flag_count, &result)) ||
        !globals_parse(ctl, flags, flag_count, argc, argv, &first_word, &result))
        return ctl_fail(CTL_ERROR, "%s\nRun 'kvctl --help' for usage.", result.error);
    bool wants_help = ctl->globals.help;
    if (result.arguments_count > 0 && strcmp(words[0], "help") == 0) {
        wants_help = true;
        words++;
        result.arguments_count--;
    }
    const struct command *command = commands_find(result.arguments_count, words, &used);
    if (command == NULL) return help_explain(result.arguments_count, words, flags, flag_count);
    if (wants_help) {
        help_command(command);
        return CTL_OK;
    }
    int own_count = commands_flags(command, &ctl->options, flags + flag_count);
    result.arguments = words;
    if (!globals_parse(ctl, flags, flag_count + own_count, argc, argv, &all, &result))
        return ctl_fail(CTL_ERROR, "%s\nRun 'kvctl %s --help' for usage.", result.error, command->name);
    if (ctl->globals.help) {
        help_command(command);
        return CTL_OK;
    }
    forget_credentials(ctl, base);
    ASSERT(result.arguments_count >= used);
    ctl->before_dashes = result.before_dashes < used ? -1 : result.before_dashes - used;
    return run_command(ctl, command, result.arguments_count - used, words + used);
}

enum ctl_exit run_line(struct ctl *ctl, const struct ctl_globals *base, int argc, char **argv)
{
    const char **words = alloc_zero((size_t)argc + 1, sizeof *words);
    enum ctl_exit code = run_words(ctl, base, argc, argv, words);
    credentials_free(ctl);
    alloc_free(words);
    return code;
}

bool run_is_bare(struct ctl *ctl, int argc, char **argv)
{
    struct flag flags[GLOBALS_FLAGS_MAX];
    const char **words = alloc_zero((size_t)argc + 1, sizeof *words);
    struct flags_result result = {.arguments = words};
    const struct flags_options how = {.stop_at_command = true};
    int flag_count = globals_flags(&ctl->globals, flags);
    bool is_bare = globals_parse_environment(ctl, flags, flag_count, &result) && globals_parse(ctl, flags, flag_count, argc, argv, &how, &result) &&
                   result.arguments_count == 0 && !ctl->globals.help;
    alloc_free(words);
    return is_bare;
}
