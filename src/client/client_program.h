/* client_program: a client for a program of this tree whose calls are many: the writes of one round of its thread leave in one per socket
 * (rpc/coalescer), and gRPC does not search for deadlocks. Both are the process's, sendmsg, close and shutdown among them, so this is
 * no part of libkvd-client: a library must not take them over.
 * Owner, thread, limits: kvd/client.h. */
#ifndef CLIENT_CLIENT_PROGRAM_H
#define CLIENT_CLIENT_PROGRAM_H
#include "client/kvd/client.h"

struct kvd_client *client_program_new(const struct kvd_client_options *options, char *out_text, size_t text_size); /* as kvd_client_new */

#endif
