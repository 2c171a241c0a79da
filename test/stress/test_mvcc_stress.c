/* Do readers see whole, consistent states while a writer writes, deletes, compacts and frees under them? Clean under TSan (where
 * rcu_system is its double of C11 atomics), and under ASan with liburcu.
 *
 * Each transaction keeps three promises that hold at every revision, so that a reader can check any view on its own: the accounts add up to
 * the same sum; the key `meta` says how many churn keys live and what their numbers add up to; every value repeats its own revision under
 * a checksum. Memory that was freed too early is poisoned (MVCC_POISON) and fails the checksum, if the sanitizer does not speak first.
 */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "storage/mvcc_record.h"
#include "storage/range.h"

#define ACCOUNTS 40
#define CHURN 400
#define TOTAL 1000000
#define BLOB_BYTES (MVCC_RECORD_BLOB_MIN + 100)

/* What every value begins with. */
struct text {
    int64_t revision;
    int64_t amount; /* an account's money; meta: live churn keys */
    int64_t sum;    /* meta: of their numbers */
    uint64_t check;
};
struct stage {
    struct mvcc *mvcc;
    uint64_t passes_min;   /* of each reader */
    atomic_uint_fast64_t readers_at_work;
    atomic_bool is_over;
};
struct actor {
    struct stage *stage;
    struct rng rng;
    uint64_t passes;
};

static uint64_t check_of(const struct text *text)
{
    return ((uint64_t)text->revision * 0x9e3779b97f4a7c15u) ^ ((uint64_t)text->amount * 0xd1b54a32d192ed03u) ^
           ((uint64_t)text->sum * 0x8ebc6af09c88c6e3u) ^ 0x5bd1e995u;
}

struct key {
    char text[64];
};
static struct slice account_key(struct key *room, int number)
{
    return slice_make(room->text, (size_t)snprintf(room->text, sizeof room->text, "account/%02d", number));
}
/* Numbers that are multiples of 7 get a long name, so that nodes meet prefixes of all lengths. */
static struct slice churn_key(struct key *room, int number)
{
    const char *middle = number % 7 == 0 ? "a-part-of-a-name-that-is-longer-than-others/" : "";
    return slice_make(room->text, (size_t)snprintf(room->text, sizeof room->text, "churn/%s%04d", middle, number));
}
static struct mvcc_range range_of(const char *first, const char *end)
{
    return mvcc_range_make(slice_from_string(first), slice_from_string(end));
}
static struct mvcc_range everything(void) { return mvcc_range_make(slice_make("", 1), slice_make("", 1)); }

static bool has_prefix(struct slice key, const char *prefix)
{
    size_t size = strlen(prefix);
    return key.size >= size && memcmp(key.data, prefix, size) == 0;
}

static int number_of(struct slice key)
{
    char digits[8] = {0};
    size_t size = has_prefix(key, "churn/") ? 4 : 2;
    memcpy(digits, key.data + key.size - size, size);
    return atoi(digits);
}

/* --- the writer ------------------------------------------------------------------------------------------------------------- */

struct writer {
    struct stage *stage;
    struct rng rng;
    int64_t amounts[ACCOUNTS];
    bool is_live[CHURN];
    int64_t live, sum;
    int64_t revision; /* of the open transaction */
    uint8_t *blob;
};

static void write_text(struct writer *writer, struct slice key, int64_t amount, int64_t sum)
{
    struct text text = {.revision = writer->revision, .amount = amount, .sum = sum};
    text.check = check_of(&text);
    mvcc_put(writer->stage->mvcc, key, slice_make(&text, sizeof text), 0);
}

static void write_account(struct writer *writer, int number, int64_t change)
{
    struct key room;
    writer->amounts[number] += change;
    write_text(writer, account_key(&room, number), writer->amounts[number], 0);
}

static void write_blob(struct writer *writer)
{
    struct text text = {.revision = writer->revision};
    text.check = check_of(&text);
    memset(writer->blob, (int)(writer->revision & 0xff), BLOB_BYTES);
    memcpy(writer->blob, &text, sizeof text);
    mvcc_put(writer->stage->mvcc, slice_from_string("blob"), slice_make(writer->blob, BLOB_BYTES), 0);
}

