/* extra: calls of kvd.v1.Extra, which only a kvd answers.
 * Owner: as ctl_call_unpack. Thread: main. Source: proto/kvd/extra.proto. */
#ifndef KVCTL_EXTRA_H
#define KVCTL_EXTRA_H
#include "ctl.h"
#include "kvd/extra.pb-c.h"

/* What to say when the answer is not good: that the server is an etcd, if it is. */
enum ctl_exit extra_fail_answer(const struct ctl *ctl, const struct calls_answer *answer);
/* One call and its response unpacked (owned: protobuf_c_message_free_unpacked). Fails with a message. */
enum ctl_exit extra_call(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy, size_t endpoint,
                         const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_message);

#endif
