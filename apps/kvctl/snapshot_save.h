/* snapshot_save: a server's snapshot, streamed into a file.
 *
 * FILE.part takes the bytes. It gets its name when the sum at its end is that of what came before, its size is whole, a snapshot of kvd is
 * whole block by block (the server's disk may have damaged what its sum then vouches for), and all is durable. Else it is removed.
 * Owner: nothing is kept. Thread: main. Source: API, Maintenance. */
#ifndef KVCTL_SNAPSHOT_SAVE_H
#define KVCTL_SNAPSHOT_SAVE_H
#include "ctl.h"

enum ctl_exit snapshot_save(struct ctl *ctl, const char *path);

#endif
