/* rpc_client_auth: the token that calls carry: the one that the client was given, which stays; or, when it has a user, got from
 * Authenticate before the first call, and again when a server does not take it. Where authentication is not enabled, calls go without one
 * (as etcd's client does it).
 *
 * Calls that come while there is no answer yet wait here, each until its own deadline. A call that was refused for its token did nothing,
 * and so may be sent again, a write too.
 * Inside of rpc_client only. Owner: embedded in the client. Thread: the client's. Limits: one Authenticate at a time.
 * Source: etcd's client (clientv3: getToken, the retry interceptor); etcdserver's rpctypes. */
#ifndef RPC_RPC_CLIENT_AUTH_H
#define RPC_RPC_CLIENT_AUTH_H
#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct rpc_client;
struct rpc_client_call;

enum rpc_client_auth_state { RPC_CLIENT_AUTH_UNASKED, RPC_CLIENT_AUTH_ASKING, RPC_CLIENT_AUTH_KNOWN };
struct rpc_client_auth {
    char *user, *password; /* NULL = calls carry no token, or the one that was given */
    enum rpc_client_auth_state state;
    bool has_token;        /* KNOWN without one: there is no authentication */
    grpc_slice token;
    uint64_t number;       /* of the answer; calls remember with which they went */
    struct list waiting;   /* calls; each has a timer for its deadline */
};

/* NULL or "": none; a token goes without a user. False: calls cannot carry such a token. */
MUST_USE bool rpc_client_auth_init(struct rpc_client_auth *auth, const char *user, const char *password, const char *token);
void rpc_client_auth_deinit(struct rpc_client_auth *auth);
/* True: the call waits here until there is an answer; it is attempted then, or ends. */
bool rpc_client_auth_holds(struct rpc_client *client, struct rpc_client_call *call);
/* Was the call refused for its token, or for having none? Then the next one asks anew. */
bool rpc_client_auth_refused(struct rpc_client *client, const struct rpc_client_call *call);

#endif