static void on_deleted(void *context, const struct mvcc_kv *kv)
{
    struct writer *writer = context;
    int number = number_of(kv->key);
    ASSERT(number >= 0 && number < CHURN && writer->is_live[number]);
    writer->is_live[number] = false;
    writer->live--;
    writer->sum -= number;
}

static void work_churn(struct writer *writer)
{
    struct key room;
    struct key end_room;
    int number = (int)rng_below(&writer->rng, CHURN);
    if (rng_below(&writer->rng, 3) > 0) {
        write_text(writer, churn_key(&room, number), number, 0);
        writer->live += !writer->is_live[number];
        writer->sum += writer->is_live[number] ? 0 : number;
        writer->is_live[number] = true;
        return;
    }
    bool is_single = rng_below(&writer->rng, 10) != 0;
    struct slice end = is_single ? slice_empty() : churn_key(&end_room, number + 60);
    struct mvcc_range range = mvcc_range_make(churn_key(&room, number), end);
    if (!is_single && slice_compare(range.key, end) > 0) return;
    (void)mvcc_delete(writer->stage->mvcc, &range, on_deleted, writer);
}

static void write_txn(struct writer *writer)
{
    struct mvcc *mvcc = writer->stage->mvcc;
    int from = (int)rng_below(&writer->rng, ACCOUNTS);
    int to = (from + 1 + (int)rng_below(&writer->rng, ACCOUNTS - 1)) % ACCOUNTS;
    int64_t money = (int64_t)rng_below(&writer->rng, 100);
    mvcc_begin(mvcc);
    writer->revision++;
    write_account(writer, from, -money);
    for (uint64_t changes = rng_below(&writer->rng, 8); changes > 0; changes--) work_churn(writer);
    write_account(writer, to, money);
    if (rng_below(&writer->rng, 64) == 0) write_blob(writer);
    write_text(writer, slice_from_string("meta"), writer->live, writer->sum);
    int64_t revision = mvcc_commit(mvcc);
    ASSERT(revision == writer->revision);
}

static void write_first(struct writer *writer)
{
    mvcc_begin(writer->stage->mvcc);
    writer->revision = 2;
    for (int i = 0; i < ACCOUNTS; i++) write_account(writer, i, TOTAL / ACCOUNTS);
    write_blob(writer);
    write_text(writer, slice_from_string("meta"), 0, 0);
    (void)mvcc_commit(writer->stage->mvcc);
    mvcc_publish(writer->stage->mvcc);
}

static void keep_house(struct writer *writer)
{
    struct mvcc *mvcc = writer->stage->mvcc;
    if (rng_below(&writer->rng, 40) == 0) {
        int64_t compacted = mvcc_view_compact_revision(mvcc_writer_view(mvcc));
        int64_t revision = writer->revision - (int64_t)rng_below(&writer->rng, 100);
        if (revision > compacted && revision > 2) ASSERT(mvcc_compact(mvcc, revision) == ERR_OK);
    }
    (void)mvcc_compact_step(mvcc, rng_below(&writer->rng, 80));
    mvcc_publish(mvcc);
    (void)mvcc_reclaim_step(mvcc, rng_below(&writer->rng, 100));
}

/* Until every reader has had its passes. */
static uint64_t run_writer(struct stage *stage, uint64_t txns_min)
{
    struct writer writer = {.stage = stage, .blob = alloc_new(BLOB_BYTES), .revision = 2};
    uint64_t txns = 0;
    rng_init(&writer.rng, 1);
    for (int i = 0; i < ACCOUNTS; i++) writer.amounts[i] = TOTAL / ACCOUNTS;
    while (txns < txns_min || atomic_load(&stage->readers_at_work) > 0) {
        for (uint64_t batch = 1 + rng_below(&writer.rng, 8); batch > 0; batch--, txns++) write_txn(&writer);
        keep_house(&writer);
        if (txns >= txns_min) sched_yield();
    }
    atomic_store(&stage->is_over, true);
    alloc_free(writer.blob);
    return txns;
}

/* --- what readers check ------------------------------------------------------------------------------------------------------ */

