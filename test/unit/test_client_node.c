/* Does every typed call of libkvd-client mean what the server means by it, and do watches, keepers and locks work? One whole member runs in
 * the test's process (lib/node_rig.h), with a thread that is its main. What members do that die is test/integration/test_client.py's. */
#include "client/kvd/client.h"
#include "lib/node_rig.h"

static struct node_rig rig;
static atomic_bool stops;
static pthread_t main_thread;
static struct kvd_client *client;

static void *be_main(void *context)
{
    while (!atomic_load(&stops)) {
        node_rig_turn(context);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return NULL;
}

static struct kvd_client *connect_client(void)
{
    char endpoint[64], text[256] = "";
    const char *endpoints[] = {endpoint};
    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", node_rig_port(&rig, 0));
    struct kvd_client *made = kvd_client_new(&(struct kvd_client_options){.endpoints = endpoints, .endpoint_count = 1}, text, sizeof text);
    ck_assert_msg(made != NULL, "%s", text);
    return made;
}

static void set_up(void)
{
    rpc_process_init();
    node_rig_init(&rig, 1);
    rig.members[0].config.watch_message_bytes_max = 1 << 20;
    node_rig_start(&rig, 0);
    node_rig_wait_ready(&rig);
    atomic_store(&stops, false);
    pthread_create(&main_thread, NULL, be_main, &rig);
    client = connect_client();
}

static void tear_down(void)
{
    kvd_client_free(client);
    atomic_store(&stops, true);
    pthread_join(main_thread, NULL);
    rig_client_close(&rig.members[0].client);
    node_stop(rig.members[0].node, 1500 * NS_PER_MS);
    node_rig_close(&rig, 0);
    node_rig_deinit(&rig);
    rpc_process_deinit();
}

static struct kvd_result *ask(struct kvd_request *request)
{
    struct kvd_result *result = kvd_call(client, request, NULL);
    ck_assert_msg(result->code == KVD_OK, "code %d: %s", (int)result->code, result->text);
    return result;
}

static int64_t put(const char *key, const char *value)
{
    struct kvd_result *result = ask(kvd_put(kvd_text(key), kvd_text(value), NULL));
    int64_t revision = result->header.revision;
    kvd_result_free(result);
    return revision;
}

static void check_refused(struct kvd_request *request, enum kvd_code code)
{
    struct kvd_result *result = kvd_call(client, request, NULL);
    ck_assert_msg(result->code == code, "code %d: %s", (int)result->code, result->text);
    ck_assert(!result->is_unknown && result->text[0] != '\0' && result->pair_count == 0);
    kvd_result_free(result);
}

static void check_bytes(struct kvd_bytes bytes, const char *text)
{
    ck_assert_msg(bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0, "%.*s is not %s", (int)bytes.size,
                  (const char *)bytes.data, text);
}

START_TEST(test_client_reads_what_it_wrote)
{
    int64_t first = put("a/1", "one"), second = put("a/2", "two"), third = put("b", "three");
    ck_assert(first < second && second < third);
    struct kvd_result *result = ask(kvd_get(kvd_text("a/2")));
    ck_assert(result->pair_count == 1 && result->count == 1 && !result->has_more && result->header.revision == third);
    ck_assert(result->pairs[0].mod_revision == second && result->pairs[0].create_revision == second && result->pairs[0].version == 1);
    check_bytes(result->pairs[0].key, "a/2");
    check_bytes(result->pairs[0].value, "two");
    kvd_result_free(result);
    result = ask(kvd_range(kvd_text("a/"), &(struct kvd_range_options){.is_prefix = true, .limit = 1, .order = KVD_SORT_DESCEND}));
    ck_assert(result->pair_count == 1 && result->count == 2 && result->has_more);
    check_bytes(result->pairs[0].key, "a/2");
    kvd_result_free(result);
    result = ask(kvd_range(kvd_text(""), &(struct kvd_range_options){.is_from_key = true, .keys_only = true, .revision = second}));
    ck_assert(result->pair_count == 2 && result->pairs[1].value.size == 0);
    kvd_result_free(result);
    result = ask(kvd_range(kvd_text("a"), &(struct kvd_range_options){.range_end = kvd_text("c"), .count_only = true, .serializable = true}));
    ck_assert(result->pair_count == 0 && result->count == 3);
    kvd_result_free(result);
    result = ask(kvd_put(kvd_text("b"), kvd_text("four"), &(struct kvd_put_options){.previous = true}));
    ck_assert_uint_eq(result->pair_count, 1);
    check_bytes(result->pairs[0].value, "three");
    kvd_result_free(result);
    result = ask(kvd_delete(kvd_text(""), &(struct kvd_delete_options){.is_prefix = true, .previous = true}));
    ck_assert(result->count == 3 && result->pair_count == 3);
    check_bytes(result->pairs[2].value, "four");
    kvd_result_free(result);
    check_refused(kvd_put(kvd_text(""), kvd_text("x"), NULL), KVD_INVALID_ARGUMENT);
    check_refused(kvd_range(kvd_text("a"), &(struct kvd_range_options){.revision = 1000}), KVD_OUT_OF_RANGE);
}
END_TEST

START_TEST(test_client_transactions_decide_and_answer_in_order)
{
    int64_t revision = put("k", "1");
    struct kvd_request *txn = kvd_txn(), *inner = kvd_txn();
    kvd_txn_if(txn, kvd_if_mod(kvd_text("k"), KVD_EQUAL, revision));
    kvd_txn_if(txn, kvd_if_create(kvd_text("missing"), KVD_EQUAL, 0));
    kvd_txn_if(txn, kvd_if_value(kvd_text("k"), KVD_LESS, kvd_text("2")));
    kvd_txn_then(txn, kvd_put(kvd_text("k"), kvd_text("2"), &(struct kvd_put_options){.previous = true}));
    kvd_txn_if(inner, kvd_if(kvd_text("k"), KVD_COMPARE_VERSION, KVD_GREATER, 5));
    kvd_txn_else(inner, kvd_get(kvd_text("k")));
    kvd_txn_then(txn, inner);
    kvd_txn_then(txn, kvd_delete(kvd_text("nothing"), NULL));
    kvd_txn_else(txn, kvd_get(kvd_text("k")));
    struct kvd_result *result = ask(txn);
    ck_assert(result->succeeded && result->result_count == 3);
    check_bytes(result->results[0].pairs[0].value, "1");
    ck_assert(!result->results[1].succeeded && result->results[1].result_count == 1);
    check_bytes(result->results[1].results[0].pairs[0].value, "2");
    ck_assert(result->results[2].count == 0 && result->results[2].header.revision == result->header.revision);
    kvd_result_free(result);
    txn = kvd_txn();
    kvd_txn_if(txn, kvd_if_mod(kvd_text("k"), KVD_EQUAL, revision));
    kvd_txn_else(txn, kvd_get(kvd_text("k")));
    result = ask(txn);
    ck_assert(!result->succeeded && result->result_count == 1 && result->results[0].pair_count == 1);
    kvd_result_free(result);
    kvd_result_free(ask(kvd_txn()));
}
END_TEST

START_TEST(test_client_leases_and_puts_with_a_ttl)
{
    struct kvd_result *granted = ask(kvd_grant(100, 0));
    ck_assert(granted->lease != 0 && granted->ttl == 100 && granted->granted_ttl == 100);
    kvd_result_free(ask(kvd_put(kvd_text("of/lease"), kvd_text(""), &(struct kvd_put_options){.lease = granted->lease})));
    for (int i = 0; i < 3; i++) {
        struct kvd_result *result = ask(kvd_put(kvd_text("of/ttl"), kvd_text("v"), &(struct kvd_put_options){.ttl = 50}));
        ck_assert(result->lease != 0 && result->ttl == 50 && !result->has_two_steps && result->attempts == 1);
        kvd_result_free(result);
    }
    struct kvd_request *txn = kvd_txn();
    kvd_txn_then(txn, kvd_put(kvd_text("of/txn"), kvd_text("v"), &(struct kvd_put_options){.ttl = 40}));
    struct kvd_result *result = ask(txn);
    ck_assert(result->results[0].lease != 0 && result->results[0].ttl == 40);
    kvd_result_free(result);
    result = ask(kvd_time_to_live(granted->lease, true));
    ck_assert(result->ttl > 90 && result->granted_ttl == 100 && result->key_count == 1);
    check_bytes(result->keys[0], "of/lease");
    kvd_result_free(result);
    result = ask(kvd_leases());
    ck_assert_uint_eq(result->lease_count, 5);
    kvd_result_free(result);
    kvd_result_free(ask(kvd_revoke(granted->lease)));
    check_refused(kvd_revoke(granted->lease), KVD_NOT_FOUND);
    result = ask(kvd_time_to_live(granted->lease, false));
    ck_assert_int_eq(result->ttl, -1);
    kvd_result_free(result);
    kvd_result_free(granted);
}
END_TEST

START_TEST(test_client_status_members_history_and_compaction)
{
    for (int i = 0; i < 5; i++) put("h", i % 2 == 0 ? "even" : "odd");
    struct kvd_result *result = ask(kvd_delete(kvd_text("h"), NULL));
    int64_t last = result->header.revision;
    kvd_result_free(result);
    result = kvd_call(client, kvd_status(), &(struct kvd_call_options){.endpoint = 1});
    ck_assert(result->code == KVD_OK && result->status != NULL && result->status->leader == result->header.member_id);
    ck_assert(result->status->version.size > 0 && result->status->raft_index > 0 && !result->status->is_learner);
    kvd_result_free(result);
    result = ask(kvd_members(true));
    ck_assert(result->member_count == 1 && result->members[0].peer_url_count == 1 && result->members[0].client_url_count == 1);
    check_bytes(result->members[0].name, "m0");
    kvd_result_free(result);
    result = ask(kvd_history(kvd_text("h"), &(struct kvd_history_options){.limit = 4}));
    ck_assert(result->event_count == 4 && result->next.size > 0 && result->events[0].type == KVD_EVENT_DELETE);
    struct kvd_result *rest = ask(kvd_history(kvd_text("h"), &(struct kvd_history_options){.limit = 4, .token = result->next}));
    ck_assert(rest->event_count == 2 && rest->next.size == 0 && rest->events[1].pair.version == 1);
    kvd_result_free(rest);
    kvd_result_free(result);
    kvd_result_free(ask(kvd_compact(last, true)));
    check_refused(kvd_compact(last, false), KVD_OUT_OF_RANGE);
    check_refused(kvd_range(kvd_text("h"), &(struct kvd_range_options){.revision = last - 1}), KVD_OUT_OF_RANGE);
}
END_TEST

START_TEST(test_client_pages_are_of_one_revision)
{
    char key[16];
    for (int i = 0; i < 250; i++) {
        snprintf(key, sizeof key, "p/%03d", i);
        put(key, "v");
    }
    struct kvd_pages *pages = kvd_pages_new(kvd_text("p/"), &(struct kvd_range_options){.is_prefix = true, .limit = 100});
    unsigned page_count = 0, count = 0;
    for (struct kvd_result *page; (page = kvd_pages_next(client, pages, NULL)) != NULL; kvd_result_free(page)) {
        ck_assert_msg(page->code == KVD_OK, "%s", page->text);
        for (size_t i = 0; i < page->pair_count; i++) {
            snprintf(key, sizeof key, "p/%03u", count++);
            check_bytes(page->pairs[i].key, key);
        }
        page_count++;
        put("p/999", "later");
        kvd_result_free(ask(kvd_delete(kvd_text("p/2"), &(struct kvd_delete_options){.is_prefix = true})));
    }
    ck_assert(page_count == 3 && count == 250);
    kvd_pages_free(pages);
    pages = kvd_pages_new(kvd_text("p/"), &(struct kvd_range_options){.target = KVD_SORT_MOD});
    struct kvd_result *refused = kvd_pages_next(client, pages, NULL);
    ck_assert_int_eq((int)refused->code, KVD_INVALID);
    kvd_result_free(refused);
    ck_assert_ptr_null(kvd_pages_next(client, pages, NULL));
    kvd_pages_free(pages);
}
END_TEST

/* ---- watches ---- */
static const struct kvd_news *next_news(struct kvd_watch *watch)
{
    const struct kvd_news *news = NULL;
    enum kvd_code code = kvd_watch_next(watch, 20000, &news);
    ck_assert_msg(news != NULL && news->code == code, "code %d", (int)code);
    return news;
}

START_TEST(test_client_watch_gives_every_change_in_order)
{
    struct kvd_watch *watch = NULL;
    const struct kvd_news *news = NULL;
    int64_t first = put("w/a", "0");
    struct kvd_watch_options options = {.is_prefix = true, .start_revision = first, .previous = true};
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("w/"), &options, NULL, NULL, &watch), KVD_OK);
    char value[16];
    for (int i = 1; i < 200; i++) {
        snprintf(value, sizeof value, "%d", i);
        put("w/a", value);
        put("other", value);
    }
    for (int i = 0; i < 200;) {
        news = next_news(watch);
        ck_assert_int_eq((int)news->code, KVD_OK);
        for (size_t k = 0; k < news->event_count; k++, i++) {
            snprintf(value, sizeof value, "%d", i);
            check_bytes(news->events[k].pair.value, value);
            ck_assert(news->events[k].pair.mod_revision == first + 2 * (int64_t)i - (i > 0) && news->events[k].has_previous == (i > 0));
        }
    }
    ck_assert_int_eq((int)kvd_watch_next(watch, 30, &news), KVD_DEADLINE_EXCEEDED);
    ck_assert_ptr_null(news);
    ck_assert_int_eq((int)kvd_watch_ask_progress(watch), KVD_OK);
    news = next_news(watch);
    ck_assert(news->event_count == 0 && news->code == KVD_OK && news->header.revision >= first + 398);
    kvd_result_free(ask(kvd_delete(kvd_text("w/a"), NULL)));
    news = next_news(watch);
    ck_assert(news->event_count == 1 && news->events[0].type == KVD_EVENT_DELETE && news->events[0].pair.version == 0);
    check_bytes(news->events[0].previous.value, "199");
    kvd_watch_close(watch);
}
END_TEST

