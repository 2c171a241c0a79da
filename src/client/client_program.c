/* client_program: see the header. */
#include "client/client_program.h"

#include "client/client_inner.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_client_process.h"

struct kvd_client *client_program_new(const struct kvd_client_options *options, char *out_text, size_t text_size)
{
    static const struct rpc_client_drain drain = {.begin = coalescer_cork, .end = coalescer_uncork};
    rpc_client_process_tune();
    return client_new(options, &drain, out_text, text_size);
}