/* Sums over the rows of one revision. */
struct tally {
    int64_t money, accounts, live, sum, rows;
    int64_t meta_live, meta_sum, meta_revision;
};

static struct text read_text(struct slice value)
{
    struct text text;
    ASSERT(value.size >= sizeof text);
    memcpy(&text, value.data, sizeof text);
    ASSERT(text.check == check_of(&text)); /* else: freed, or torn */
    return text;
}

static void tally_row(struct tally *tally, struct slice key, struct slice value, int64_t mod_revision)
{
    struct text text = read_text(value);
    ASSERT(text.revision == mod_revision);
    tally->rows++;
    if (has_prefix(key, "account/")) {
        tally->accounts++;
        tally->money += text.amount;
    } else if (has_prefix(key, "churn/")) {
        tally->live++;
        tally->sum += text.amount;
    } else if (has_prefix(key, "meta")) {
        tally->meta_live = text.amount;
        tally->meta_sum = text.sum;
        tally->meta_revision = mod_revision;
    } else {
        ASSERT(has_prefix(key, "blob") && value.size == BLOB_BYTES && value.data[BLOB_BYTES - 1] == (uint8_t)mod_revision);
    }
}

static void check_tally(const struct tally *tally, int64_t revision)
{
    ASSERT(tally->accounts == ACCOUNTS && tally->money == TOTAL);
    ASSERT(tally->meta_revision == revision); /* each transaction writes it */
    ASSERT(tally->live == tally->meta_live && tally->sum == tally->meta_sum);
    ASSERT(tally->rows == ACCOUNTS + 2 + tally->live);
}

static void tally_kv(struct tally *tally, const struct mvcc_kv *kv, int64_t revision)
{
    ASSERT(kv->create_revision >= 2 && kv->create_revision <= kv->mod_revision && kv->mod_revision <= revision);
    ASSERT((kv->version == 1) == (kv->create_revision == kv->mod_revision) || kv->version > 1);
    tally_row(tally, kv->key, kv->value, kv->mod_revision);
}

static void check_revision(const struct mvcc_view *view, int64_t revision)
{
    struct mvcc_range all = everything();
    struct mvcc_range churn = range_of("churn/", "churn0");
    struct tally tally = {.rows = 0};
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    mvcc_scan_init(&scan, view, &all, revision);
    while (mvcc_scan_next(&scan, &kv)) tally_kv(&tally, &kv, revision);
    check_tally(&tally, revision);
    ASSERT(mvcc_count(view, &all, revision) == tally.rows);
    ASSERT(mvcc_count(view, &churn, revision) == tally.live);
    if (revision == mvcc_view_revision(view)) ASSERT(mvcc_view_key_count(view) == tally.rows);
}

static int64_t choose_revision(struct actor *actor, const struct mvcc_view *view)
{
    int64_t low = mvcc_view_compact_revision(view) > 2 ? mvcc_view_compact_revision(view) : 2;
    int64_t high = mvcc_view_revision(view);
    uint64_t kind = rng_below(&actor->rng, 4);
    if (kind < 2) return kind == 0 ? low : high;
    return low + (int64_t)rng_below(&actor->rng, (uint64_t)(high - low + 1));
}

/* --- readers ----------------------------------------------------------------------------------------------------------------- */

/* Whole states: the newest, and one in the past of the same view. */
static void pass_states(struct actor *actor, int64_t *revision_seen)
{
    const struct mvcc_view *view = mvcc_view(actor->stage->mvcc);
    int64_t revision = mvcc_view_revision(view);
    int64_t past = choose_revision(actor, view);
    ASSERT(revision >= *revision_seen);
    *revision_seen = revision;
    check_revision(view, revision);
    check_revision(view, past);
    ASSERT(mvcc_view_check(view, past) == ERR_OK);
    ASSERT(mvcc_hash(view, past) == mvcc_hash(view, past));
}