START_TEST(test_client_watch_of_what_is_compacted_says_so)
{
    struct kvd_watch *watch = NULL;
    int64_t last = 0;
    for (int i = 0; i < 5; i++) last = put("c", "v");
    kvd_result_free(ask(kvd_compact(last, false)));
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("c"), &(struct kvd_watch_options){.start_revision = 2}, NULL, NULL, &watch), KVD_OK);
    for (int i = 0; i < 2; i++) { /* and says it again */
        const struct kvd_news *news = next_news(watch);
        ck_assert(news->code == KVD_OUT_OF_RANGE && news->compact_revision == last && news->event_count == 0);
        ck_assert_str_eq(news->text, err_text(ERR_COMPACTED));
    }
    kvd_watch_close(watch);
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("c"), &(struct kvd_watch_options){.is_prefix = true, .is_from_key = true}, NULL, NULL,
                                         &watch), KVD_INVALID);
}
END_TEST

/* 15 values of 90,000 bytes that one revision deletes: with them it is more than a message of this member may hold. */
START_TEST(test_client_watch_that_a_revision_is_too_large_for_ends)
{
    struct kvd_watch *with_previous = NULL, *without = NULL;
    struct kvd_watch_options options = {.is_prefix = true, .previous = true};
    char key[32], *value = alloc_zero(1, 90001);
    memset(value, 'v', 90000);
    for (int i = 0; i < 15; i++) {
        snprintf(key, sizeof key, "large/%02d", i);
        put(key, value);
    }
    alloc_free(value);
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("large/"), &options, NULL, NULL, &with_previous), KVD_OK);
    options.previous = false;
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("large/"), &options, NULL, NULL, &without), KVD_OK);
    for (int i = 0; i < 2; i++) { /* both are there */
        ck_assert_int_eq((int)kvd_watch_ask_progress(i == 0 ? with_previous : without), KVD_OK);
        ck_assert_int_eq((int)next_news(i == 0 ? with_previous : without)->code, KVD_OK);
    }
    kvd_result_free(ask(kvd_delete(kvd_text("large/"), &(struct kvd_delete_options){.is_prefix = true})));
    const struct kvd_news *news = next_news(with_previous);
    ck_assert_msg(news->code == KVD_RESOURCE_EXHAUSTED && news->event_count == 0, "code %d", (int)news->code);
    ck_assert_str_eq(news->text, err_text(ERR_WATCH_TOO_LARGE));
    news = next_news(without);
    ck_assert(news->code == KVD_OK && news->event_count == 15);
    kvd_watch_close(with_previous);
    kvd_watch_close(without);
}
END_TEST

