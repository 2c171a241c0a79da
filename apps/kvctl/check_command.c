/* check_command: puts are started at the load's rate, by the clock, as long as fewer than its clients are under way: what cannot keep up falls
 * behind the rate. The judgement is etcdctl's: nine tenths of the rate, no request above 0.5 s, a deviation of 0.1 s at most. */
#include "check_command.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kv_request.h"
#include "print.h"
#include "progress.h"

#define VALUE_BYTES 1024
#define SLOWEST_S 0.5
#define DEVIATION_S 0.1

struct load {
    const char *names[2];
    size_t clients;
    double rate;       /* perf: puts per second */
    uint64_t keys;     /* datascale */
};
static const struct load LOADS[] = {{{"s", "small"}, 50, 150, 10000},
                                    {{"m", "medium"}, 200, 1000, 100000},
                                    {{"l", "large"}, 500, 8000, 1000000},
                                    {{"xl", "xLarge"}, 1000, 15000, 3000000}};

struct put {
    struct check *check;
    uint64_t start_ns; /* 0 = free */
};

struct check {
    struct ctl *ctl;
    const struct load *load;
    struct put *puts;
    uint64_t started, done;
    size_t in_flight;
    double sum_s, squares_s, slowest_s;
    char *error;       /* the first put that failed */
    uint8_t value[VALUE_BYTES];
};

static int common_flags(struct ctl_options *o, struct flag *out_flags, const char *prefix)
{
    o->load = "s";
    o->source_prefix = prefix;
    o->check_seconds_ns = 60 * NS_PER_S;
    out_flags[0] = (struct flag){"load", 0, FLAG_STRING, &o->load, "<load>", "s, m, l or xl", "Options", false};
    out_flags[1] = (struct flag){"prefix", 0, FLAG_STRING, &o->source_prefix, "<prefix>", "of the keys that are written, and deleted", "Options", false};
    out_flags[2] = (struct flag){"auto-compact", 0, FLAG_BOOL, &o->auto_compact, NULL, "compact what was written afterwards", "Options", false};
    out_flags[3] = (struct flag){"auto-defrag", 0, FLAG_BOOL, &o->auto_defrag, NULL, "defragment the endpoints afterwards", "Options", false};
    return 4;
}

int check_command_perf_flags(struct ctl_options *options, struct flag *out_flags)
{
    int count = common_flags(options, out_flags, "/etcdctl-check-perf/");
    out_flags[count] = (struct flag){"duration", 0, FLAG_DURATION_NS, &options->check_seconds_ns, "<time>", "of the load", "Options", false};
    return count + 1;
}

int check_command_datascale_flags(struct ctl_options *options, struct flag *out_flags)
{
    return common_flags(options, out_flags, "/etcdctl-check-datascale/");
}

/* --- puts -------------------------------------------------------------------------------------------------------------------- */

static void on_put(void *context, const struct calls_result *result)
{
    struct put *put = context;
    struct check *check = put->check;
    double took_s = (double)(clock_mono_ns() - put->start_ns) / (double)NS_PER_S;
    put->start_ns = 0;
    check->in_flight--;
    check->done++;
    check->sum_s += took_s;
    check->squares_s += took_s * took_s;
    if (took_s > check->slowest_s) check->slowest_s = took_s;
    if (result->code == ERR_CODE_OK || check->error != NULL) return;
    check->error = alloc_string(result->code == ERR_CODE_DEADLINE_EXCEEDED ? "context deadline exceeded" : result->text);
}

static void start_put(struct check *check)
{
    struct buf key, request;
    size_t place = 0;
    while (check->puts[place].start_ns != 0) place++;
    ASSERT(place < check->load->clients);
    buf_init(&key);
    buf_init(&request);
    buf_printf(&key, "%s%020" PRIu64, check->ctl->options.source_prefix, check->started++);
    buf_put_pb_bytes(&request, 1, buf_slice(&key));
    buf_put_pb_bytes(&request, 2, slice_make(check->value, VALUE_BYTES));
    check->puts[place].start_ns = clock_mono_ns();
    check->in_flight++;
    ctl_begin(check->ctl, "/etcdserverpb.KV/Put", buf_slice(&request), KVD_POLICY_WRITE, on_put, &check->puts[place]);
    buf_deinit(&request);
    buf_deinit(&key);
}

