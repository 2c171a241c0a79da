/* rpc_tls: the certificate, the key and the clients' CA of a listener, out of files that are read again while connections go on.
 *
 * What is read is checked by OpenSSL as gRPC will take it (its own calls, so that what passes here does not fail there) and becomes one
 * generation as a whole, or nothing is changed. A handshake takes the generation of its moment: gRPC's asks by a call-back, those of
 * http_tls look. TLS 1.2 and 1.3, gRPC's cipher suites.
 * With a CA clients must show a certificate of it, as with etcd.
 * Owner: rpc_tls_new/_free; outlives servers and fronts that use it. Thread: new, reload and free: main, blocking; the rest: any.
 * Limits: RPC_TLS_FILE_BYTES_MAX each. Source: etcd's client/pkg/transport; grpc-core 7.
 */
#ifndef RPC_RPC_TLS_H
#define RPC_RPC_TLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/grpc_security.h>

#include "base/buf.h"

#define RPC_TLS_FILE_BYTES_MAX (1u << 20)
#define RPC_TLS_TEXT_MAX 256

/* Paths, borrowed. */
struct rpc_tls_files {
    const char *certificate; /* PEM: the server's first, then what stands between it and a CA that clients know */
    const char *key;         /* PEM, without a password */
    const char *trusted_ca;  /* PEM, one or many; "" = clients need no certificate */
};
enum rpc_tls_file { RPC_TLS_NONE, RPC_TLS_CERTIFICATE, RPC_TLS_KEY, RPC_TLS_TRUSTED_CA };

/* Is all of it good? RPC_TLS_NONE, or which file is not, and a message that names it. */
enum rpc_tls_file rpc_tls_check(const struct rpc_tls_files *files, char *out_message, size_t message_size);

struct rpc_tls;
struct rpc_tls *rpc_tls_new(const struct rpc_tls_files *files, char *out_message, size_t message_size); /* NULL: message */
void rpc_tls_free(struct rpc_tls *tls);                                                                  /* accepts NULL */
/* Reads the files again; false: message, and what was in force stays so. */
bool rpc_tls_reload(struct rpc_tls *tls, char *out_message, size_t message_size);

/* For grpc_server_add_http2_port; the caller releases them. Borrows tls. */
grpc_server_credentials *rpc_tls_credentials(struct rpc_tls *tls);

/* What is in force, as NUL-terminated texts; generations count from 1. */
struct rpc_tls_texts {
    uint64_t generation;
    struct buf certificate, key, trusted_ca; /* buf_init before, buf_deinit after; trusted_ca empty = none */
};
uint64_t rpc_tls_generation(struct rpc_tls *tls);
void rpc_tls_read(struct rpc_tls *tls, struct rpc_tls_texts *out_texts);
bool rpc_tls_needs_client(const struct rpc_tls *tls); /* a certificate of the client's; does not change */
/* Of the certificate in force, for people: "CN = kvd", "1A2B", "Nov 27 21:00:00 2027 GMT". */
struct rpc_tls_identity {
    char subject[RPC_TLS_TEXT_MAX], serial[RPC_TLS_TEXT_MAX], not_after[RPC_TLS_TEXT_MAX];
    bool is_expired;
};
void rpc_tls_identify(struct rpc_tls *tls, struct rpc_tls_identity *out_identity);

#endif