struct seen {
    struct kvd_watch *watch;
    atomic_uint count;
    unsigned close_at, pause_at, enough_at;
};

static enum kvd_more on_news(void *context, const struct kvd_news *news)
{
    struct seen *seen = context;
    unsigned count = atomic_fetch_add(&seen->count, (unsigned)news->event_count) + (unsigned)news->event_count;
    if (count == seen->close_at) kvd_watch_close(seen->watch);
    return count == seen->pause_at ? KVD_PAUSE : count == seen->enough_at ? KVD_ENOUGH : KVD_MORE;
}

static void wait_for(atomic_uint *counter, unsigned count)
{
    for (int i = 0; i < 20000 && atomic_load(counter) < count; i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_uint_ge(atomic_load(counter), count);
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); }

/* One put at a time, so that each is a message of its own. */
static void put_and_wait(struct seen *seen, unsigned count)
{
    put("x", "v");
    wait_for(&seen->count, count);
}

START_TEST(test_client_watch_call_backs_may_close_it)
{
    struct seen self = {.close_at = 5}, other = {.close_at = 0};
    struct kvd_watch_options options = {.start_revision = put("x", "0")};
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("x"), &options, on_news, &self, &self.watch), KVD_OK);
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("x"), &options, on_news, &other, &other.watch), KVD_OK);
    wait_for(&self.count, 1);
    for (unsigned i = 2; i <= 5; i++) put_and_wait(&self, i);
    for (unsigned i = 6; i <= 10; i++) put_and_wait(&other, i);
    kvd_watch_close(other.watch);
    put("x", "v");
    ck_assert_uint_eq(atomic_load(&self.count), 5);
    ck_assert_uint_eq(atomic_load(&other.count), 10);
}
END_TEST

