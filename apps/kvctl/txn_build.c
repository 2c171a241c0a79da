/* txn_build: see the header. */
#include "txn_build.h"

#include <string.h>

#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kv_request.h"
#include "put_ttl.h"
#include "txn_parse.h"
#include "words.h"

#define ARENA_BYTES_MAX (128u << 20)
#define REQUEST_BYTES_MAX (64u << 20) /* far beyond what a server takes */

void txn_build_init(struct txn_build *build)
{
    *build = (struct txn_build){.has_ttl = false};
    arena_init(&build->arena, ARENA_BYTES_MAX);
    buf_init(&build->request);
}

void txn_build_deinit(struct txn_build *build)
{
    buf_deinit(&build->request);
    arena_deinit(&build->arena);
}

void txn_build_clear(struct txn_build *build)
{
    buf_clear(&build->request);
    memset(build->counts, 0, sizeof build->counts);
    build->has_ttl = false;
}

enum ctl_exit txn_build_compare(struct txn_build *build, const char *line)
{
    struct buf item;
    buf_init(&item);
    bool is_good = txn_parse_compare(line, &build->arena, &item);
    if (is_good) buf_put_pb_bytes(&build->request, TXN_COMPARE, buf_slice(&item));
    if (is_good) build->counts[TXN_COMPARE]++;
    buf_deinit(&item);
    arena_reset(&build->arena);
    if (is_good) return CTL_OK;
    return ctl_fail(CTL_INVALID_INPUT,
                    "invalid txn compare request: %s\nIt should look like mod(\"key\") > \"0\"; also value, version, create, lease, and = != <.", line);
}

/* Which operation a line is, and how its request is made. */
struct operation {
    const char *name;
    uint32_t field; /* of RequestOp */
    int (*flags_fn)(struct ctl_options *options, struct flag *out_flags);
};
static const struct operation OPERATIONS[] = {{"get", 1, kv_request_get_flags},
                                              {"put", 2, kv_request_put_flags},
                                              {"del", 3, kv_request_del_flags}};

static enum ctl_exit encode_request(const struct operation *operation, const struct ctl_options *options, int count,
                                    const char **words, struct buf *out)
{
    ASSERT(operation->field >= 1 && operation->field <= 3);
    if (operation->field == 1) return kv_request_get_whole(options, count, words, out);
    if (operation->field == 2) return kv_request_put(options, count, words, NULL, out);
    return kv_request_del(options, count, words, out);
}

enum ctl_exit txn_build_operation(struct txn_build *build, enum txn_part part, int count, char **words, const char *line)
{
    const char *arguments[WORDS_MAX + 1];
    struct flag flags[KV_REQUEST_FLAGS_MAX];
    struct ctl_options options = {.prefix = false};
    ASSERT(part == TXN_THEN || part == TXN_ELSE);
    if (build->request.size > REQUEST_BYTES_MAX) return ctl_fail(CTL_INVALID_INPUT, "the transaction is larger than 64 MiB");
    size_t i = 0;
    while (i < 3 && (count == 0 || strcmp(OPERATIONS[i].name, words[0]) != 0)) i++;
    if (i == 3) return ctl_fail(CTL_INVALID_INPUT, "invalid txn request: %s", line);
    int flag_count = OPERATIONS[i].flags_fn(&options, flags);
    ASSERT(flag_count <= KV_REQUEST_FLAGS_MAX && count <= WORDS_MAX);
    const struct flags_options how = {.environment_prefix = NULL};
    struct flags_result result = {.arguments = arguments};
    if (!flags_parse(flags, flag_count, count, words, &how, &result))
        return ctl_fail(CTL_INVALID_INPUT, "%s in txn request: %s", result.error, line);
    struct buf request, item;
    buf_init(&request);
    buf_init(&item);
    enum ctl_exit code = encode_request(&OPERATIONS[i], &options, result.arguments_count, arguments, &request);
    if (code == CTL_OK) {
        buf_put_pb_bytes(&item, OPERATIONS[i].field, buf_slice(&request));
        buf_put_pb_bytes(&build->request, (uint32_t)part, buf_slice(&item));
        build->counts[part]++;
        if (OPERATIONS[i].field == 2 && options.ttl != NULL) build->has_ttl = true;
    }
    buf_deinit(&item);
    buf_deinit(&request);
    return code == CTL_OK ? CTL_OK : CTL_INVALID_INPUT;
}

/* Leases granted beforehand would be there whatever branch is taken. */
static enum ctl_exit demand_ttl(struct ctl *ctl)
{
    bool is_known = false;
    enum ctl_exit code = put_ttl_ask(ctl, &is_known);
    if (code != CTL_OK || is_known) return code;
    return ctl_fail(CTL_BAD_FEATURE, "%s makes no lease with a put, and in a transaction two steps will not do: use put --lease",
                    ctl->endpoints[ctl->pinned - 1]);
}

enum ctl_exit txn_build_send(struct ctl *ctl, struct txn_build *build, ProtobufCMessage **out_response)
{
    enum ctl_exit code = build->has_ttl ? demand_ttl(ctl) : CTL_OK;
    if (code == CTL_OK)
        code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Txn", buf_slice(&build->request), KVD_POLICY_WRITE,
                               &etcdserverpb__txn_response__descriptor, out_response);
    return code;
}
