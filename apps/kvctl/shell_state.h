/* shell_state: what the interactive mode knows of the cluster: for its prompt, and keys for completion. It has a client of its own, with
 * short timeouts.
 * Owner: shell_state_new/shell_state_free. Thread: main. Limits: a prompt waits 2 s, then 500 ms while nobody
 * answers; a completion too. */
#ifndef KVCTL_SHELL_STATE_H
#define KVCTL_SHELL_STATE_H
#include "shell_complete.h"

struct shell_state;
struct shell_state *shell_state_new(const struct ctl_globals *globals);
void shell_state_free(struct shell_state *state); /* accepts NULL */
void shell_state_refresh(struct shell_state *state);
/* "leader@revision> ", "no leader> ", "unreachable> ". Borrowed until the next refresh. */
const char *shell_state_prompt(const struct shell_state *state);
shell_keys_fn shell_state_keys; /* its context: the state */

#endif
