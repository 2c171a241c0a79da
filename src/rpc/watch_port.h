/* watch_port: the clients' bidirectional streams, of Watch and of LeaseKeepAlive, as the watch role sees them: plain events in, plain
 * actions out. gRPC stands behind it in production (rpc_watch), a table of bytes in tests.
 *
 * A stream is named {generation, slot} in one integer. It enters once (OPEN); after `next` one message of the client comes, or its end
 * (MESSAGE, not ok); `send` takes a message, and either the next one at once, or says SENT when it does; a SENT that is not ok comes whenever
 * a message could not be sent; after `finish` CLOSED comes, and nothing behind it. Actions on a dead name are ignored.
 * Owner: the port owns streams and their bytes. Thread: everything but `ring` belongs to the role's thread; `ring` to any thread.
 * Limits: streams of each method ≤ what the port was made with: beyond it the port itself answers ERR_TOO_MANY_REQUESTS. Of each stream one
 * message of the client's waits; of the role's one that is on its way, one behind it, and WATCH_PORT_RUN_BYTES of small ones before them,
 * of all streams WATCH_PORT_RUNS_BYTES. */
#ifndef RPC_WATCH_PORT_H
#define RPC_WATCH_PORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "rpc/rpc_method.h"

enum watch_method { WATCH_METHOD_WATCH, WATCH_METHOD_KEEP_ALIVE };
#define WATCH_METHODS 2
#define WATCH_PORT_RUN_BYTES (64u << 10) /* of a stream */
#define WATCH_PORT_RUNS_BYTES (4u << 20) /* of all streams */

enum watch_event_kind {
    WATCH_OPEN,    /* require_leader, address; the role says `next` when it wants the first message */
    WATCH_MESSAGE, /* body, err; not ok: the client has ended its side, or is gone */
    WATCH_SENT,    /* the next message is welcome; not ok: the client is gone */
    WATCH_CLOSED,
};
struct watch_event {
    enum watch_event_kind kind;
    enum watch_method method; /* of the stream, in every event */
    uint64_t stream;
    struct slice body;    /* borrowed until the next take */
    struct slice address; /* of the client, as "10.0.0.7:4242"; borrowed until CLOSED */
    bool require_leader;  /* metadata hasleader: true */
    char api_version[RPC_API_VERSION_BYTES]; /* of OPEN: metadata client-api-version, as rpc_metadata has it; "" = not told */
    bool ok;
    enum err err;         /* of MESSAGE: why it is none, with which the role is to end the stream; ERR_OK: it is one */
};

struct watch_port;
struct watch_port_table {
    size_t (*take)(struct watch_port *port, struct watch_event *out_events, size_t max); /* never blocks */
    void (*flush)(struct watch_port *port);                      /* what was sent since the last one leaves */
    void (*wait)(struct watch_port *port, uint64_t deadline_ns); /* until an event, a ring, or the deadline (CLOCK_NEVER) */
    void (*ring)(struct watch_port *port);                       /* any thread; makes the running or the next wait return */
    void (*next)(struct watch_port *port, uint64_t stream);
    /* Head (copied) and the bytes behind it (NULL, or a reference that is taken over) as one message; it leaves with the next flush, or before
     * it. True: the next one is welcome at once. */
    bool (*send)(struct watch_port *port, uint64_t stream, struct slice head, struct blob *rest);
    /* Ends the stream. A message that is on its way is waited for, or with an error given up. */
    void (*finish)(struct watch_port *port, uint64_t stream, enum err err);
};
struct watch_port {
    const struct watch_port_table *table; /* first member of every implementation */
};

#endif
