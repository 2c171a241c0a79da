/* extra: see the header. */
#include "extra.h"

#include "base/assert.h"

enum ctl_exit extra_fail_answer(const struct ctl *ctl, const struct calls_answer *answer)
{
    if (answer->code != ERR_CODE_UNIMPLEMENTED) return ctl_fail_answer(ctl, answer);
    ASSERT(answer->endpoint < ctl->endpoint_count);
    return ctl_fail(CTL_BAD_FEATURE, "%s cannot do this: it is an etcd, or an older kvd (%s)", ctl->endpoints[answer->endpoint], answer->text);
}

enum ctl_exit extra_call(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy, size_t endpoint,
                         const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_message)
{
    struct calls_answer answer;
    enum ctl_exit code = CTL_OK;
    ctl_call(ctl, path, request, policy, endpoint, &answer);
    ASSERT(*out_message == NULL);
    if (answer.code != ERR_CODE_OK) code = extra_fail_answer(ctl, &answer);
    else *out_message = ctl_unpack(type, buf_slice(&answer.body));
    if (code == CTL_OK && *out_message == NULL)
        code = ctl_fail(CTL_ERROR, "%s answered with bytes that are not a %s", ctl->endpoints[answer.endpoint], type->short_name);
    calls_answer_deinit(&answer);
    return code;
}