START_TEST(test_client_watch_is_held_up_and_ends_when_there_was_enough)
{
    struct seen held = {.pause_at = 2}, few = {.enough_at = 2};
    struct kvd_watch_options options = {.start_revision = put("x", "0")};
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("x"), &options, on_news, &held, &held.watch), KVD_OK);
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("x"), &options, on_news, &few, &few.watch), KVD_OK);
    wait_for(&held.count, 1);
    wait_for(&few.count, 1);
    put_and_wait(&held, 2);
    for (int i = 0; i < 20; i++) put("x", "v");
    nap();
    ck_assert_uint_eq(atomic_load(&held.count), 2);
    ck_assert_int_eq((int)kvd_watch_resume(held.watch), KVD_OK);
    wait_for(&held.count, 22);
    ck_assert_uint_eq(atomic_load(&few.count), 2);
    kvd_watch_close(held.watch);
    kvd_watch_close(few.watch);
}
END_TEST

START_TEST(test_client_what_is_open_has_a_limit)
{
    struct kvd_watch *watches[256];
    struct kvd_keeper *keeper = NULL;
    for (int i = 0; i < 256; i++) ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("many"), NULL, NULL, NULL, &watches[i]), KVD_OK);
    ck_assert_int_eq((int)kvd_keeper_open(client, 5, 5, NULL, NULL, &keeper), KVD_BUSY);
    for (int i = 0; i < 256; i++) kvd_watch_close(watches[i]);
    ck_assert_int_eq((int)kvd_keeper_open(client, 5, 5, NULL, NULL, &keeper), KVD_OK);
    kvd_keeper_close(keeper);
}
END_TEST

