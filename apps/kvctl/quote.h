/* quote: bytes in double quotes as Go's %q writes them: what etcdctl prints with -w fields, in errors, and puts into a command's
 * environment. Owner: the caller's buffer. Thread: any. Source: package strconv. */
#ifndef KVCTL_QUOTE_H
#define KVCTL_QUOTE_H
#include "base/buf.h"

void quote_put(struct buf *out, struct slice bytes); /* appended */

#endif
