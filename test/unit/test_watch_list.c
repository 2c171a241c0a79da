/* Are watchers told to an operator as they are, each exactly once over all pages whatever comes and goes meanwhile, and is one cancelled as
 * if its client had done it, with a reason? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "kvd/extra.pb-c.h"
#include "lib/kv_rig.h"
#include "watch/watch.h"
#include "watch/watch_list.h"

#define OPEN_END "\x01" /* stands for the byte 0 */

static struct kv_rig rig;
static struct watch *watch;
static uint64_t now_ns;

static const struct mvcc_view *view(void) { return mvcc_view(rig.mvcc); }

static void set_up(void)
{
    kv_rig_init(&rig);
    now_ns = 1000 * NS_PER_S;
    watch = watch_new(&(struct watch_options){.cluster_id = 7, .member_id = 8, .watchers_max = 100000, .key_bytes_max = SIZE_MAX,
                                              .fragment_bytes = 1 << 20, .message_bytes_max = INT32_MAX, .progress_ns = 10 * NS_PER_S,
                                              .hold_bytes_max = 1 << 20, .seed = 1},
                      view());
}

static void tear_down(void)
{
    watch_free(watch);
    kv_rig_deinit(&rig);
}

struct wish {
    const char *key, *range_end;
    int64_t id, start;
    bool prev_kv, fragment, progress_notify, no_put, no_delete;
};

static struct slice end_of(const char *text) { return strcmp(text, OPEN_END) == 0 ? slice_make("", 1) : slice_from_string(text); }

static void create(struct watch_stream *stream, const struct wish *wish)
{
    struct buf body, request;
    buf_init(&body);
    buf_init(&request);
    buf_put_pb_bytes(&body, 1, slice_from_string(wish->key));
    if (wish->range_end != NULL) buf_put_pb_bytes(&body, 2, end_of(wish->range_end));
    buf_put_pb_varint(&body, 3, (uint64_t)wish->start);
    buf_put_pb_varint(&body, 4, wish->progress_notify);
    if (wish->no_put) buf_put_pb_varint(&body, 5, 0);
    if (wish->no_delete) buf_put_pb_varint(&body, 5, 1);
    buf_put_pb_varint(&body, 6, wish->prev_kv);
    buf_put_pb_varint(&body, 7, (uint64_t)wish->id);
    buf_put_pb_varint(&body, 8, wish->fragment);
    buf_put_pb_bytes(&request, 1, buf_slice(&body));
    ck_assert_int_eq(watch_request(watch, stream, buf_slice(&request), view(), now_ns), ERR_OK);
    buf_deinit(&request);
    buf_deinit(&body);
}

static Kvd__V1__WatchersResponse *page(const char *key, const char *range_end, int64_t limit, uint64_t place)
{
    struct buf request, out;
    buf_init(&request);
    buf_init(&out);
    if (key != NULL) buf_put_pb_bytes(&request, 1, slice_from_string(key));
    if (range_end != NULL) buf_put_pb_bytes(&request, 2, end_of(range_end));
    buf_put_pb_varint(&request, 3, (uint64_t)limit);
    buf_put_pb_varint(&request, 4, place);
    ck_assert_int_eq(watch_list_page(watch, buf_slice(&request), view(), now_ns, &out), ERR_OK);
    static const uint8_t nothing[1];
    Kvd__V1__WatchersResponse *response = kvd__v1__watchers_response__unpack(NULL, out.size, out.size == 0 ? nothing : out.blob->data);
    ck_assert_ptr_nonnull(response);
    buf_deinit(&out);
    buf_deinit(&request);
    return response;
}

static size_t count_of(const char *key, const char *range_end)
{
    Kvd__V1__WatchersResponse *response = page(key, range_end, 0, 0);
    size_t count = response->n_watchers;
    ck_assert_uint_eq(response->next, 0);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    return count;
}

/* All frames leave at once; the last response of the stream, or NULL. */
static Etcdserverpb__WatchResponse *deliver(struct watch_stream *stream)
{
    Etcdserverpb__WatchResponse *last = NULL;
    struct watch_frame frame;
    size_t budget = 1000000;
    while (watch_step(watch, view(), 1, 100000, now_ns)) continue;
    while (watch_next(watch, view(), 3, &budget, &frame)) {
        struct buf bytes;
        buf_init(&bytes);
        buf_put_slice(&bytes, frame.head);
        buf_put_slice(&bytes, blob_slice(frame.events));
        if (last != NULL && frame.stream == stream) etcdserverpb__watch_response__free_unpacked(last, NULL);
        if (frame.stream == stream) last = etcdserverpb__watch_response__unpack(NULL, bytes.size, bytes.blob->data);
        buf_deinit(&bytes);
        blob_unref(frame.events);
        watch_sent(watch, frame.stream);
    }
    return last;
}

