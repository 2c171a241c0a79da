/* print_extra: see the header. */
#include "print_extra.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "print_fields.h"
#include "print_json.h"
#include "print_message.h"
#include "quote.h"

#define CELL_BYTES_MAX 64 /* of a key or a value in a table */

static struct slice bytes_of(ProtobufCBinaryData bytes) { return slice_make(bytes.data, bytes.len); }

/* Quoted; in a table what is long is cut and ends with three points. */
static void put_quoted(struct buf *out, ProtobufCBinaryData bytes, bool is_cut)
{
    bool is_long = is_cut && bytes.len > CELL_BYTES_MAX;
    ASSERT(out != NULL);
    quote_put(out, slice_make(bytes.data, is_long ? CELL_BYTES_MAX : bytes.len));
    if (is_long) buf_put_slice(out, slice_from_string("..."));
}

static void add_quoted(struct table *table, ProtobufCBinaryData bytes)
{
    struct buf text;
    buf_init(&text);
    put_quoted(&text, bytes, true);
    table_add(table, "%.*s", (int)text.size, (const char *)text.blob->data);
    buf_deinit(&text);
}

/* --- history ----------------------------------------------------------------------------------------------------------------- */

static const char *const HISTORY_HEADERS[] = {"REVISION", "TYPE", "KEY", "VALUE", "VERSION", "CREATED", "LEASE"};

void print_history_begin(struct print_history *print, const struct ctl *ctl)
{
    *print = (struct print_history){.ctl = ctl};
    json_init(&print->json);
    table_init(&print->table, HISTORY_HEADERS, sizeof HISTORY_HEADERS / sizeof HISTORY_HEADERS[0]);
}

/* "12 PUT", the key and the value; a deletion has no value. */
static void simple_event(const struct ctl *ctl, const Mvccpb__Event *event)
{
    printf("%" PRId64 " %s\n", event->kv->mod_revision, print_event_name(event));
    print_line(ctl, event->kv->key);
    if (event->type == MVCCPB__EVENT__EVENT_TYPE__PUT) print_line(ctl, event->kv->value);
}

static void table_event(struct table *table, const Mvccpb__Event *event)
{
    const Mvccpb__KeyValue *kv = event->kv;
    bool is_put = event->type == MVCCPB__EVENT__EVENT_TYPE__PUT;
    table_add(table, "%" PRId64, kv->mod_revision);
    table_add(table, "%s", print_event_name(event));
    add_quoted(table, kv->key);
    if (is_put) add_quoted(table, kv->value);
    else table_add(table, "%s", "");
    table_add(table, "%" PRId64, kv->version);
    table_add(table, "%" PRId64, kv->create_revision);
    table_add(table, kv->lease == 0 ? "%.0" PRIx64 : "%016" PRIx64, (uint64_t)kv->lease);
}

void print_history_page(struct print_history *print, const Kvd__V1__HistoryResponse *page)
{
    enum ctl_format format = print->ctl->format;
    ASSERT(page->header != NULL);
    if (!print->has_page && format == CTL_FIELDS) print_fields_header(page->header);
    if (!print->has_page && format == CTL_JSON) {
        json_open(&print->json, NULL, '{');
        print_json_header(&print->json, "header", page->header);
        json_i64(&print->json, "compact_revision", page->compact_revision);
        json_open(&print->json, "events", '[');
    }
    print->has_page = true;
    if (format == CTL_PROTOBUF) print_message_bytes(&page->base); /* one behind the other they are one response */
    for (size_t i = 0; i < page->n_events; i++) {
        const Mvccpb__Event *event = page->events[i];
        if (event->kv == NULL) continue;
        switch (format) {
        case CTL_SIMPLE: simple_event(print->ctl, event); break;
        case CTL_FIELDS: print_fields_event(event); break;
        case CTL_JSON: print_json_event(&print->json, event); break;
        case CTL_PROTOBUF: break; /* the page was */
        case CTL_TABLE: table_event(&print->table, event); break;
        }
    }
}

void print_history_end(struct print_history *print, bool is_whole)
{
    ASSERT(print->has_page || !is_whole);
    if (is_whole && print->ctl->format == CTL_TABLE) table_print(&print->table);
    if (is_whole && print->ctl->format == CTL_JSON) {
        json_close(&print->json, ']');
        json_close(&print->json, '}');
        json_print(&print->json);
    }
    json_deinit(&print->json);
    table_deinit(&print->table);
}