/* ---- leases ---- */
struct renewals {
    atomic_uint count, ends;
    atomic_int state;
};

static void on_renewal(void *context, const struct kvd_keeper_news *news)
{
    struct renewals *renewals = context;
    atomic_store(&renewals->state, (int)news->state);
    if (news->state == KVD_KEEPER_RUNS) atomic_fetch_add(&renewals->count, 1);
    else atomic_fetch_add(&renewals->ends, 1);
}

START_TEST(test_client_keeps_a_lease_alive_until_it_is_revoked)
{
    struct kvd_keeper *keeper = NULL;
    struct renewals renewals = {.count = 0};
    struct kvd_result *granted = ask(kvd_grant(2, 0));
    ck_assert_int_eq((int)kvd_keeper_open(client, granted->lease, granted->ttl, on_renewal, &renewals, &keeper), KVD_OK);
    wait_for(&renewals.count, 4); /* beyond its TTL */
    struct kvd_result *left = ask(kvd_time_to_live(granted->lease, false));
    ck_assert(left->ttl >= 0 && kvd_keeper_state_of(keeper) == KVD_KEEPER_RUNS);
    kvd_result_free(left);
    kvd_result_free(ask(kvd_revoke(granted->lease)));
    wait_for(&renewals.ends, 1);
    ck_assert_int_eq(atomic_load(&renewals.state), KVD_KEEPER_GONE);
    ck_assert_int_eq((int)kvd_keeper_state_of(keeper), KVD_KEEPER_GONE);
    kvd_keeper_close(keeper);
    kvd_result_free(granted);
}
END_TEST

