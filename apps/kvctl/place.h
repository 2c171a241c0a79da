/* place: one of the library's locks, which is also a candidature, on main's thread: a place in the queue under a name, kept by a lease of
 * its own.
 * Being first is told by revisions, not by clocks: what a holder writes elsewhere is safe only if it carries the key's create_revision.
 * Owner: place_take/place_leave. Thread: main. Source: kvd/client.h; API §14. */
#ifndef KVCTL_PLACE_H
#define KVCTL_PLACE_H
#include "live.h"

struct place;
/* At the end of the queue, with `value`; `ttl` in seconds, 0 or less = the library's. Never NULL. */
struct place *place_take(struct live *live, const char *name, int64_t ttl, const char *value);
/* Until it is first. Fails with a message; `interrupted`: the message if a signal came before. */
enum ctl_exit place_wait(struct place *place, const char *interrupted);
/* Prints the key, and stays until a signal (then all is well) or until the place is lost. Fails with a message. */
enum ctl_exit place_hold(struct place *place);
bool place_is_held(struct place *place);
struct kvd_lock *place_lock(struct place *place);
/* Gives it back, and frees it. Fails with a message. */
enum ctl_exit place_leave(struct place *place);

#endif
