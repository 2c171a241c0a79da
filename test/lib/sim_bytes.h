/* sim_bytes: operations of a kv_history as requests and responses of the API. Responses are read by protobuf-c, so that our own encoder is
 * not its own judge. Thread: any. */
#ifndef TEST_LIB_SIM_BYTES_H
#define TEST_LIB_SIM_BYTES_H
#include "base/buf.h"
#include "lib/kv_history.h"

/* Keys from this one on are places in the queues of two names, "l0/1" … "l1/7": of a lease each, as Lock and Election write them. They stand
 * behind all others in the order of bytes, too; their values may be empty: token 0. */
#define SIM_BYTES_PLACES 50u
#define SIM_BYTES_PLACES_OF_NAME 7u

uint64_t sim_bytes_token(uint64_t number, uint32_t padding); /* the token of the number'th value */
void sim_bytes_key(uint32_t key, struct buf *out);
void sim_bytes_put_key(struct buf *out, uint32_t field, uint32_t key); /* as a field of a message */
void sim_bytes_value(uint64_t token, struct buf *out);
bool sim_bytes_read_key(struct slice key, uint32_t *out_key);       /* false: no client wrote such bytes */
bool sim_bytes_read_value(struct slice value, uint64_t *out_token);
const char *sim_bytes_path(const struct kv_op *op);
void sim_bytes_request(const struct kv_op *op, struct buf *out);
/* The TTL of the leases that a PutRequest or TxnRequest makes: 0 = it makes none; of several, one. */
int64_t sim_bytes_put_ttl(struct slice request, bool is_txn);
/* Fills in the answer. False: it is no answer to that request. */
bool sim_bytes_response(struct slice bytes, struct kv_op *op);

#endif