/* ---- locks ---- */
#define WORKERS 4
#define ROUNDS 5
static atomic_int holders;
static atomic_uint held;

static void *work(void *context)
{
    struct kvd_client *own = context;
    for (int i = 0; i < ROUNDS; i++) {
        struct kvd_lock *lock = NULL;
        ck_assert_int_eq((int)kvd_lock_open(own, kvd_text("lock"), NULL, NULL, NULL, &lock), KVD_OK);
        ck_assert_int_eq((int)kvd_lock_wait(lock, 30000), KVD_OK);
        ck_assert_int_eq(atomic_fetch_add(&holders, 1), 0);
        struct kvd_request *txn = kvd_txn();
        kvd_txn_if(txn, kvd_lock_fence(lock));
        kvd_txn_then(txn, kvd_put(kvd_text("guarded"), kvd_text("v"), NULL));
        struct kvd_result *result = kvd_call(own, txn, NULL);
        ck_assert(result->code == KVD_OK && result->succeeded);
        kvd_result_free(result);
        atomic_fetch_add(&held, 1);
        ck_assert_int_eq(atomic_fetch_sub(&holders, 1), 1);
        ck_assert_int_eq((int)kvd_lock_close(lock), KVD_OK);
    }
    return NULL;
}

START_TEST(test_client_locks_exclude_one_another)
{
    pthread_t threads[WORKERS];
    struct kvd_client *second = connect_client();
    atomic_store(&holders, 0);
    atomic_store(&held, 0);
    for (int i = 0; i < WORKERS; i++) pthread_create(&threads[i], NULL, work, i % 2 == 0 ? client : second);
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&held), WORKERS * ROUNDS);
    struct kvd_result *left = ask(kvd_range(kvd_text("lock/"), &(struct kvd_range_options){.is_prefix = true}));
    ck_assert_uint_eq(left->pair_count, 0);
    kvd_result_free(left);
    left = ask(kvd_leases());
    ck_assert_uint_eq(left->lease_count, 0);
    kvd_result_free(left);
    kvd_client_free(second);
}
END_TEST

struct lock_seen {
    atomic_uint held, lost;
    atomic_int code;
};