/* --- watchers ---------------------------------------------------------------------------------------------------------------- */

static const char *const WATCHERS_HEADERS[] = {"WATCHER", "KEYS", "OPTIONS", "NEXT", "BEHIND", "EVENTS", "BYTES", "CLIENT", "AGE"};

void print_watchers_begin(struct print_watchers *print, const struct ctl *ctl)
{
    *print = (struct print_watchers){.ctl = ctl};
    json_init(&print->json);
    table_init(&print->table, WATCHERS_HEADERS, sizeof WATCHERS_HEADERS / sizeof WATCHERS_HEADERS[0]);
    if (ctl->format == CTL_JSON) json_open(&print->json, NULL, '[');
}

static bool has_filter(const Kvd__V1__Watcher *watcher, Etcdserverpb__WatchCreateRequest__FilterType filter)
{
    for (size_t i = 0; i < watcher->n_filters; i++)
        if (watcher->filters[i] == filter) return true;
    return false;
}

/* "a", "a".."c" (without its end), "a".. (all from there on). */
static void add_keys(struct table *table, const Kvd__V1__Watcher *watcher)
{
    struct buf text;
    bool is_open = watcher->range_end.len == 1 && watcher->range_end.data[0] == 0;
    buf_init(&text);
    put_quoted(&text, watcher->key, true);
    if (watcher->range_end.len > 0) buf_put_slice(&text, slice_from_string(".."));
    if (watcher->range_end.len > 0 && !is_open) put_quoted(&text, watcher->range_end, true);
    table_add(table, "%.*s", (int)text.size, (const char *)text.blob->data);
    buf_deinit(&text);
}

static void add_options(struct table *table, const Kvd__V1__Watcher *watcher)
{
    const struct {
        const char *name;
        bool is_set;
    } options[] = {{"prev-kv", watcher->prev_kv},
                   {"fragment", watcher->fragment},
                   {"progress", watcher->progress_notify},
                   {"no-put", has_filter(watcher, ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT)},
                   {"no-delete", has_filter(watcher, ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE)}};
    struct buf text;
    buf_init(&text);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        ASSERT(options[i].name != NULL);
        if (options[i].is_set) buf_printf(&text, "%s%s", text.size == 0 ? "" : " ", options[i].name);
    }
    table_add(table, "%.*s", (int)text.size, (const char *)buf_slice(&text).data);
    buf_deinit(&text);
}

static void table_watcher(struct table *table, uint64_t member, const Kvd__V1__Watcher *watcher)
{
    table_add(table, "%" PRIx64 "/%" PRIx64 "/%" PRId64, member, watcher->stream, watcher->watch_id);
    add_keys(table, watcher);
    add_options(table, watcher);
    table_add(table, "%" PRId64, watcher->next_revision);
    table_add(table, watcher->behind == 0 ? "live%.0" PRIu64 : "%" PRIu64, watcher->behind);
    table_add(table, "%" PRIu64, watcher->events);
    table_add(table, "%" PRIu64, watcher->sent_bytes);
    table_add(table, "%s%s", watcher->client_address, watcher->is_sending ? " (sending)" : "");
    table_add(table, "%" PRIu64 "s", watcher->age_seconds);
}

static void fields_watcher(const Kvd__V1__Watcher *watcher)
{
    printf("\"Stream\" : %" PRIu64 "\n\"WatchID\" : %" PRId64 "\n", watcher->stream, watcher->watch_id);
    print_fields_bytes("Key", bytes_of(watcher->key));
    print_fields_bytes("RangeEnd", bytes_of(watcher->range_end));
    printf("\"PrevKv\" : %s\n\"Fragment\" : %s\n\"ProgressNotify\" : %s\n", watcher->prev_kv ? "true" : "false",
           watcher->fragment ? "true" : "false", watcher->progress_notify ? "true" : "false");
    for (size_t i = 0; i < watcher->n_filters; i++) printf("\"Filter\" : %d\n", (int)watcher->filters[i]);
    printf("\"NextRevision\" : %" PRId64 "\n\"Behind\" : %" PRIu64 "\n\"Events\" : %" PRIu64 "\n\"SentBytes\" : %" PRIu64 "\n",
           watcher->next_revision, watcher->behind, watcher->events, watcher->sent_bytes);
    print_fields_bytes("ClientAddress", slice_from_string(watcher->client_address));
    printf("\"AgeSeconds\" : %" PRIu64 "\n\"IsSending\" : %s\n", watcher->age_seconds, watcher->is_sending ? "true" : "false");
}

