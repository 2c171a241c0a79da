/* watch_words: what stands on the line of a watch beside its flags: key, range end, and the command for each event.
 *   watch KEY [RANGE_END] [-- COMMAND WORDS...]      or, where the environment has the key:   watch [-- COMMAND WORDS...]
 * Owner: all is borrowed. Thread: any. Source: etcdctl's rules and words. */
#ifndef KVCTL_WATCH_WORDS_H
#define KVCTL_WATCH_WORDS_H

struct watch_words {
    const char *keys[2]; /* key and range end, as kv_request takes them */
    int key_count;
    const char *const *command;
    int command_count; /* 0 = none */
};

/* `before_dashes`: how many words stand before "--"; -1 = there is no "--". `env_key`, `env_range_end`: NULL or empty = none.
 * NULL = done; else what is wrong. */
const char *watch_words_split(const char *const *words, int count, int before_dashes, const char *env_key, const char *env_range_end,
                              struct watch_words *out);

#endif