static void on_lock(void *context, const struct kvd_lock_news *news)
{
    struct lock_seen *seen = context;
    atomic_store(&seen->code, (int)news->code);
    if (news->state == KVD_LOCK_HELD) atomic_fetch_add(&seen->held, 1);
    if (news->state == KVD_LOCK_LOST) atomic_fetch_add(&seen->lost, 1);
}

START_TEST(test_client_lock_is_lost_with_its_lease_or_key_and_goes_to_the_next)
{
    struct lock_seen seen[3] = {{.held = 0}};
    struct kvd_lock *locks[3];
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq((int)kvd_lock_open(client, kvd_text("q"), &(struct kvd_lock_options){.value = kvd_text("me")}, on_lock, &seen[i], &locks[i]),
                         KVD_OK);
        if (i == 0) wait_for(&seen[0].held, 1);
    }
    ck_assert_int_eq((int)kvd_lock_wait(locks[1], 50), KVD_DEADLINE_EXCEEDED);
    ck_assert_int_eq((int)kvd_lock_state_of(locks[1]), KVD_LOCK_WAITS);
    kvd_result_free(ask(kvd_delete(kvd_lock_key(locks[0]), NULL)));
    wait_for(&seen[0].lost, 1);
    ck_assert_int_eq(atomic_load(&seen[0].code), KVD_NOT_FOUND);
    struct kvd_request *txn = kvd_txn();
    kvd_txn_if(txn, kvd_lock_fence(locks[0]));
    struct kvd_result *fenced = ask(txn);
    ck_assert(!fenced->succeeded);
    kvd_result_free(fenced);
    for (int i = 0; i < 20000 && atomic_load(&seen[1].held) + atomic_load(&seen[2].held) == 0; i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    int now = atomic_load(&seen[1].held) == 1 ? 1 : 2;
    ck_assert_uint_eq(atomic_load(&seen[1].held) + atomic_load(&seen[2].held), 1);
    kvd_result_free(ask(kvd_revoke(kvd_lock_lease(locks[now]))));
    wait_for(&seen[now].lost, 1);
    wait_for(&seen[3 - now].held, 1);
    ck_assert_int_eq((int)kvd_lock_wait(locks[now], 0), KVD_NOT_FOUND);
    for (int i = 0; i < 3; i++) ck_assert_int_eq((int)kvd_lock_close(locks[i]), KVD_OK);
}
END_TEST

/* ---- elections ---- */
struct terms {
    char values[16][16]; /* of who led, in turn; "" = nobody */
    atomic_uint count;
    struct kvd_observer *observer;
    unsigned close_at;
};

static void on_leader(void *context, const struct kvd_leader_news *news)
{
    struct terms *terms = context;
    unsigned place = atomic_load(&terms->count);
    ck_assert_msg(news->code == KVD_OK, "%s", news->text);
    ck_assert_uint_lt(place, 16);
    ck_assert_int_gt(news->header.revision, 0);
    if (news->leader != NULL) snprintf(terms->values[place], 16, "%.*s", (int)news->leader->value.size, (const char *)news->leader->value.data);
    if (place + 1 == terms->close_at) kvd_observer_close(terms->observer);
    atomic_fetch_add(&terms->count, 1);
}

static struct kvd_lock *campaign(const char *value)
{
    struct kvd_lock *lock = NULL;
    const struct kvd_lock_options options = {.value = kvd_text(value)};
    ck_assert_int_eq((int)kvd_lock_open(client, kvd_text("e"), &options, NULL, NULL, &lock), KVD_OK);
    return lock;
}

static bool proclaims(struct kvd_lock *lock, const char *value)
{
    struct kvd_result *result = ask(kvd_proclaim(lock, kvd_text(value)));
    bool succeeded = result->succeeded;
    ck_assert_msg(result->code == KVD_OK, "%s", result->text);
    kvd_result_free(result);
    return succeeded;
}

static void check_leader(const char *value)
{
    struct kvd_result *result = ask(kvd_leader(kvd_text("e")));
    ck_assert_uint_eq(result->pair_count, value == NULL ? 0 : 1);
    if (value != NULL) ck_assert(slice_equal(slice_make(result->pairs[0].value.data, result->pairs[0].value.size), slice_from_string(value)));
    kvd_result_free(result);
}

