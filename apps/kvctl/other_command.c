/* other_command: see the header. */
#include "other_command.h"

#include <stdio.h>

#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "globals.h"
#include "print_message.h"

#define API_VERSION "3.6"

enum ctl_exit other_command_version(struct ctl *ctl, int count, const char **words)
{
    ASSERT(ctl != NULL && words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "version command takes no arguments");
    printf("kvctl version: %s\nAPI version: %s\n", KVD_VERSION, API_VERSION);
    return CTL_OK;
}

enum ctl_exit other_command_options(struct ctl *ctl, int count, const char **words)
{
    struct ctl_globals globals;
    struct flag flags[GLOBALS_FLAGS_MAX];
    ASSERT(ctl != NULL && words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "options command takes no arguments");
    int flag_count = globals_flags(&globals, flags);
    flags_print_help(flags, flag_count);
    return CTL_OK;
}

/* --- downgrade --------------------------------------------------------------------------------------------------------------- */

enum { ACTION_VALIDATE, ACTION_ENABLE, ACTION_CANCEL };

static enum ctl_exit downgrade(struct ctl *ctl, uint64_t action, const char *version)
{
    static const char *const names[] = {"validate", "enable", "cancel"};
    struct buf request;
    ProtobufCMessage *response = NULL;
    ASSERT(action < 3);
    buf_init(&request);
    if (action != 0) buf_put_pb_varint(&request, 1, action);
    if (version[0] != '\0') buf_put_pb_bytes(&request, 2, slice_from_string(version));
    enum ctl_exit code = ctl_call_unpack(ctl, "/etcdserverpb.Maintenance/Downgrade", buf_slice(&request), KVD_POLICY_WRITE,
                                         &etcdserverpb__downgrade_response__descriptor, &response);
    buf_deinit(&request);
    if (code != CTL_OK) return code;
    if (ctl->format == CTL_SIMPLE)
        printf("Downgrade %s success, cluster version %s\n", names[action], ((const Etcdserverpb__DowngradeResponse *)response)->version);
    else
        code = print_message(ctl, response);
    protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

enum ctl_exit other_command_downgrade_validate(struct ctl *ctl, int count, const char **words)
{
    if (count < 1) return ctl_fail(CTL_BAD_ARGS, "TARGET_VERSION not provided");
    if (count > 1) return ctl_fail(CTL_BAD_ARGS, "too many arguments");
    return downgrade(ctl, ACTION_VALIDATE, words[0]);
}

enum ctl_exit other_command_downgrade_enable(struct ctl *ctl, int count, const char **words)
{
    if (count < 1) return ctl_fail(CTL_BAD_ARGS, "TARGET_VERSION not provided");
    if (count > 1) return ctl_fail(CTL_BAD_ARGS, "too many arguments");
    return downgrade(ctl, ACTION_ENABLE, words[0]);
}

enum ctl_exit other_command_downgrade_cancel(struct ctl *ctl, int count, const char **words)
{
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "downgrade cancel command takes no arguments");
    return downgrade(ctl, ACTION_CANCEL, "");
}
