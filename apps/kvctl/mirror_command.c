/* mirror_command: first the keys as they are at one revision, page by page, then a watch from the next one on. What is written at the
 * destination is waited for inside of the watch's call-back, so the source is not read ahead of it. */
#include "mirror_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "credentials.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kv_request.h"
#include "live.h"
#include "watcher.h"

#define PAGE_KEYS 1000
#define COPY_TXN_BYTES (512u << 10) /* of keys and values that nothing binds together; servers take 1.5 MiB by default */
#define REPORT_NS (30 * NS_PER_S)

struct mirror {
    struct live live;      /* the source's */
    struct ctl destination;
    const char *old, *new; /* the prefixes of a key here and there */
    struct buf txn;        /* a TxnRequest under way */
    int64_t ops;
    size_t txn_bytes_max;  /* a larger operation goes alone */
    uint64_t total;        /* of keys written and deleted */
    struct live_timer report;
    enum ctl_exit code;
};

int mirror_command_flags(struct ctl_options *o, struct flag *out_flags)
{
    o->source_prefix = o->dest_prefix = o->dest_cert = o->dest_key = o->dest_cacert = o->dest_user = o->dest_password = "";
    o->dest_insecure = true;
    o->max_txn_ops = 128;
    const struct flag flags[] = {
        {"prefix", 0, FLAG_STRING, &o->source_prefix, "<prefix>", "only keys that begin with it", "Options", false},
        {"rev", 0, FLAG_I64, &o->rev, "<revision>", "only what changes from this revision on; 0 = all keys, and what changes", "Options", false},
        {"max-txn-ops", 0, FLAG_I64, &o->max_txn_ops, "<n>", "so many writes in one transaction there", "Options", false},
        {"dest-prefix", 0, FLAG_STRING, &o->dest_prefix, "<prefix>", "in place of --prefix there", "Options", false},
        {"no-dest-prefix", 0, FLAG_BOOL, &o->no_dest_prefix, NULL, "keys without --prefix there", "Options", false},
        {"dest-cacert", 0, FLAG_STRING, &o->dest_cacert, "<file>", "trust servers certified by this CA there", "Options", false},
        {"dest-cert", 0, FLAG_STRING, &o->dest_cert, "<file>", "our certificate there", "Options", false},
        {"dest-key", 0, FLAG_STRING, &o->dest_key, "<file>", "its key", "Options", false},
        {"dest-insecure-transport", 0, FLAG_BOOL, &o->dest_insecure, NULL, "endpoints there without a scheme are plain", "Options", false},
        {"dest-user", 0, FLAG_STRING, &o->dest_user, "<name[:password]>", "who we are there", "Options", false},
        {"dest-password", 0, FLAG_STRING, &o->dest_password, "<password>", "of --dest-user", "Options", false},
    };
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

/* --- the destination --------------------------------------------------------------------------------------------------------- */

static void flush_txn(struct mirror *mirror)
{
    struct calls_answer answer;
    if (mirror->ops == 0 || mirror->code != CTL_OK) return;
    ctl_call(&mirror->destination, "/etcdserverpb.KV/Txn", buf_slice(&mirror->txn), KVD_POLICY_WRITE, CALLS_ANY, &answer);
    if (answer.code != ERR_CODE_OK) mirror->code = ctl_fail_answer(&mirror->destination, &answer);
    else mirror->total += (uint64_t)mirror->ops;
    calls_answer_deinit(&answer);
    buf_clear(&mirror->txn);
    mirror->ops = 0;
}

/* One write of the transaction under way; value NULL: a deletion. */
static void add(struct mirror *mirror, ProtobufCBinaryData key, const ProtobufCBinaryData *value)
{
    struct buf name, request, op;
    size_t skip = strlen(mirror->old);
    ASSERT(key.len >= skip);
    buf_init(&name);
    buf_init(&request);
    buf_init(&op);
    buf_put(&name, mirror->new, strlen(mirror->new));
    buf_put(&name, key.data + skip, key.len - skip);
    buf_put_pb_bytes(&request, 1, buf_slice(&name));
    if (value != NULL) buf_put_pb_bytes(&request, 2, slice_make(value->data, value->len));
    buf_put_pb_bytes(&op, value != NULL ? 2 : 3, buf_slice(&request));
    if (op.size >= mirror->txn_bytes_max || mirror->txn.size > mirror->txn_bytes_max - op.size) flush_txn(mirror);
    buf_put_pb_bytes(&mirror->txn, 2, buf_slice(&op));
    mirror->ops++;
    buf_deinit(&op);
    buf_deinit(&request);
    buf_deinit(&name);
    if (mirror->ops >= mirror->live.ctl->options.max_txn_ops) flush_txn(mirror);
}

/* --- the source -------------------------------------------------------------------------------------------------------------- */

static void put_interval(struct buf *out, const char *prefix, struct slice from)
{
    buf_put_pb_bytes(out, 1, from.size == 0 ? slice_make("", 1) : from);
    kv_request_prefix_end(out, slice_from_string(prefix));
}

/* All keys as they are at *revision (0: now, which it becomes then). */
static void copy_keys(struct mirror *mirror, int64_t *revision)
{
    struct ctl *ctl = mirror->live.ctl;
    struct buf from, request;
    bool has_more = true;
    mirror->txn_bytes_max = COPY_TXN_BYTES;
    buf_init(&from);
    buf_init(&request);
    buf_put(&from, mirror->old, strlen(mirror->old));
    while (has_more && mirror->code == CTL_OK && ear_signal(mirror->live.ear) == 0) {
        ProtobufCMessage *message = NULL;
        buf_clear(&request);
        put_interval(&request, mirror->old, buf_slice(&from));
        buf_put_pb_varint(&request, 3, PAGE_KEYS);
        if (*revision != 0) buf_put_pb_varint(&request, 4, (uint64_t)*revision);
        mirror->code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Range", buf_slice(&request), KVD_POLICY_READ, &etcdserverpb__range_response__descriptor,
                                       &message);
        if (mirror->code != CTL_OK) break;
        const Etcdserverpb__RangeResponse *page = (const Etcdserverpb__RangeResponse *)message;
        if (*revision == 0 && page->header != NULL) *revision = page->header->revision;
        for (size_t i = 0; i < page->n_kvs && mirror->code == CTL_OK; i++) add(mirror, page->kvs[i]->key, &page->kvs[i]->value);
        has_more = page->more && page->n_kvs > 0;
        if (has_more) {
            buf_clear(&from);
            buf_put(&from, page->kvs[page->n_kvs - 1]->key.data, page->kvs[page->n_kvs - 1]->key.len);
            buf_put_u8(&from, 0); /* the next key that there can be */
        }
        protobuf_c_message_free_unpacked(message, NULL);
    }
    flush_txn(mirror);
    buf_deinit(&request);
    buf_deinit(&from);
}

