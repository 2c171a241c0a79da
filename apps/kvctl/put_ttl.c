/* put_ttl: see the header. */
#include "put_ttl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "rpc/rpc_features.h"

enum ctl_exit put_ttl_ask(struct ctl *ctl, bool *out_is_known)
{
    struct rpc_features features = {.bits = 0};
    struct calls_answer answer;
    enum ctl_exit code = CTL_OK;
    ASSERT(ctl->client != NULL && ctl->pinned == 0);
    ctl_call(ctl, "/kvd.v1.Extra/Features", slice_empty(), KVD_POLICY_READ, CALLS_ANY, &answer);
    bool is_answered = answer.code == ERR_CODE_UNIMPLEMENTED ||
                       (answer.code == ERR_CODE_OK && rpc_features_decode(buf_slice(&answer.body), &features));
    if (is_answered) {
        *out_is_known = rpc_features_have(&features, RPC_FEATURE_PUT_TTL);
        ctl->pinned = answer.endpoint + 1;
    } else if (answer.code != ERR_CODE_OK) {
        code = ctl_fail_answer(ctl, &answer);
    } else {
        code = ctl_fail(CTL_ERROR, "%s answered with bytes that are no list of features", ctl->endpoints[answer.endpoint]);
    }
    calls_answer_deinit(&answer);
    return code;
}

static enum ctl_exit grant(struct ctl *ctl, struct put_ttl *out_granted)
{
    struct buf request;
    ProtobufCMessage *message = NULL;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, strtoull(ctl->options.ttl, NULL, 10));
    enum ctl_exit code = ctl_call_unpack(ctl, "/etcdserverpb.Lease/LeaseGrant", buf_slice(&request), KVD_POLICY_WRITE,
                                         &etcdserverpb__lease_grant_response__descriptor, &message);
    buf_deinit(&request);
    if (code != CTL_OK) return code;
    const Etcdserverpb__LeaseGrantResponse *response = (const Etcdserverpb__LeaseGrantResponse *)message;
    ASSERT(response != NULL);
    out_granted->id = response->id;
    out_granted->ttl = response->ttl;
    protobuf_c_message_free_unpacked(message, NULL);
    return CTL_OK;
}

enum ctl_exit put_ttl_prepare(struct ctl *ctl, struct put_ttl *out_granted)
{
    bool is_known = false;
    ASSERT(ctl->options.ttl != NULL);
    *out_granted = (struct put_ttl){.id = 0};
    enum ctl_exit code = put_ttl_ask(ctl, &is_known);
    if (code == CTL_OK && !is_known) code = grant(ctl, out_granted);
    if (code != CTL_OK || is_known) return code;
    fprintf(stderr, "%s makes no lease with a put: lease %016" PRIx64 " was granted first, the key is attached in a second step\n",
            ctl->endpoints[ctl->pinned - 1], (uint64_t)out_granted->id);
    (void)snprintf(out_granted->id_text, sizeof out_granted->id_text, "%" PRIx64, (uint64_t)out_granted->id);
    ctl->options.lease = out_granted->id_text;
    ctl->options.ttl = NULL;
    return CTL_OK;
}