/* Puts until `keys` were started, or, 0, until the time is over, `rate` a second (0 = as fast as they go). False: a signal, or an error. */
static bool run_puts(struct check *check, uint64_t keys, double rate, uint64_t duration_ns)
{
    struct progress progress;
    uint64_t start_ns = clock_mono_ns();
    bool goes_on = true;
    progress_init(&progress);
    while (goes_on && check->error == NULL) {
        uint64_t spent_ns = clock_mono_ns() - start_ns;
        bool is_over = keys != 0 ? check->started >= keys : spent_ns >= duration_ns;
        if (is_over && check->in_flight == 0) break;
        uint64_t due_ns = rate > 0 ? start_ns + (uint64_t)((double)check->started / rate * (double)NS_PER_S) : 0;
        bool may_start = !is_over && check->in_flight < check->load->clients && due_ns <= start_ns + spent_ns;
        if (may_start) {
            start_put(check);
            continue;
        }
        goes_on = ctl_pump(check->ctl, !is_over && rate > 0 && check->in_flight < check->load->clients ? due_ns : CLOCK_NEVER);
        if (keys != 0) progress_show_lines(&progress, check->done, check->done, keys);
        else progress_show_lines(&progress, check->done, spent_ns > duration_ns ? duration_ns : spent_ns, duration_ns);
    }
    progress_end(&progress);
    return goes_on && check->error == NULL;
}

/* --- before and after -------------------------------------------------------------------------------------------------------- */

/* Range count_only, or DeleteRange, of the prefix. */
static enum ctl_exit ask_prefix(struct ctl *ctl, const char *path, bool is_count, const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_message)
{
    struct buf request;
    struct slice prefix = slice_from_string(ctl->options.source_prefix);
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, prefix);
    kv_request_prefix_end(&request, prefix);
    if (is_count) buf_put_pb_varint(&request, 9, 1);
    enum ctl_exit code = ctl_call_unpack(ctl, path, buf_slice(&request), is_count ? KVD_POLICY_READ : KVD_POLICY_WRITE, type, out_message);
    buf_deinit(&request);
    return code;
}

static enum ctl_exit prepare(struct check *check, int count, const char *name)
{
    struct ctl *ctl = check->ctl;
    ProtobufCMessage *message = NULL;
    size_t i = 0;
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "%s takes no arguments", name);
    while (i < 4 && strcmp(ctl->options.load, LOADS[i].names[0]) != 0 && strcmp(ctl->options.load, LOADS[i].names[1]) != 0) i++;
    if (i == 4) return ctl_fail(CTL_BAD_FEATURE, "unknown load option %s", ctl->options.load);
    if (ctl->options.source_prefix[0] == '\0') return ctl_fail(CTL_BAD_ARGS, "an empty --prefix would mean all keys");
    check->load = &LOADS[i];
    enum ctl_exit code = ask_prefix(ctl, "/etcdserverpb.KV/Range", true, &etcdserverpb__range_response__descriptor, &message);
    if (code != CTL_OK) return code;
    int64_t found = ((const Etcdserverpb__RangeResponse *)message)->count;
    protobuf_c_message_free_unpacked(message, NULL);
    if (found > 0)
        return ctl_fail(CTL_INVALID_INPUT, "prefix \"%s\" has keys. Delete with `kvctl del --prefix %s` first", ctl->options.source_prefix,
                        ctl->options.source_prefix);
    check->puts = alloc_zero(check->load->clients, sizeof *check->puts);
    for (size_t k = 0; k < check->load->clients; k++) check->puts[k].check = check;
    for (size_t k = 0; k < VALUE_BYTES; k++) check->value[k] = (uint8_t)('a' + k * 7 % 26);
    return CTL_OK;
}

static enum ctl_exit clean_up(struct check *check)
{
    struct ctl *ctl = check->ctl;
    ProtobufCMessage *message = NULL;
    struct buf request;
    enum ctl_exit code = ask_prefix(ctl, "/etcdserverpb.KV/DeleteRange", false, &etcdserverpb__delete_range_response__descriptor, &message);
    const Etcdserverpb__DeleteRangeResponse *deleted = (const Etcdserverpb__DeleteRangeResponse *)message;
    int64_t revision = deleted == NULL || deleted->header == NULL ? 0 : deleted->header->revision;
    if (message != NULL) protobuf_c_message_free_unpacked(message, NULL);
    if (code == CTL_OK && ctl->options.auto_compact) {
        message = NULL;
        buf_init(&request);
        buf_put_pb_varint(&request, 1, (uint64_t)revision);
        buf_put_pb_varint(&request, 2, 1);
        code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Compact", buf_slice(&request), KVD_POLICY_WRITE, &etcdserverpb__compaction_response__descriptor, &message);
        buf_deinit(&request);
        if (message != NULL) protobuf_c_message_free_unpacked(message, NULL);
        if (code == CTL_OK) printf("Compacted with revision %" PRId64 "\n", revision);
    }
    for (size_t i = 0; code == CTL_OK && ctl->options.auto_defrag && i < ctl->endpoint_count; i++) {
        struct calls_answer answer;
        ctl_call(ctl, "/etcdserverpb.Maintenance/Defragment", slice_empty(), KVD_POLICY_READ, i, &answer);
        if (answer.code != ERR_CODE_OK) code = ctl_fail_answer(ctl, &answer);
        else printf("Defragmented \"%s\"\n", ctl->endpoints[i]);
        calls_answer_deinit(&answer);
    }
    return code;
}