START_TEST(test_client_elections_are_observed_through)
{
    static const char *const expected[] = {"", "one", "uno", "two", "", "three"};
    struct terms all = {.close_at = 0}, few = {.close_at = 2};
    check_leader(NULL);
    ck_assert_int_eq((int)kvd_observer_open(client, kvd_text("e"), on_leader, &all, &all.observer), KVD_OK);
    ck_assert_int_eq((int)kvd_observer_open(client, kvd_text("e"), on_leader, &few, &few.observer), KVD_OK);
    wait_for(&all.count, 1);
    struct kvd_lock *first = campaign("one");
    ck_assert_int_eq((int)kvd_lock_wait(first, 30000), KVD_OK);
    ck_assert_int_ge(kvd_lock_header(first).revision, kvd_lock_revision(first));
    wait_for(&all.count, 2);
    struct kvd_lock *second = campaign("two");
    ck_assert_int_eq((int)kvd_lock_wait(second, 50), KVD_DEADLINE_EXCEEDED);
    check_leader("one");
    ck_assert(proclaims(first, "uno"));
    wait_for(&all.count, 3);
    check_leader("uno");
    kvd_result_free(ask(kvd_put(kvd_lock_key(first), kvd_text("uno"), NULL))); /* without its lease: it goes all the same */
    wait_for(&all.count, 4);
    ck_assert_int_eq((int)kvd_lock_close(first), KVD_OK);
    ck_assert_int_eq((int)kvd_lock_wait(second, 30000), KVD_OK);
    wait_for(&all.count, 5);
    kvd_result_free(ask(kvd_revoke(kvd_lock_lease(second))));
    wait_for(&all.count, 6);
    ck_assert(!proclaims(second, "dos"));
    ck_assert_int_eq((int)kvd_lock_close(second), KVD_OK);
    check_leader(NULL);
    struct kvd_lock *third = campaign("three");
    wait_for(&all.count, 7);
    kvd_observer_close(all.observer);
    ck_assert_int_eq((int)kvd_lock_close(third), KVD_OK);
    for (unsigned i = 0, k = 0; i < 7; i++) {
        if (i == 3) ck_assert_str_eq(all.values[i], "uno"); /* the put of the same value */
        else ck_assert_str_eq(all.values[i], expected[k++]);
    }
    ck_assert_uint_eq(atomic_load(&few.count), 2);
    ck_assert_int_eq((int)kvd_observer_open(client, kvd_text("e"), NULL, NULL, &all.observer), KVD_INVALID);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_node");
    TCase *calls = tcase_create("calls");
    tcase_add_checked_fixture(calls, set_up, tear_down);
    tcase_set_timeout(calls, 60);
    tcase_add_test(calls, test_client_reads_what_it_wrote);
    tcase_add_test(calls, test_client_transactions_decide_and_answer_in_order);
    tcase_add_test(calls, test_client_leases_and_puts_with_a_ttl);
    tcase_add_test(calls, test_client_status_members_history_and_compaction);
    tcase_add_test(calls, test_client_pages_are_of_one_revision);
    tcase_add_test(calls, test_client_watch_gives_every_change_in_order);
    tcase_add_test(calls, test_client_watch_of_what_is_compacted_says_so);
    tcase_add_test(calls, test_client_watch_that_a_revision_is_too_large_for_ends);
    tcase_add_test(calls, test_client_watch_call_backs_may_close_it);
    tcase_add_test(calls, test_client_watch_is_held_up_and_ends_when_there_was_enough);
    tcase_add_test(calls, test_client_what_is_open_has_a_limit);
    tcase_add_test(calls, test_client_keeps_a_lease_alive_until_it_is_revoked);
    tcase_add_test(calls, test_client_locks_exclude_one_another);
    tcase_add_test(calls, test_client_lock_is_lost_with_its_lease_or_key_and_goes_to_the_next);
    tcase_add_test(calls, test_client_elections_are_observed_through);
    suite_add_tcase(suite, calls);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