/* Points, each in a view of its own; a blob is kept beyond its read section. */
static void pass_points(struct actor *actor)
{
    struct key room;
    struct blob *kept = NULL;
    int64_t kept_revision = 0;
    for (int i = 0; i < 50; i++) {
        const struct mvcc_view *view = mvcc_view(actor->stage->mvcc);
        struct mvcc_kv kv;
        int64_t revision = choose_revision(actor, view);
        bool is_found = mvcc_get(view, account_key(&room, (int)rng_below(&actor->rng, ACCOUNTS)), revision, &kv);
        ASSERT(is_found && kv.mod_revision <= revision && read_text(kv.value).revision == kv.mod_revision);
        is_found = mvcc_get(view, churn_key(&room, (int)rng_below(&actor->rng, CHURN)), revision, &kv);
        if (is_found) ASSERT(kv.mod_revision <= revision && read_text(kv.value).revision == kv.mod_revision);
        if (kept == NULL && mvcc_get(view, slice_from_string("blob"), revision, &kv)) {
            kept = blob_ref(kv.value_blob);
            kept_revision = kv.mod_revision;
        }
        rcu_reader_quiescent();
    }
    ASSERT(kept != NULL && kept->size == BLOB_BYTES);
    ASSERT(read_text(blob_slice(kept)).revision == kept_revision && kept->data[BLOB_BYTES - 1] == (uint8_t)kept_revision);
    blob_unref(kept);
}

/* A range of everything in small steps with quiescent states between them, as net runs it. */
static void pass_range(struct actor *actor)
{
    const struct mvcc_view *view = mvcc_view(actor->stage->mvcc);
    int64_t wanted = rng_below(&actor->rng, 2) == 0 ? 0 : choose_revision(actor, view);
    struct range_request request = {.key = slice_make("", 1), .range_end = slice_make("", 1), .revision = wanted};
    struct range *range = range_new(&request, actor->stage->mvcc, SIZE_MAX);
    struct tally tally = {.rows = 0};
    struct buf body;
    enum err err = ERR_OK;
    enum range_progress progress = RANGE_MORE;
    buf_init(&body);
    while (progress == RANGE_MORE) {
        rcu_reader_quiescent();
        progress = range_step(range, mvcc_view(actor->stage->mvcc), SIZE_MAX, 1 + (size_t)rng_below(&actor->rng, 60), &body, &err);
    }
    ASSERT(progress == RANGE_DONE || (err == ERR_COMPACTED && wanted > 0));
    if (progress == RANGE_DONE) {
        Etcdserverpb__RangeResponse *response = etcdserverpb__range_response__unpack(NULL, body.size, buf_slice(&body).data);
        ASSERT(response != NULL && (size_t)response->count == response->n_kvs);
        for (size_t i = 0; i < response->n_kvs; i++) {
            const Mvccpb__KeyValue *kv = response->kvs[i];
            tally_row(&tally, slice_make(kv->key.data, kv->key.len), slice_make(kv->value.data, kv->value.len), kv->mod_revision);
        }
        check_tally(&tally, wanted > 0 ? wanted : range_header_revision(range));
        etcdserverpb__range_response__free_unpacked(response, NULL);
    }
    range_free(range);
    buf_deinit(&body);
}

/* As watch: follows the history from revision to revision and keeps a state of its own, which must keep the promises at each end of a
 * revision. What was compacted before it came is taken from a scan. */
struct follower {
    int64_t revision;
    int64_t amounts[ACCOUNTS];
    bool is_live[CHURN];
};

static void follow_kv(struct follower *follower, const struct mvcc_kv *kv, bool is_delete)
{
    if (has_prefix(kv->key, "account/")) {
        ASSERT(!is_delete);
        follower->amounts[number_of(kv->key)] = read_text(kv->value).amount;
    } else if (has_prefix(kv->key, "churn/")) {
        follower->is_live[number_of(kv->key)] = !is_delete;
    }
}

static void check_follower(const struct follower *follower, const struct mvcc_kv *meta)
{
    struct text text = read_text(meta->value);
    int64_t money = 0;
    int64_t live = 0;
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) money += follower->amounts[i];
    for (int i = 0; i < CHURN; i++) {
        live += follower->is_live[i];
        sum += follower->is_live[i] ? i : 0;
    }
    ASSERT(money == TOTAL && live == text.amount && sum == text.sum);
}

