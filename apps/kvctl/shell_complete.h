/* shell_complete: what may stand where the cursor is: a command, its second word, a flag, a format, or a key.
 * Owner: shell_complete_init/_deinit. Thread: main. Limits: SHELL_COMPLETE_MAX candidates. */
#ifndef KVCTL_SHELL_COMPLETE_H
#define KVCTL_SHELL_COMPLETE_H
#include "commands.h"
#include "base/buf.h"

#define SHELL_COMPLETE_MAX 128

struct shell_complete {
    size_t start;                         /* of the word that is completed, in the text */
    char *words[SHELL_COMPLETE_MAX];      /* as one types them; in order */
    size_t count;
    bool has_more;                        /* than words */
    bool is_key;                          /* they are keys: bytes that may need quotes */
    struct buf common;                    /* what all of them begin with, without quotes */
};
/* Adds, with shell_complete_add, keys that begin with a prefix, the first and, if there are more, the last. */
typedef void shell_keys_fn(void *context, struct slice prefix, struct shell_complete *out);

void shell_complete_init(struct shell_complete *complete);
void shell_complete_deinit(struct shell_complete *complete);
void shell_complete_add(struct shell_complete *complete, struct slice word);
/* For the word at the end of `text`; none: count stays 0. */
void shell_complete_find(struct shell_complete *complete, const char *text, shell_keys_fn *keys_fn, void *context);

/* A command's word that the interactive mode has beside the table's; NULL-terminated. */
extern const char *const SHELL_WORDS[];

#endif
