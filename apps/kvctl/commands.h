/* commands: the one table of all commands, from which help, completion and man pages are made, and the way from words to a command.
 * Owner: the table is constant. Thread: any. Source: etcdctl, for names and words. */
#ifndef KVCTL_COMMANDS_H
#define KVCTL_COMMANDS_H
#include "ctl.h"

#define COMMANDS_FLAGS_MAX 24 /* of one command, at most */

enum command_ways {
    WAYS_CALLS,   /* asks, prints and ends */
    WAYS_OFFLINE, /* needs no server */
    WAYS_LIVE,    /* stays until it is told to end: hears signals (ear.h) */
};
typedef int command_flags_fn(struct ctl_options *options, struct flag *out_flags); /* defaults into options; how many flags */
typedef enum ctl_exit command_run_fn(struct ctl *ctl, int count, const char **words);

struct command {
    const char *name;        /* one or two words */
    const char *usage;       /* what follows the name */
    const char *summary;
    const char *examples;    /* lines; NULL = a command that help does not list */
    command_flags_fn *flags; /* NULL = none of its own */
    command_run_fn *run;
    enum command_ways ways;
};

const struct command *commands_all(size_t *out_count);
/* A first word that needs a second one. */
bool commands_is_group(const char *word);
/* The place of a group's second word; flags may stand between the two. `count` if there is none. */
int commands_second_word(int count, const char *const *words);
/* The command that the words name, and how many words that took; NULL if there is none. */
const struct command *commands_find(int count, const char *const *words, int *out_used);
/* Where the first words name a command or a group in any case: in small letters afterwards. */
void commands_lower(int count, char **words);
/* NULL if no command's name is near. Names of other tools for the same thing count as near. */
const char *commands_nearest(const char *word);
/* The command's own flags with their defaults; how many. out_flags: at least COMMANDS_FLAGS_MAX. */
int commands_flags(const struct command *command, struct ctl_options *options, struct flag *out_flags);

#endif