static void pass_history(struct actor *actor, struct follower *follower)
{
    const struct mvcc_view *view = mvcc_view(actor->stage->mvcc);
    struct mvcc_history history;
    struct mvcc_change change;
    if (follower->revision + 1 < mvcc_view_compact_revision(view) || follower->revision < 2) {
        struct mvcc_range all = everything();
        struct mvcc_scan scan;
        struct mvcc_kv kv;
        *follower = (struct follower){.revision = mvcc_view_revision(view)};
        mvcc_scan_init(&scan, view, &all, 0);
        while (mvcc_scan_next(&scan, &kv)) follow_kv(follower, &kv, false);
        return;
    }
    mvcc_history_init(&history, view, follower->revision + 1);
    while (mvcc_history_next(&history, &change)) {
        ASSERT(change.revision == follower->revision || (change.revision == follower->revision + 1 && change.sub == 0));
        ASSERT(change.kv.mod_revision == change.revision);
        follower->revision = change.revision;
        follow_kv(follower, &change.kv, change.is_delete);
        if (has_prefix(change.kv.key, "meta")) check_follower(follower, &change.kv); /* the last change of each transaction */
    }
    ASSERT(follower->revision == mvcc_view_revision(view));
}

enum pass { PASS_STATES, PASS_POINTS, PASS_RANGE, PASS_HISTORY, PASSES };
struct reader_start {
    struct stage *stage;
    enum pass pass;
    uint64_t seed;
};

static void *run_reader(void *context)
{
    const struct reader_start *start = context;
    struct actor actor = {.stage = start->stage};
    struct follower follower = {.revision = 0};
    int64_t revision_seen = 0;
    bool is_at_work = true;
    rng_init(&actor.rng, start->seed);
    rcu_reader_register();
    while (!atomic_load(&start->stage->is_over)) {
        switch (start->pass) {
        case PASS_STATES: pass_states(&actor, &revision_seen); break;
        case PASS_POINTS: pass_points(&actor); break;
        case PASS_RANGE: pass_range(&actor); break;
        default: pass_history(&actor, &follower);
        }
        rcu_reader_quiescent();
        if (++actor.passes % 16 == 0) { /* as round a wait */
            rcu_reader_offline();
            sched_yield();
            rcu_reader_online();
        }
        if (is_at_work && actor.passes >= start->stage->passes_min) {
            atomic_fetch_sub(&start->stage->readers_at_work, 1);
            is_at_work = false;
        }
    }
    rcu_reader_unregister();
    return NULL;
}

START_TEST(test_mvcc_readers_see_whole_states_beside_a_writer)
{
    bool is_long = getenv("KVD_TEST_LONG") != NULL;
    struct stage stage = {.mvcc = mvcc_new(&(struct mvcc_options){.rcu = rcu_system()}), .passes_min = is_long ? 20000 : 800};
    struct reader_start starts[PASSES];
    pthread_t threads[PASSES];
    struct mvcc_stats stats;
    struct writer first = {.stage = &stage, .blob = alloc_new(BLOB_BYTES)};
    write_first(&first);
    alloc_free(first.blob);
    atomic_init(&stage.readers_at_work, PASSES);
    for (int i = 0; i < PASSES; i++) {
        starts[i] = (struct reader_start){.stage = &stage, .pass = (enum pass)i, .seed = 100 + (uint64_t)i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_reader, &starts[i]), 0);
    }
    uint64_t txns = run_writer(&stage, is_long ? 200000 : 10000);
    for (int i = 0; i < PASSES; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    while (mvcc_compact_step(stage.mvcc, 1000)) continue;
    mvcc_publish(stage.mvcc);
    check_revision(mvcc_view(stage.mvcc), mvcc_view_revision(mvcc_view(stage.mvcc)));
    rcu_wait(rcu_system());
    while (mvcc_reclaim_step(stage.mvcc, 1000)) continue;
    mvcc_get_stats(stage.mvcc, &stats);
    ck_assert_uint_eq(stats.bags_outstanding, 0);
    printf("%llu transactions, %llu publishes\n", (unsigned long long)txns, (unsigned long long)stats.publishes);
    mvcc_free(stage.mvcc);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mvcc_stress");
    TCase *tcase = tcase_create("threads");
    tcase_set_timeout(tcase, 3600);
    tcase_add_test(tcase, test_mvcc_readers_see_whole_states_beside_a_writer);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
