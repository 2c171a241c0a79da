/* print: the choice of a printer, and the simple one and tables themselves. */
#include "print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "print_fields.h"
#include "print_json.h"
#include "print_message.h"
#include "table.h"
#include "words.h"

/* A number with up to `decimals` digits behind the point and no zeros at its end. */
static void format_decimal(uint64_t value, uint64_t unit, int decimals, const char *name, char out_text[PRINT_TIME_BYTES])
{
    ASSERT(unit > 0);
    int length = snprintf(out_text, PRINT_TIME_BYTES - 8, "%" PRIu64 ".%0*" PRIu64, value / unit, decimals, value % unit);
    while (length > 0 && out_text[length - 1] == '0') length--;
    if (length > 0 && out_text[length - 1] == '.') length--;
    ASSERT(length > 0);
    snprintf(out_text + length, 8, "%s", name);
}

void print_format_time(uint64_t ns, char out_text[PRINT_TIME_BYTES])
{
    ASSERT(out_text != NULL);
    if (ns < NS_PER_US) {
        snprintf(out_text, PRINT_TIME_BYTES, ns == 0 ? "0s" : "%" PRIu64 "ns", ns);
    } else if (ns < NS_PER_MS) {
        format_decimal(ns, NS_PER_US, 3, "\xc2\xb5s", out_text);
    } else if (ns < NS_PER_S) {
        format_decimal(ns, NS_PER_MS, 6, "ms", out_text);
    } else if (ns < 60 * NS_PER_S) {
        format_decimal(ns, NS_PER_S, 9, "s", out_text);
    } else {
        char seconds[PRINT_TIME_BYTES];
        format_decimal(ns % (60 * NS_PER_S), NS_PER_S, 9, "s", seconds);
        snprintf(out_text, PRINT_TIME_BYTES, "%" PRIu64 "m%.20s", ns / (60 * NS_PER_S), seconds);
    }
}

void print_format_size(uint64_t bytes, char out_text[PRINT_TIME_BYTES])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    uint64_t unit = 1;
    size_t i = 0;
    while (bytes / unit >= 1000 && i + 1 < sizeof units / sizeof units[0]) {
        unit *= 1000;
        i++;
    }
    double value = (double)(uint64_t)((double)bytes / (double)unit * 10 + 0.5) / 10;
    ASSERT(value >= 0);
    snprintf(out_text, PRINT_TIME_BYTES, i > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value, units[i]);
}

/* --- simple -------------------------------------------------------------------------------------------------------------- */

/* Control characters, but for the ends of lines and tabs. */
static bool moves_terminal(ProtobufCBinaryData bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if ((bytes.data[i] < 0x20 && bytes.data[i] != '\n' && bytes.data[i] != '\t') || bytes.data[i] == 0x7f) return true;
    return false;
}

void print_line(const struct ctl *ctl, ProtobufCBinaryData bytes)
{
    ASSERT(bytes.data != NULL || bytes.len == 0);
    if (ctl->quotes && !ctl->globals.hex && moves_terminal(bytes)) {
        struct buf text;
        buf_init(&text);
        words_quote(&text, slice_make(bytes.data, bytes.len), true);
        printf("%.*s\n", (int)text.size, (const char *)text.blob->data);
        buf_deinit(&text);
        return;
    }
    if (!ctl->globals.hex && bytes.len > 0) fwrite(bytes.data, 1, bytes.len, stdout);
    for (size_t i = 0; ctl->globals.hex && i < bytes.len; i++) printf("\\x%02x", bytes.data[i]);
    putchar('\n');
}

static void put_kv(const struct ctl *ctl, const Mvccpb__KeyValue *kv, bool value_only)
{
    ASSERT(kv != NULL);
    if (!value_only) print_line(ctl, kv->key);
    print_line(ctl, kv->value);
}

static void simple_range(const struct ctl *ctl, const Etcdserverpb__RangeResponse *response)
{
    for (size_t i = 0; i < response->n_kvs; i++) put_kv(ctl, response->kvs[i], ctl->options.print_value_only);
}

static void simple_put(const struct ctl *ctl, const Etcdserverpb__PutResponse *response)
{
    puts("OK");
    if (response->lease != 0) printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s)\n", (uint64_t)response->lease, response->ttl);
    if (response->prev_kv != NULL) put_kv(ctl, response->prev_kv, false);
}

