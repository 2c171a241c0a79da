/* client_program: see the header. */
#include "client/client_program.h"

#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "client/client_inner.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_client_dial.h"
#include "rpc/rpc_client_process.h"

#define DIAL_NS NS_PER_S /* for all connections; the others are left to gRPC */

struct kvd_client *client_program_new(const struct kvd_client_options *options, char *out_text, size_t text_size)
{
    static const struct rpc_client_drain drain = {.begin = coalescer_cork, .end = coalescer_uncork};
    struct kvd_client *client = NULL;
    size_t count = options->connection_count < options->endpoint_count ? options->endpoint_count : options->connection_count;
    bool may_dial = !options->tls_by_default && count > 0 && count <= RPC_CLIENT_CONNECTIONS_MAX;
    int *sockets = may_dial ? alloc_zero(count, sizeof *sockets) : NULL;
    rpc_client_process_tune();
    if (may_dial) rpc_client_dial(options->endpoints, options->endpoint_count, sockets, count, DIAL_NS);
    client = client_new(options, &drain, sockets, out_text, text_size);
    for (size_t i = 0; may_dial && client == NULL && i < count; i++)
        if (sockets[i] >= 0) close(sockets[i]);
    alloc_free(sockets);
    return client;
}