static void json_watcher(struct json *json, const Kvd__V1__Watcher *watcher)
{
    json_open(json, NULL, '{');
    json_number(json, "stream", watcher->stream);
    json_i64(json, "watch_id", watcher->watch_id);
    json_bytes(json, "key", bytes_of(watcher->key));
    json_bytes(json, "range_end", bytes_of(watcher->range_end));
    json_true(json, "prev_kv", watcher->prev_kv);
    json_true(json, "fragment", watcher->fragment);
    json_true(json, "progress_notify", watcher->progress_notify);
    if (watcher->n_filters > 0) json_open(json, "filters", '[');
    for (size_t i = 0; i < watcher->n_filters; i++) json_number(json, NULL, (uint64_t)watcher->filters[i]);
    if (watcher->n_filters > 0) json_close(json, ']');
    json_i64(json, "next_revision", watcher->next_revision);
    json_u64(json, "behind", watcher->behind);
    json_u64(json, "events", watcher->events);
    json_u64(json, "sent_bytes", watcher->sent_bytes);
    json_text(json, "client_address", watcher->client_address);
    json_u64(json, "age_seconds", watcher->age_seconds);
    json_true(json, "is_sending", watcher->is_sending);
    json_close(json, '}');
}

static bool is_told(const struct print_watchers *print, uint64_t member)
{
    for (size_t i = 0; i < print->member_count; i++)
        if (print->members[i] == member) return true;
    return false;
}

/* A member's object is open from its first page to the first of the next one, or the end. */
static void begin_member(struct print_watchers *print, const char *endpoint, const Kvd__V1__WatchersResponse *page)
{
    ASSERT(print->member_count < PRINT_EXTRA_MEMBERS_MAX);
    bool is_first = print->member_count == 0;
    print->members[print->member_count++] = page->header->member_id;
    if (print->ctl->format == CTL_FIELDS) {
        print_fields_header(page->header);
        print_fields_bytes("Endpoint", slice_from_string(endpoint));
        printf("\"Streams\" : %" PRIu64 "\n\"Watchers\" : %" PRIu64 "\n\"WatchersBehind\" : %" PRIu64 "\n", page->stream_count,
               page->watcher_count, page->behind_count);
    }
    if (print->ctl->format != CTL_JSON) return;
    if (!is_first) json_close(&print->json, ']');
    if (!is_first) json_close(&print->json, '}');
    json_open(&print->json, NULL, '{');
    json_text(&print->json, "endpoint", endpoint);
    print_json_header(&print->json, "header", page->header);
    json_u64(&print->json, "stream_count", page->stream_count);
    json_u64(&print->json, "watcher_count", page->watcher_count);
    json_u64(&print->json, "behind_count", page->behind_count);
    json_open(&print->json, "watchers", '[');
}

bool print_watchers_page(struct print_watchers *print, const char *endpoint, const Kvd__V1__WatchersResponse *page, bool is_first)
{
    ASSERT(page->header != NULL);
    if (is_first && is_told(print, page->header->member_id)) return false;
    if (is_first) begin_member(print, endpoint, page);
    for (size_t i = 0; i < page->n_watchers; i++) {
        const Kvd__V1__Watcher *watcher = page->watchers[i];
        switch (print->ctl->format) {
        case CTL_FIELDS: fields_watcher(watcher); break;
        case CTL_JSON: json_watcher(&print->json, watcher); break;
        case CTL_PROTOBUF: break; /* is refused before */
        case CTL_SIMPLE:
        case CTL_TABLE: table_watcher(&print->table, page->header->member_id, watcher); break;
        }
    }
    return true;
}

void print_watchers_end(struct print_watchers *print)
{
    ASSERT(print->ctl != NULL);
    if (print->ctl->format == CTL_SIMPLE) table_print_lines(&print->table);
    if (print->ctl->format == CTL_TABLE) table_print(&print->table);
    if (print->ctl->format == CTL_JSON) {
        if (print->member_count > 0) json_close(&print->json, ']');
        if (print->member_count > 0) json_close(&print->json, '}');
        json_close(&print->json, ']');
        json_print(&print->json);
    }
    json_deinit(&print->json);
    table_deinit(&print->table);
}