static void simple_del(const struct ctl *ctl, const Etcdserverpb__DeleteRangeResponse *response)
{
    printf("%" PRId64 "\n", response->deleted);
    for (size_t i = 0; i < response->n_prev_kvs; i++) put_kv(ctl, response->prev_kvs[i], false);
}

static void simple_txn(const struct ctl *ctl, const Etcdserverpb__TxnResponse *response)
{
    puts(response->succeeded ? "SUCCESS" : "FAILURE");
    for (size_t i = 0; i < response->n_responses; i++) {
        const Etcdserverpb__ResponseOp *op = response->responses[i];
        putchar('\n');
        switch (op->response_case) {
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE: simple_range(ctl, op->response_range); break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT: simple_put(ctl, op->response_put); break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE: simple_del(ctl, op->response_delete_range); break;
        default: puts("unexpected response"); break;
        }
    }
}

enum ctl_exit print_range(const struct ctl *ctl, const Etcdserverpb__RangeResponse *response)
{
    ASSERT(response != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: simple_range(ctl, response); break;
    case CTL_FIELDS: print_fields_range(response); break;
    case CTL_JSON: print_json_range(response); break;
    case CTL_PROTOBUF: print_message_bytes(&response->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

enum ctl_exit print_put(const struct ctl *ctl, const Etcdserverpb__PutResponse *response)
{
    ASSERT(response != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: simple_put(ctl, response); break;
    case CTL_FIELDS: print_fields_put(response); break;
    case CTL_JSON: print_json_put(response); break;
    case CTL_PROTOBUF: print_message_bytes(&response->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

enum ctl_exit print_del(const struct ctl *ctl, const Etcdserverpb__DeleteRangeResponse *response)
{
    ASSERT(response != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: simple_del(ctl, response); break;
    case CTL_FIELDS: print_fields_del(response); break;
    case CTL_JSON: print_json_del(response); break;
    case CTL_PROTOBUF: print_message_bytes(&response->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

enum ctl_exit print_txn(const struct ctl *ctl, const Etcdserverpb__TxnResponse *response)
{
    ASSERT(response != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: simple_txn(ctl, response); break;
    case CTL_FIELDS: print_fields_txn(response); break;
    case CTL_JSON: print_json_txn(response); break;
    case CTL_PROTOBUF: print_message_bytes(&response->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

const char *print_event_name(const Mvccpb__Event *event) { return event->type == MVCCPB__EVENT__EVENT_TYPE__PUT ? "PUT" : "DELETE"; }

static void simple_watch(const struct ctl *ctl, const Etcdserverpb__WatchResponse *response)
{
    for (size_t i = 0; i < response->n_events; i++) {
        const Mvccpb__Event *event = response->events[i];
        puts(print_event_name(event));
        if (event->prev_kv != NULL) put_kv(ctl, event->prev_kv, false);
        if (event->kv != NULL) put_kv(ctl, event->kv, false);
    }
}

/* What etcdctl's client has of a response: not which watch it is, nor why it ended. */
static void put_watch(const Etcdserverpb__WatchResponse *response)
{
    Etcdserverpb__WatchResponse shown = *response;
    shown.watch_id = 0;
    shown.fragment = 0;
    shown.cancel_reason = NULL;
    print_message_bytes(&shown.base);
}

enum ctl_exit print_watch(const struct ctl *ctl, const Etcdserverpb__WatchResponse *response)
{
    ASSERT(response != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: simple_watch(ctl, response); break;
    case CTL_FIELDS: print_fields_watch(response); break;
    case CTL_JSON: print_json_watch(response); break;
    case CTL_PROTOBUF: put_watch(response); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

const char *print_alarm_name(int32_t type)
{
    static const char *const names[] = {"NONE", "NOSPACE", "CORRUPT"};
    return type >= 0 && type < 3 ? names[type] : "UNKNOWN";
}

static void simple_alarms(const Etcdserverpb__AlarmResponse *response)
{
    for (size_t i = 0; i < response->n_alarms; i++) {
        const Etcdserverpb__AlarmMember *alarm = response->alarms[i];
        ASSERT(alarm != NULL);
        if (alarm->memberid != 0) printf("memberID:%" PRIu64 " ", alarm->memberid);
        printf("alarm:%s \n", print_alarm_name((int32_t)alarm->alarm));
    }
}

enum ctl_exit print_alarms(const struct ctl *ctl, const Etcdserverpb__AlarmResponse *response)
{
    ASSERT(response != NULL);
    switch (ctl->format) {
    case CTL_SIMPLE: simple_alarms(response); break;
    case CTL_FIELDS: print_fields_alarms(response); break;
    case CTL_JSON: print_json_alarms(response); break;
    case CTL_PROTOBUF: print_message_bytes(&response->base); break;
    case CTL_TABLE: return print_message_no_format(ctl);
    }
    return CTL_OK;
}

/* --- tables, and the lines of simple that are their rows -------------------------------------------------------------------- */

static void finish_table(const struct ctl *ctl, struct table *table)
{
    ASSERT(ctl->format == CTL_TABLE || ctl->format == CTL_SIMPLE);
    if (ctl->format == CTL_TABLE)
        table_print(table);
    else
        table_print_lines(table);
    table_deinit(table);
}

/* The texts with commas between them, as one cell. */
static void add_texts(struct table *table, char **texts, size_t count, const char *separator)
{
    struct buf joined;
    buf_init(&joined);
    for (size_t i = 0; i < count; i++) buf_printf(&joined, "%s%s", i == 0 ? "" : separator, texts[i]);
    struct slice text = buf_slice(&joined);
    ASSERT(text.size < INT32_MAX);
    table_add(table, "%.*s", (int)text.size, text.size == 0 ? "" : (const char *)text.data);
    buf_deinit(&joined);
}

enum ctl_exit print_members(const struct ctl *ctl, const Etcdserverpb__MemberListResponse *response)
{
    static const char *const headers[] = {"ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"};
    ASSERT(response != NULL);
    if (ctl->format == CTL_JSON) print_json_members(response);
    if (ctl->format == CTL_FIELDS) print_fields_members(response);
    if (ctl->format == CTL_PROTOBUF) print_message_bytes(&response->base);
    if (ctl->format != CTL_SIMPLE && ctl->format != CTL_TABLE) return CTL_OK;
    struct table table;
    table_init(&table, headers, 6);
    for (size_t i = 0; i < response->n_members; i++) {
        const Etcdserverpb__Member *member = response->members[i];
        table_add(&table, "%" PRIx64, member->id);
        table_add(&table, "%s", member->name[0] == '\0' ? "unstarted" : "started");
        table_add(&table, "%s", member->name);
        add_texts(&table, member->peerurls, member->n_peerurls, ",");
        add_texts(&table, member->clienturls, member->n_clienturls, ",");
        table_add(&table, "%s", member->islearner ? "true" : "false");
    }
    finish_table(ctl, &table);
    return CTL_OK;
}

/* The columns of etcdctl 3.6 in a table; the ten of 3.4 and 3.5 in simple, because scripts count them. */
static void add_status(const struct ctl *ctl, struct table *table, const char *endpoint,
                       const Etcdserverpb__StatusResponse *status)
{
    bool is_table = ctl->format == CTL_TABLE;
    char size[PRINT_TIME_BYTES], in_use[PRINT_TIME_BYTES], quota[PRINT_TIME_BYTES];
    print_format_size((uint64_t)status->dbsize, size);
    print_format_size((uint64_t)status->dbsizeinuse, in_use);
    print_format_size((uint64_t)status->dbsizequota, quota);
    int64_t unused = status->dbsize > 0 ? 100 - 100 * status->dbsizeinuse / status->dbsize : 0;
    uint64_t member_id = status->header == NULL ? 0 : status->header->member_id;
    table_add(table, "%s", endpoint);
    table_add(table, "%" PRIx64, member_id);
    table_add(table, "%s", status->version);
    if (is_table) table_add(table, "%s", status->storageversion);
    table_add(table, "%s", size);
    if (is_table) table_add(table, "%s", in_use);
    if (is_table) table_add(table, "%" PRId64 "%%", unused);
    if (is_table) table_add(table, "%s", quota);
    table_add(table, "%s", member_id != 0 && status->leader == member_id ? "true" : "false");
    table_add(table, "%s", status->islearner ? "true" : "false");
    table_add(table, "%" PRIu64, status->raftterm);
    table_add(table, "%" PRIu64, status->raftindex);
    table_add(table, "%" PRIu64, status->raftappliedindex);
    add_texts(table, status->errors, status->n_errors, ", ");
    const Etcdserverpb__DowngradeInfo *downgrade = status->downgradeinfo;
    if (is_table) table_add(table, "%s", downgrade == NULL ? "" : downgrade->targetversion);
    if (is_table) table_add(table, "%s", downgrade != NULL && downgrade->enabled ? "true" : "false");
}

enum ctl_exit print_statuses(const struct ctl *ctl, const struct print_endpoint *endpoints, size_t count)
{
    static const char *const wide[] = {"ENDPOINT",   "ID",        "VERSION",    "STORAGE VERSION", "DB SIZE",
                                       "IN USE",     "PERCENTAGE NOT IN USE",   "QUOTA",           "IS LEADER",
                                       "IS LEARNER", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS",
                                       "DOWNGRADE TARGET VERSION",              "DOWNGRADE ENABLED"};
    ASSERT(endpoints != NULL);
    if (ctl->format == CTL_PROTOBUF) return print_message_no_format(ctl);
    if (ctl->format == CTL_JSON) print_json_statuses(endpoints, count);
    if (ctl->format == CTL_FIELDS) print_fields_statuses(endpoints, count);
    if (ctl->format == CTL_JSON || ctl->format == CTL_FIELDS) return CTL_OK;
    struct table table;
    table_init(&table, wide, ctl->format == CTL_TABLE ? sizeof wide / sizeof wide[0] : 10);
    for (size_t i = 0; i < count; i++)
        if (endpoints[i].response != NULL)
            add_status(ctl, &table, endpoints[i].endpoint, (const Etcdserverpb__StatusResponse *)endpoints[i].response);
    finish_table(ctl, &table);
    return CTL_OK;
}

enum ctl_exit print_hashes(const struct ctl *ctl, const struct print_endpoint *endpoints, size_t count)
{
    static const char *const headers[] = {"ENDPOINT", "HASH", "HASH REVISION"};
    ASSERT(endpoints != NULL);
    if (ctl->format == CTL_PROTOBUF) return print_message_no_format(ctl);
    if (ctl->format == CTL_JSON) print_json_hashes(endpoints, count);
    if (ctl->format == CTL_FIELDS) print_fields_hashes(endpoints, count);
    if (ctl->format == CTL_JSON || ctl->format == CTL_FIELDS) return CTL_OK;
    struct table table;
    table_init(&table, headers, ctl->format == CTL_TABLE ? 3 : 2);
    for (size_t i = 0; i < count; i++) {
        const Etcdserverpb__HashKVResponse *hash = (const Etcdserverpb__HashKVResponse *)endpoints[i].response;
        if (hash == NULL) continue;
        table_add(&table, "%s", endpoints[i].endpoint);
        table_add(&table, "%" PRIu32, hash->hash);
        if (ctl->format == CTL_TABLE) table_add(&table, "%" PRId64, hash->hash_revision);
    }
    finish_table(ctl, &table);
    return CTL_OK;
}

static void simple_healths(const struct print_endpoint *endpoints, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char took[PRINT_TIME_BYTES];
        print_format_time(endpoints[i].took_ns, took);
        fflush(stdout);
        if (endpoints[i].error[0] == '\0')
            printf("%s is healthy: successfully committed proposal: took = %s\n", endpoints[i].endpoint, took);
        else
            fprintf(stderr, "%s is unhealthy: failed to commit proposal: %s\n", endpoints[i].endpoint, endpoints[i].error);
    }
}

enum ctl_exit print_healths(const struct ctl *ctl, const struct print_endpoint *endpoints, size_t count)
{
    static const char *const headers[] = {"ENDPOINT", "HEALTH", "TOOK", "ERROR"};
    ASSERT(endpoints != NULL);
    if (ctl->format == CTL_PROTOBUF) return print_message_no_format(ctl);
    if (ctl->format == CTL_JSON) print_json_healths(endpoints, count);
    if (ctl->format == CTL_FIELDS) print_fields_healths(endpoints, count);
    if (ctl->format == CTL_SIMPLE) simple_healths(endpoints, count);
    if (ctl->format != CTL_TABLE) return CTL_OK;
    struct table table;
    table_init(&table, headers, 4);
    for (size_t i = 0; i < count; i++) {
        char took[PRINT_TIME_BYTES];
        print_format_time(endpoints[i].took_ns, took);
        table_add(&table, "%s", endpoints[i].endpoint);
        table_add(&table, "%s", endpoints[i].error[0] == '\0' ? "true" : "false");
        table_add(&table, "%s", took);
        table_add(&table, "%s", endpoints[i].error);
    }
    finish_table(ctl, &table);
    return CTL_OK;
}
