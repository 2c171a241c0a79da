/* help: see the header. */
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void help_commands(void)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (commands[i].examples == NULL) continue;
        ASSERT(commands[i].summary != NULL);
        printf("  %-22s %s\n", commands[i].name, commands[i].summary);
    }
}

void help_overview(const struct flag *flags, int flag_count)
{
    printf("kvctl - the command line client of kvd; speaks etcd's v3 API\n\nUsage:\n  kvctl [flags] <command> [arguments]\n  kvctl [flags]                         interactive, on a terminal\n\nCommands:\n");
    help_commands();
    printf("\nExamples:\n"
           "  kvctl --endpoints 10.0.0.1:2379,10.0.0.2:2379 put greeting hello\n"
           "  kvctl get --prefix greet -w json\n"
           "  kvctl help txn                     more about one command, with examples\n"
           "  KVCTL_ENDPOINTS=10.0.0.1:2379 kvctl endpoint status -w table\n\n");
    flags_print_help(flags, flag_count);
    printf("\nEach global option may also stand in the environment: KVCTL_ENDPOINTS or ETCDCTL_ENDPOINTS, and so on.\n"
           "Exit codes: 0 done, 1 refused or failed, 2 no endpoint reached, 3 bad input, 4 bad feature, 5 a stream broke,\n"
           "128 bad arguments.\n");
}

static void print_group(const char *group)
{
    size_t length = strlen(group), count;
    const struct command *commands = commands_all(&count);
    printf("kvctl %s has these commands; kvctl help %s COMMAND says more about one:\n\n", group, group);
    for (size_t i = 0; i < count; i++) {
        ASSERT(commands[i].summary != NULL);
        if (strncmp(commands[i].name, group, length) == 0) printf("  %-22s %s\n", commands[i].name, commands[i].summary);
    }
}

void help_command(const struct command *command)
{
    struct ctl_options options = {.prefix = false};
    struct flag flags[COMMANDS_FLAGS_MAX];
    int flag_count = commands_flags(command, &options, flags);
    printf("%s - %s\n\nUsage:\n  kvctl %s [flags]%s%s\n\n", command->name, command->summary, command->name,
           command->usage[0] == '\0' ? "" : " ", command->usage);
    if (command->examples != NULL) printf("Examples:\n%s\n", command->examples);
    flags_print_help(flags, flag_count);
    printf("%sGlobal options: see kvctl --help.\n", flag_count > 0 ? "\n" : "");
}

enum ctl_exit help_explain(int count, const char **words, const struct flag *flags, int flag_count)
{
    bool has_group = count > 0 && commands_is_group(words[0]);
    int second = has_group ? commands_second_word(count, words) : 0;
    if (count == 0) {
        help_overview(flags, flag_count);
    } else if (has_group && second == count) {
        print_group(words[0]);
    } else if (has_group) {
        return ctl_fail(CTL_ERROR, "unknown command \"%s\" for \"kvctl %s\"\nRun 'kvctl %s' for its commands.", words[second], words[0],
                        words[0]);
    } else {
        const char *near = commands_nearest(words[0]);
        return ctl_fail(CTL_ERROR, "unknown command \"%s\" for \"kvctl\"%s%s%s\nRun 'kvctl --help' for usage.", words[0],
                        near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
    }
    return CTL_OK;
}
