/* txn_command: reads compares, then what to do if all hold, then what to do otherwise; sends one Txn. */
#include "txn_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "kv_request.h"
#include "print.h"
#include "put_ttl.h"
#include "txn_parse.h"

#define LINE_BYTES_MAX (16u << 20)
#define ARENA_BYTES_MAX (128u << 20)

int txn_command_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL && out_flags != NULL);
    out_flags[0] = (struct flag){"interactive", 'i', FLAG_BOOL, &options->interactive, NULL,
                                 "ask for each section by its name", "Options", false};
    return 1;
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
    if (operation->field == 1) return kv_request_get(options, count, words, out);
    if (operation->field == 2) return kv_request_put(options, count, words, NULL, out);
    return kv_request_del(options, count, words, out);
}

/* A line like a command line: its RequestOp into *out. *has_ttl becomes true by a put that makes a lease. */
static enum ctl_exit encode_operation(const char *line, struct arena *arena, struct buf *out, bool *has_ttl)
{
    char *words[TXN_PARSE_WORDS_MAX];
    const char *arguments[TXN_PARSE_WORDS_MAX];
    struct flag flags[KV_REQUEST_FLAGS_MAX];
    struct ctl_options options = {.prefix = false};
    int count = 0;
    if (!txn_parse_words(line, arena, words, &count) || count == 0)
        return ctl_fail(CTL_INVALID_INPUT, "invalid txn request: %s", line);
    size_t i = 0;
    while (i < 3 && strcmp(OPERATIONS[i].name, words[0]) != 0) i++;
    if (i == 3) return ctl_fail(CTL_INVALID_INPUT, "invalid txn request: %s", line);
    int flag_count = OPERATIONS[i].flags_fn(&options, flags);
    ASSERT(flag_count <= KV_REQUEST_FLAGS_MAX);
    const struct flags_options how = {.environment_prefix = NULL};
    struct flags_result result = {.arguments = arguments};
    if (!flags_parse(flags, flag_count, count, words, &how, &result))
        return ctl_fail(CTL_INVALID_INPUT, "%s in txn request: %s", result.error, line);
    struct buf request;
    buf_init(&request);
    enum ctl_exit code = encode_request(&OPERATIONS[i], &options, result.arguments_count, arguments, &request);
    if (code == CTL_OK) buf_put_pb_bytes(out, OPERATIONS[i].field, buf_slice(&request));
    buf_deinit(&request);
    if (OPERATIONS[i].field == 2 && options.ttl != NULL) *has_ttl = true;
    return code == CTL_OK ? CTL_OK : CTL_INVALID_INPUT;
}

/* One section up to its empty line: each line as field `field` of the TxnRequest. An input that ends before was cut short, and what
 * was to come is not known. */
static enum ctl_exit read_section(const struct ctl *ctl, const char *prompt, uint32_t field, struct arena *arena,
                                  struct buf *request, bool *has_ttl)
{
    char *line = NULL;
    size_t capacity = 0;
    struct buf item;
    buf_init(&item);
    enum ctl_exit code = CTL_OK;
    if (ctl->options.interactive) printf("%s\n", prompt);
    fflush(stdout);
    while (code == CTL_OK) {
        ssize_t size = getline(&line, &capacity, stdin);
        bool is_whole = size > 0 && line[size - 1] == '\n';
        if (is_whole) line[--size] = '\0';
        if (is_whole && size == 0) break;
        buf_clear(&item);
        if (!is_whole)
            code = ctl_fail(CTL_INVALID_INPUT, "the input ends before the empty line that ends \"%s\"", prompt);
        else if (size > LINE_BYTES_MAX || strlen(line) != (size_t)size)
            code = ctl_fail(CTL_INVALID_INPUT, "a line is too long, or holds a NUL byte");
        else if (field != 1)
            code = encode_operation(line, arena, &item, has_ttl);
        else if (!txn_parse_compare(line, arena, &item))
            code = ctl_fail(CTL_INVALID_INPUT, "invalid txn compare request: %s\nIt should look like mod(\"key\") > \"0\"; also value, version, create, lease, and = != <.", line);
        if (code == CTL_OK) buf_put_pb_bytes(request, field, buf_slice(&item));
    }
    ASSERT(field >= 1 && field <= 3);
    buf_deinit(&item);
    alloc_free(line);
    return code;
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

enum ctl_exit txn_command_run(struct ctl *ctl, int count, const char **words)
{
    static const char *const prompts[] = {"compares:", "success requests (get, put, del):",
                                          "failure requests (get, put, del):"};
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "txn command does not accept argument");
    struct arena arena;
    struct buf request;
    ProtobufCMessage *response = NULL;
    bool has_ttl = false;
    arena_init(&arena, ARENA_BYTES_MAX);
    buf_init(&request);
    enum ctl_exit code = CTL_OK;
    for (uint32_t field = 1; field <= 3 && code == CTL_OK; field++)
        code = read_section(ctl, prompts[field - 1], field, &arena, &request, &has_ttl);
    if (code == CTL_OK && has_ttl) code = demand_ttl(ctl);
    if (code == CTL_OK)
        code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Txn", buf_slice(&request), RPC_CLIENT_WRITE,
                               &etcdserverpb__txn_response__descriptor, &response);
    if (code == CTL_OK) {
        code = print_txn(ctl, (const Etcdserverpb__TxnResponse *)response);
        protobuf_c_message_free_unpacked(response, NULL);
    }
    buf_deinit(&request);
    arena_deinit(&arena);
    return code;
}