static void settle(struct watch_stream *stream)
{
    Etcdserverpb__WatchResponse *last = deliver(stream);
    if (last != NULL) etcdserverpb__watch_response__free_unpacked(last, NULL);
}

START_TEST(test_watch_list_tells_a_watcher_as_it_is)
{
    struct watch_stream *stream = watch_open(watch, 0x100000005, slice_from_string("10.0.0.7:4242"));
    create(stream, &(struct wish){.key = "a", .range_end = "c", .id = 77, .prev_kv = true, .fragment = true, .progress_notify = true, .no_delete = true});
    now_ns += 90 * NS_PER_S;
    settle(stream);
    ck_assert_str_ne(kv_rig_put(&rig, "b=hello"), "");
    ck_assert_str_ne(kv_rig_put(&rig, "z=hello"), "");
    Kvd__V1__WatchersResponse *before = page(NULL, NULL, 0, 0);
    ck_assert_int_eq(before->watchers[0]->next_revision, 2);
    ck_assert_uint_eq(before->watchers[0]->behind, 2); /* nobody has looked at the two yet */
    ck_assert_uint_eq(before->watchers[0]->events, 0);
    kvd__v1__watchers_response__free_unpacked(before, NULL);
    Etcdserverpb__WatchResponse *told = deliver(stream);
    ck_assert_uint_eq(told->n_events, 1);
    Kvd__V1__WatchersResponse *response = page(NULL, NULL, 0, 0);
    const Kvd__V1__Watcher *watcher = response->watchers[0];
    ck_assert_uint_eq(response->n_watchers, 1);
    ck_assert_uint_eq(watcher->stream, 0x100000005);
    ck_assert_int_eq(watcher->watch_id, 77);
    ck_assert_mem_eq(watcher->key.data, "a", 1);
    ck_assert_mem_eq(watcher->range_end.data, "c", 1);
    ck_assert(watcher->prev_kv && watcher->fragment && watcher->progress_notify && !watcher->is_sending);
    ck_assert_uint_eq(watcher->n_filters, 1);
    ck_assert_int_eq(watcher->filters[0], ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE);
    ck_assert_int_eq(watcher->next_revision, 4);
    ck_assert_uint_eq(watcher->behind, 0);
    ck_assert_uint_eq(watcher->events, 1);
    ck_assert_uint_eq(watcher->sent_bytes, etcdserverpb__watch_response__get_packed_size(told));
    ck_assert_str_eq(watcher->client_address, "10.0.0.7:4242");
    ck_assert_uint_eq(watcher->age_seconds, 90);
    ck_assert(response->stream_count == 1 && response->watcher_count == 1 && response->behind_count == 0);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    etcdserverpb__watch_response__free_unpacked(told, NULL);
    create(stream, &(struct wish){.key = "f", .id = 5, .start = 100}); /* of the future: live, with nothing to come to yet */
    create(stream, &(struct wish){.key = "p", .range_end = OPEN_END, .id = 6, .start = 2, .no_put = true});
    response = page("p", NULL, 0, 0);
    ck_assert_uint_eq(response->n_watchers, 1);
    ck_assert_uint_eq(response->watchers[0]->range_end.len, 1);
    ck_assert_uint_eq(response->watchers[0]->behind, 2);
    ck_assert_uint_eq(response->behind_count, 1);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    response = page("f", NULL, 0, 0);
    ck_assert_int_eq(response->watchers[0]->next_revision, 100);
    ck_assert_uint_eq(response->watchers[0]->behind, 0);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
}
END_TEST

