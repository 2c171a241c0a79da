/* service_clean: drops what this level of the state machine does not know from a request that will stand in the log.
 *
 * A field that an older member skips and a newer one obeys would make members differ during a rolling upgrade; so the entry member
 * passes on only the fields that the command's level gives a meaning. Nearly every request is clean and costs one walk, no copy.
 * Owner: the result lies in the request or in the arena. Thread: any. Limits: nesting as request.h checked it before.
 */
#ifndef RPC_SERVICE_CLEAN_H
#define RPC_SERVICE_CLEAN_H
#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "storage/command.h"

/* `bytes` passed request_check_*. ERR_TOO_MANY_REQUESTS: the arena is exhausted. */
MUST_USE enum err service_clean_body(enum command_kind kind, struct slice bytes, struct arena *arena, struct slice *out_bytes);

#endif
