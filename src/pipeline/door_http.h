/* door_http: what the member answers over HTTP/1.1: /metrics, /health, /livez, /readyz, /version, /debug/vars.
 *
 * Paths, bodies and codes are etcd's, for probes and dashboards that know it. What only net can tell (alarms, reads that go through) is
 * asked by mail: one question of each kind at a time, and whoever comes meanwhile shares the next.
 * On the metrics URLs there is /metrics and what probes ask, and a connection there never waits for those of clients.
 * Owner: the node. Thread: door. Limits: those of http_front, for the client and the metrics URLs, plain and with TLS, each. Source: process §3.
 */
#ifndef PIPELINE_DOOR_HTTP_H
#define PIPELINE_DOOR_HTTP_H
#include <stdbool.h>

#include "pipeline/config.h"
#include "pipeline/mailbox.h"
#include "pipeline/shared.h"
#include "rpc/rpc_tls.h"

/* Those of TLS are there with an rpc_tls only. */
enum door_http_place { DOOR_HTTP_CLIENT, DOOR_HTTP_METRICS, DOOR_HTTP_CLIENT_TLS, DOOR_HTTP_METRICS_TLS, DOOR_HTTP_PLACES };

struct door_http_options {
    const struct config *config;
    struct shared *shared;
    uint64_t self;
    struct rpc_tls *tls; /* borrowed; NULL = no TLS */
};
struct door_http;
struct door_http *door_http_new(const struct door_http_options *options); /* NULL: no descriptors */
void door_http_free(struct door_http *http);                              /* accepts NULL */
void door_http_set_lanes(struct door_http *http, struct lane *to_net, struct lane *from_net); /* before the first step */
bool door_http_has(const struct door_http *http, enum door_http_place place);
/* Non-blocking, nothing consumed; the place is there. */
void door_http_adopt(struct door_http *http, enum door_http_place place, int descriptor, uint64_t now_ns);
int door_http_descriptor(const struct door_http *http, enum door_http_place place); /* readable: a step is due; the place is there */
/* Takes net's answers, serves. Bounded, never blocks. */
void door_http_step(struct door_http *http, uint64_t now_ns);
uint64_t door_http_deadline_ns(const struct door_http *http); /* of the next step; CLOCK_NEVER = not before something happens */

#endif