START_TEST(test_watch_list_finds_who_watches_a_key_or_an_interval)
{
    struct watch_stream *stream = watch_open(watch, 1, slice_empty());
    create(stream, &(struct wish){.key = "b"});
    create(stream, &(struct wish){.key = "b", .range_end = "d"});
    create(stream, &(struct wish){.key = "d", .range_end = OPEN_END});
    create(stream, &(struct wish){.key = "", .range_end = OPEN_END});
    const struct {
        const char *key, *range_end;
        size_t count;
    } cases[] = {{NULL, NULL, 4}, {"a", NULL, 1},     {"b", NULL, 3},     {"bb", NULL, 2},       {"c", NULL, 2}, {"d", NULL, 2},
                 {"zz", NULL, 2}, {"a", "b", 1},      {"a", "ba", 3},     {"c", "d", 2},         {"c", "e", 3},  {"b", OPEN_END, 4},
                 {"d", "e", 2},   {"e", OPEN_END, 2}, {"ba", "bb", 2},    {"\x01", OPEN_END, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(count_of(cases[i].key, cases[i].range_end) == cases[i].count, "case %zu", i);
}
END_TEST

/* Streams that come and go between two pages: who was there all the time is told once, whoever else at most once. */
START_TEST(test_watch_list_tells_each_once_while_others_come_and_go)
{
    enum { STREAMS = 40, EACH = 50, STABLE = 10 };
    struct watch_stream *streams[STREAMS];
    struct rng rng;
    rng_init(&rng, 5);
    for (int round = 0; round < 20; round++) {
        uint32_t told[STREAMS][EACH] = {{0}};
        uint64_t place = 0, pages = 0;
        for (uint64_t i = 0; i < STREAMS; i++) {
            streams[i] = watch_open(watch, i + 1, slice_empty());
            for (int64_t k = 0; k < EACH; k++) create(streams[i], &(struct wish){.key = "k", .id = k + 1});
        }
        do {
            Kvd__V1__WatchersResponse *response = page(NULL, NULL, 1 + (int64_t)rng_below(&rng, 100), place);
            for (size_t i = 0; i < response->n_watchers; i++) {
                uint64_t stream = response->watchers[i]->stream;
                if (stream <= STREAMS) told[stream - 1][response->watchers[i]->watch_id - 1]++;
            }
            place = response->next;
            kvd__v1__watchers_response__free_unpacked(response, NULL);
            size_t at = STABLE + rng_below(&rng, STREAMS - STABLE);
            watch_close(watch, streams[at]);
            streams[at] = watch_open(watch, 1000 + pages++, slice_empty());
            for (uint64_t k = rng_below(&rng, 2 * EACH); k > 0; k--) create(streams[at], &(struct wish){.key = "n"});
        } while (place != 0);
        for (int i = 0; i < STREAMS; i++) {
            for (int k = 0; k < EACH; k++) {
                ck_assert_uint_le(told[i][k], 1);
                if (i < STABLE) ck_assert_uint_eq(told[i][k], 1);
            }
        }
        ck_assert_uint_gt(pages, 20);
        for (int i = 0; i < STREAMS; i++) watch_close(watch, streams[i]);
        ck_assert_uint_eq(count_of(NULL, NULL), 0);
    }
}
END_TEST

/* Ids and keys of their own, on two streams, in any order: whoever is there is found by both, whoever left by none. */
START_TEST(test_watch_list_many_come_and_go_by_id_and_by_key)
{
    enum { MANY = 3000, ROUNDS = 4 };
    struct watch_stream *streams[2] = {watch_open(watch, 1, slice_empty()), watch_open(watch, 2, slice_empty())};
    struct watch_stats stats;
    bool is_there[MANY] = {false};
    char key[32], put[32];
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = 0;
        for (int k = 0; k < MANY; k++) {
            int i = (k * 1237 + round) % MANY; /* a step that visits all */
            int64_t id = (i % 3 == 0 ? -1 : 1) * (int64_t)(i + 1) * 1000003;
            bool leaves = is_there[i] && (i + round) % 2 == 0;
            ck_assert(!watch_cancel(watch, streams[1 - i % 2], id, view(), NULL));
            if (leaves) ck_assert(watch_cancel(watch, streams[i % 2], id, view(), NULL));
            (void)snprintf(key, sizeof key, "key-%04d", i);
            if (!leaves) create(streams[i % 2], &(struct wish){.key = key, .id = id}); /* refused where it is there */
            is_there[i] = !leaves;
            if (k % 50 == 0) settle(streams[0]);
            count += !leaves;
        }
        settle(streams[0]);
        watch_get_stats(watch, &stats);
        ck_assert(stats.watchers == count && stats.key_bytes == count * 8);
        for (int i = 0; i < MANY; i += 100 + round) {
            uint64_t told = stats.events;
            (void)snprintf(put, sizeof put, "key-%04d=v", i);
            ck_assert_str_ne(kv_rig_put(&rig, put), "");
            settle(streams[0]);
            watch_get_stats(watch, &stats);
            ck_assert_uint_eq(stats.events - told, is_there[i]);
        }
    }
    for (int i = 0; i < 2; i++) watch_close(watch, streams[i]);
    watch_get_stats(watch, &stats);
    ck_assert(stats.watchers == 0 && stats.key_bytes == 0);
}
END_TEST

START_TEST(test_watch_list_pages_are_bounded)
{
    struct watch_stream *stream = watch_open(watch, 1, slice_empty());
    for (int i = 0; i < 5000; i++) create(stream, &(struct wish){.key = i < 4500 ? "a" : "b"});
    Kvd__V1__WatchersResponse *response = page(NULL, NULL, INT64_MAX, 0);
    ck_assert_uint_eq(response->n_watchers, WATCH_LIST_LIMIT_MAX);
    ck_assert_uint_eq(response->next, WATCH_LIST_LIMIT_MAX);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    response = page("b", NULL, -1, 0); /* a page without anybody is not the last */
    ck_assert_uint_eq(response->n_watchers, 0);
    ck_assert_uint_eq(response->next, WATCH_LIST_LOOKS_MAX);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    response = page("b", NULL, 0, WATCH_LIST_LOOKS_MAX);
    ck_assert_uint_eq(response->n_watchers, 500);
    ck_assert_uint_eq(response->next, 0);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    response = page(NULL, NULL, 0, UINT64_MAX);
    ck_assert_uint_eq(response->n_watchers, 0);
    ck_assert_uint_eq(response->next, 0);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    char *key = alloc_zero(200 * 1024, 1);
    memset(key, 'x', 200 * 1024 - 1);
    for (int i = 0; i < 3; i++) create(stream, &(struct wish){.key = key});
    response = page("x", OPEN_END, 0, WATCH_LIST_LOOKS_MAX);
    ck_assert_uint_eq(response->n_watchers, 2); /* about 256 KiB */
    ck_assert_uint_eq(response->next, 5002);
    kvd__v1__watchers_response__free_unpacked(response, NULL);
    alloc_free(key);
}
END_TEST

START_TEST(test_watch_list_cancels_one_and_the_client_is_told_why)
{
    struct watch_stream *stream = watch_open(watch, 1, slice_empty());
    create(stream, &(struct wish){.key = "a", .id = 3});
    create(stream, &(struct wish){.key = "a", .id = 4});
    settle(stream);
    ck_assert(watch_cancel(watch, stream, 3, view(), WATCH_LIST_REASON));
    ck_assert(!watch_cancel(watch, stream, 3, view(), WATCH_LIST_REASON));
    ck_assert(!watch_cancel(watch, stream, -1, view(), WATCH_LIST_REASON));
    Etcdserverpb__WatchResponse *told = deliver(stream);
    ck_assert(told->canceled && !told->created && told->n_events == 0);
    ck_assert_int_eq(told->watch_id, 3);
    ck_assert_int_eq(told->compact_revision, 0);
    ck_assert_str_eq(told->cancel_reason, WATCH_LIST_REASON);
    etcdserverpb__watch_response__free_unpacked(told, NULL);
    ck_assert_str_ne(kv_rig_put(&rig, "a=1"), "");
    told = deliver(stream);
    ck_assert_int_eq(told->watch_id, 4);
    ck_assert_uint_eq(told->n_events, 1);
    etcdserverpb__watch_response__free_unpacked(told, NULL);
    create(stream, &(struct wish){.key = "b", .id = 3}); /* the id is free again */
    ck_assert_uint_eq(count_of("b", NULL), 1);
}
END_TEST

START_TEST(test_watch_list_what_is_no_request_is_refused)
{
    static const char *const bad[] = {"\x0a\x05q", "\x08\x01", "\x1a\x01x", "\x22\x01x", "\x0b"};
    struct watch_list_cancel cancel;
    struct buf out;
    buf_init(&out);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(watch_list_page(watch, slice_from_string(bad[i]), view(), now_ns, &out), ERR_MALFORMED);
    ck_assert_uint_eq(buf_slice(&out).size, 0);
    ck_assert_int_eq(watch_list_parse_cancel(slice_from_string("\x0a\x01x"), &cancel), ERR_MALFORMED);
    ck_assert_int_eq(watch_list_parse_cancel(slice_from_string("\x08"), &cancel), ERR_MALFORMED);
    ck_assert_int_eq(watch_list_parse_cancel(slice_from_string("\x08\x09\x10\x05\x18\x07\x3a\x01x"), &cancel), ERR_OK);
    ck_assert(cancel.member_id == 9 && cancel.stream == 5 && cancel.watch_id == 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch_list");
    TCase *tcase = tcase_create("list");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_watch_list_tells_a_watcher_as_it_is);
    tcase_add_test(tcase, test_watch_list_finds_who_watches_a_key_or_an_interval);
    tcase_add_test(tcase, test_watch_list_tells_each_once_while_others_come_and_go);
    tcase_add_test(tcase, test_watch_list_many_come_and_go_by_id_and_by_key);
    tcase_add_test(tcase, test_watch_list_pages_are_bounded);
    tcase_add_test(tcase, test_watch_list_cancels_one_and_the_client_is_told_why);
    tcase_add_test(tcase, test_watch_list_what_is_no_request_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