static void finish(struct check *check)
{
    alloc_free(check->puts);
    alloc_free(check->error);
}

/* --- perf -------------------------------------------------------------------------------------------------------------------- */

static bool judge_all(const struct check *check, double seconds)
{
    double count = (double)check->done, mean_s = check->sum_s / count, rate = count / seconds;
    double deviation_s = sqrt(fmax(check->squares_s / count - mean_s * mean_s, 0));
    const char *const verdicts[] = {"FAIL", "PASS"};
    bool is_fast = rate >= 0.9 * check->load->rate, is_even = check->slowest_s <= SLOWEST_S, is_steady = deviation_s <= DEVIATION_S;
    printf("%s: Throughput is %.0f writes/s\n", verdicts[is_fast], rate);
    printf("%s: Slowest request took %fs\n", verdicts[is_even], check->slowest_s);
    printf("%s: Stddev is %fs\n", verdicts[is_steady], deviation_s);
    return is_fast && is_even && is_steady;
}

enum ctl_exit check_command_perf(struct ctl *ctl, int count, const char **words)
{
    struct check check = {.ctl = ctl};
    ASSERT(words != NULL);
    if (ctl->options.check_seconds_ns == 0) return ctl_fail(CTL_BAD_ARGS, "--duration must not be 0");
    enum ctl_exit code = prepare(&check, count, "check perf");
    if (code != CTL_OK) return code;
    uint64_t start_ns = clock_mono_ns();
    bool is_whole = run_puts(&check, 0, check.load->rate, ctl->options.check_seconds_ns);
    double seconds = (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S;
    code = clean_up(&check);
    bool is_good = is_whole && check.done > 0 && judge_all(&check, seconds);
    if (check.error != NULL) printf("FAIL: too many errors\nFAIL: ERROR(%s)\n", check.error);
    puts(is_good ? "PASS" : "FAIL");
    finish(&check);
    return code == CTL_OK && !is_good ? CTL_ERROR : code;
}

/* --- datascale --------------------------------------------------------------------------------------------------------------- */

/* What the process takes, as the first endpoint tells; an etcd does not. */
static enum ctl_exit ask_memory(struct ctl *ctl, uint64_t *out_bytes)
{
    ProtobufCMessage *message = NULL;
    ctl->pinned = 1;
    enum ctl_exit code = ctl_call_unpack(ctl, "/etcdserverpb.Maintenance/Status", slice_empty(), KVD_POLICY_READ, &etcdserverpb__status_response__descriptor,
                                         &message);
    ctl->pinned = 0;
    if (code != CTL_OK) return code;
    const Etcdserverpb__StatusResponse *status = (const Etcdserverpb__StatusResponse *)message;
    if (status->account == NULL) code = ctl_fail(CTL_BAD_FEATURE, "%s does not tell how much memory it takes: it is an etcd, or an older kvd", ctl->endpoints[0]);
    else *out_bytes = status->account->resident_bytes;
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

enum ctl_exit check_command_datascale(struct ctl *ctl, int count, const char **words)
{
    struct check check = {.ctl = ctl};
    uint64_t before = 0, after = 0;
    ASSERT(words != NULL);
    enum ctl_exit code = prepare(&check, count, "check datascale");
    if (code == CTL_OK) code = ask_memory(ctl, &before);
    if (code != CTL_OK) {
        finish(&check);
        return code;
    }
    printf("Start data scale check for work load [%" PRIu64 " key-value pairs, %d bytes per key-value, %zu concurrent clients].\n", check.load->keys,
           VALUE_BYTES, check.load->clients);
    fflush(stdout);
    bool is_whole = run_puts(&check, check.load->keys, 0, 0);
    if (is_whole) code = ask_memory(ctl, &after);
    enum ctl_exit cleaned = clean_up(&check);
    if (check.error != NULL) printf("FAIL: ERROR(%s)\n", check.error);
    if (is_whole && code == CTL_OK) {
        double mib = after > before ? (double)(after - before) / (1 << 20) : 0;
        printf("PASS: Approximate system memory used : %.2f MB.\n", mib);
    }
    finish(&check);
    if (!is_whole) return CTL_ERROR;
    return code == CTL_OK ? cleaned : code;
}
