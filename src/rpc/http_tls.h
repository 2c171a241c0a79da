/* http_tls: TLS for connections of http_front, by GnuTLS, which libmicrohttpd is built on; certificate, key and CA are rpc_tls's.
 *
 * Credentials are made once per generation; a connection holds those of its beginning to its end.
 * Owner: the front. Thread: the door's. Limits: a handshake ends with its connection, HTTP_FRONT_TIMEOUT_S. */
#ifndef RPC_HTTP_TLS_H
#define RPC_HTTP_TLS_H
#include "rpc/rpc_tls.h"

#define HTTP_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct http_tls;
struct http_credentials; /* what a connection holds */
struct http_tls *http_tls_new(struct rpc_tls *tls);
void http_tls_free(struct http_tls *tls); /* after its connections; accepts NULL */
/* A session of GnuTLS's that has not shaken hands yet. NULL: no credentials could be made, and its handshake will fail. */
struct http_credentials *http_tls_begin(struct http_tls *tls, void *session);
void http_tls_end(struct http_tls *tls, struct http_credentials *credentials); /* accepts NULL */

#endif