/* A revision's changes are one transaction there, as here, as far as --max-txn-ops lets them. */
static bool on_response(void *context, const Etcdserverpb__WatchResponse *response)
{
    struct mirror *mirror = context;
    int64_t revision = 0;
    if (response->canceled) {
        const char *why = response->compact_revision != 0 ? "required revision has been compacted" : response->cancel_reason;
        mirror->code = ctl_fail(CTL_INTERRUPTED, "the watch at the source was canceled (%s)", why);
        return false;
    }
    for (size_t i = 0; i < response->n_events && mirror->code == CTL_OK; i++) {
        const Mvccpb__Event *event = response->events[i];
        if (event->kv->mod_revision != revision) flush_txn(mirror);
        revision = event->kv->mod_revision;
        if (mirror->code == CTL_OK) add(mirror, event->kv->key, event->type == MVCCPB__EVENT__EVENT_TYPE__PUT ? &event->kv->value : NULL);
    }
    flush_txn(mirror);
    return mirror->code == CTL_OK && ear_signal(mirror->live.ear) == 0;
}

static void on_report(void *context, uint64_t now_ns)
{
    struct mirror *mirror = context;
    printf("%" PRIu64 "\n", mirror->total);
    fflush(stdout);
    live_set(&mirror->live, &mirror->report, now_ns + REPORT_NS);
}

static void follow(struct mirror *mirror, int64_t revision)
{
    struct buf request;
    mirror->txn_bytes_max = SIZE_MAX; /* a revision is as large as the source took it */
    buf_init(&request);
    put_interval(&request, mirror->old, slice_from_string(mirror->old));
    struct watcher *watcher = watcher_new(&mirror->live, buf_slice(&request), revision, on_response, mirror);
    buf_deinit(&request);
    while (mirror->code == CTL_OK && !watcher_is_over(watcher) && ear_signal(mirror->live.ear) == 0) live_step(&mirror->live);
    if (mirror->code == CTL_OK && watcher_is_over(watcher) && watcher_refusal(watcher)->code != ERR_CODE_OK)
        mirror->code = ctl_fail_answer(mirror->live.ctl, watcher_refusal(watcher));
    watcher_free(watcher);
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

static enum ctl_exit check(const struct ctl_options *options, int count)
{
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "make-mirror takes one destination argument");
    if (options->dest_prefix[0] != '\0' && options->no_dest_prefix)
        return ctl_fail(CTL_BAD_ARGS, "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one");
    if (options->max_txn_ops < 1 || options->rev < 0) return ctl_fail(CTL_BAD_ARGS, "--max-txn-ops is 1 or more, --rev 0 or more");
    return CTL_OK;
}

enum ctl_exit mirror_command_run(struct ctl *ctl, int count, const char **words)
{
    const struct ctl_options *options = &ctl->options;
    struct mirror mirror = {.old = options->source_prefix, .destination = {.globals = ctl->globals, .format = ctl->format}};
    enum ctl_exit code = check(options, count);
    if (code != CTL_OK) return code;
    mirror.new = options->no_dest_prefix ? "" : options->dest_prefix[0] != '\0' ? options->dest_prefix : mirror.old;
    mirror.destination.globals.cert = options->dest_cert;
    mirror.destination.globals.key = options->dest_key;
    mirror.destination.globals.cacert = options->dest_cacert;
    mirror.destination.globals.insecure_transport = options->dest_insecure;
    mirror.destination.globals.user = options->dest_user;
    mirror.destination.globals.password = options->dest_password;
    mirror.destination.globals.auth_jwt_token = "";
    mirror.destination.globals.endpoints = (struct flags_list){.words = {words[0]}, .count = 1};
    code = ctl_connect(&mirror.destination, &mirror.destination.globals.endpoints);
    if (code != CTL_OK) goto out;
    int64_t revision = options->rev;
    live_init(&mirror.live, ctl, false);
    buf_init(&mirror.txn);
    live_timer_init(&mirror.report, on_report, &mirror);
    live_set(&mirror.live, &mirror.report, clock_mono_ns() + REPORT_NS);
    if (revision == 0) {
        copy_keys(&mirror, &revision);
        revision++;
    }
    if (mirror.code == CTL_OK && ear_signal(mirror.live.ear) == 0) follow(&mirror, revision);
    ctl->signal = ear_signal(mirror.live.ear);
    live_unset(&mirror.live, &mirror.report);
    printf("%" PRIu64 "\n", mirror.total);
    buf_deinit(&mirror.txn);
    live_deinit(&mirror.live);
    ctl_disconnect(&mirror.destination);
    code = mirror.code;
out:
    credentials_free(&mirror.destination);
    return code;
}
