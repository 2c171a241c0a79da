/* call_port: client calls as the net role sees them: plain events in, plain actions out. gRPC stands behind it in production
 * (rpc_server), a table of bytes in tests and in the simulator.
 *
 * A call is named {generation, slot} in one integer, so that it can travel in mail: the generation, above, is never 0, and the slot is below
 * the port's slot_count, which may be more than the calls it lets in. A call enters once (NEW) and leaves once: reply or finish by the role,
 * and later CLOSED from the port, after which the name is dead (actions on a dead name are ignored). A call whose client went away still gets
 * its reply action; CLOSED follows.
 * Owner: the port owns calls and their bytes; Thread: everything but `ring` belongs to the role's thread; `ring` to any thread.
 * Limits: calls in flight ≤ what the port was made with: beyond it the port itself answers ERR_TOO_MANY_REQUESTS.
 */
#ifndef RPC_CALL_PORT_H
#define RPC_CALL_PORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "rpc/rpc_method.h"

enum call_event_kind {
    CALL_NEW,    /* method, body, deadline, metadata */
    CALL_SENT,   /* the message of call_port_send has left: the next may come; `ok` false = the client is gone, finish it (of a stream
                  * that stays open this may come at any time) */
    CALL_GONE,   /* of a method that waits: the client went away, or its time is over; the call still gets its answer */
    CALL_CLOSED, /* all is over; the slot may be reused after this event */
};
struct call_event {
    enum call_event_kind kind;
    uint64_t call;
    const struct rpc_method *method;
    struct slice body;        /* borrowed until the next take */
    uint64_t timeout_ns;      /* left at arrival; CLOCK_NEVER = none */
    bool require_leader;      /* metadata hasleader: true */
    bool bad_api_version;     /* client-api-version is not valid UTF-8 */
    char api_version[RPC_API_VERSION_BYTES]; /* the same, as rpc_metadata has it; "" = not told */
    bool ok;
};

struct call_port;
struct call_port_table {
    size_t (*take)(struct call_port *port, struct call_event *out_events, size_t max); /* never blocks */
    void (*wait)(struct call_port *port, uint64_t deadline_ns);  /* until an event, a ring, or the deadline (CLOCK_NEVER) */
    void (*ring)(struct call_port *port);                        /* any thread; makes the running or the next wait return */
    /* Unary: the whole answer. err != OK: status with its text, no message. Bytes: head (copied) followed by pieces (references are
     * taken over; large ones are sent without a copy). */
    void (*reply)(struct call_port *port, uint64_t call, enum err err, struct slice head, struct blob **pieces, size_t piece_count);
    void (*send)(struct call_port *port, uint64_t call, struct slice head, struct blob **pieces, size_t piece_count); /* one message of a stream */
    /* Ends a stream. With an error also a call whose answer is on its way and is not read: that answer is given up. */
    void (*finish)(struct call_port *port, uint64_t call, enum err err);
    void (*flush)(struct call_port *port);                       /* end of a step: writes that were held together leave */
    void (*refuse)(struct call_port *port);                      /* stop, phase 1: no new calls; connections get GOAWAY */
};
struct call_port { /* first member of every implementation */
    const struct call_port_table *table;
    uint32_t slot_count; /* does not change */
};

#endif
