/* test_kv_history: does the checker of client histories bite? Hand-made histories, each wrong in one way, must be refused by the rule that is
 * meant for it; honest ones, unknown outcomes included, must pass. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/kv_history_json.h"

#define HISTORIES "test/histories"

static struct kv_history history;

static void set_up(void) { kv_history_init(&history); }
static void tear_down(void) { kv_history_deinit(&history); }

static struct kv_op *add(enum kv_op_kind kind, uint64_t start, uint64_t end, int64_t revision)
{
    struct kv_op op = {.kind = kind, .start = start, .end = end, .revision = revision, .success_count = 1, .client = 1};
    return kv_history_add(&history, &op);
}

static struct kv_op *put(uint64_t start, uint64_t end, int64_t revision, uint32_t key, uint64_t token)
{
    struct kv_op *op = add(KV_OP_PUT, start, end, revision);
    op->success[0] = (struct kv_step){.kind = KV_STEP_PUT, .first = key, .end = key + 1, .token = token};
    op->place = (uint64_t)revision;
    return op;
}

/* A read of one key that found this, or nothing (token 0). */
static struct kv_op *get(uint64_t start, uint64_t end, int64_t revision, uint32_t key, uint64_t token, int64_t create, int64_t mod,
                         int64_t version)
{
    struct kv_op *op = add(KV_OP_RANGE, start, end, revision);
    op->success[0] = (struct kv_step){.kind = KV_STEP_RANGE, .first = key, .end = key + 1, .count = token != 0};
    if (token == 0) return op;
    op->success[0].pairs = alloc_zero(1, sizeof(struct kv_pair));
    op->success[0].pairs[0] = (struct kv_pair){key, token, create, mod, version, 0};
    op->success[0].pair_count = 1;
    return op;
}

static void refused(const char *rule)
{
    struct kv_verdict verdict = kv_history_check(&history);
    ck_assert(!verdict.is_good);
    ck_assert_str_eq(verdict.rule, rule);
}

static void accepted(void)
{
    struct kv_verdict verdict = kv_history_check(&history);
    ck_assert_msg(verdict.is_good, "%s", verdict.rule);
}

/* --- leases --- */

static struct kv_op *lease(enum kv_op_kind kind, uint64_t start, uint64_t end, int64_t revision, int64_t id, uint64_t place)
{
    struct kv_op *op = add(kind, start, end, revision);
    op->success_count = 0;
    op->lease = id;
    op->place = place;
    op->ttl = op->granted_ttl = 5;
    return op;
}

/* Granted at 10, a key put to it at 20, over at 30: a revision of its own. */
static void one_life(uint64_t granted_place)
{
    (void)lease(KV_OP_GRANT, 1, 2, 1, 7, 10);
    struct kv_op *attached = put(3, 4, 2, 3, 100);
    attached->place = 20;
    attached->success[0].lease = 7;
    struct kv_op *expiry = lease(KV_OP_EXPIRE, 5, UINT64_MAX, 0, 7, 30);
    expiry->outcome = KV_UNKNOWN;
    expiry->granted_place = granted_place;
}

START_TEST(test_history_of_a_lease_that_ends_with_its_key_is_accepted)
{
    one_life(10);
    (void)get(6, 7, 3, 3, 0, 0, 0, 0);
    struct kv_op *lives = lease(KV_OP_LIVES, 8, 9, 3, 7, 0);
    lives->lives_s = -1;
    accepted();
}
END_TEST

START_TEST(test_history_of_a_late_expiry_that_ends_another_lease_of_the_id_is_refused)
{
    one_life(9);
    (void)get(6, 7, 3, 3, 0, 0, 0, 0);
    refused("a read names a revision that never was");
}
END_TEST

START_TEST(test_history_of_a_put_to_a_lease_that_is_over_is_refused)
{
    one_life(10);
    struct kv_op *late = put(6, 7, 4, 3, 101);
    late->place = 40;
    late->success[0].lease = 7;
    refused("K12 what must be refused took effect");
}
END_TEST

START_TEST(test_history_of_a_lease_that_is_revoked_twice_is_refused)
{
    one_life(10);
    (void)lease(KV_OP_REVOKE, 6, 7, 3, 7, 40);
    refused("L5 what became of a lease");
}
END_TEST

START_TEST(test_history_of_a_lease_that_lives_with_other_keys_is_refused)
{
    (void)lease(KV_OP_GRANT, 1, 2, 1, 7, 10);
    struct kv_op *lives = lease(KV_OP_LIVES, 3, 4, 1, 7, 0);
    lives->lives_s = 4;
    lives->lease_keys = 1;
    refused("L7 the keys of a lease");
}
END_TEST

/* Raised at 10, taken back at 30. */
static void one_alarm(void)
{
    struct kv_op *alarm = lease(KV_OP_ALARM, 1, UINT64_MAX, 0, 5, 10), *disarm = lease(KV_OP_DISARM, 1, UINT64_MAX, 0, 5, 30);
    alarm->outcome = disarm->outcome = KV_UNKNOWN;
}

START_TEST(test_history_of_puts_around_an_alarm_is_accepted)
{
    one_alarm();
    struct kv_op *refusal = put(2, 3, 0, 3, 100), *lost = put(4, UINT64_MAX, 0, 3, 101), *later = put(6, 7, 2, 3, 102);
    refusal->outcome = KV_NO_SPACE;
    refusal->place = 15;
    lost->outcome = KV_UNKNOWN;
    lost->place = 20;
    later->place = 40;
    (void)get(8, 9, 2, 3, 102, 2, 2, 1);
    accepted();
}
END_TEST

START_TEST(test_history_of_a_put_that_passes_behind_an_alarm_is_refused)
{
    one_alarm();
    put(2, 3, 2, 3, 100)->place = 20;
    refused("Q3 what needs room passed behind the alarm");
}
END_TEST

START_TEST(test_history_of_a_put_that_is_refused_without_an_alarm_is_refused)
{
    one_alarm();
    struct kv_op *refusal = put(2, 3, 0, 3, 100);
    refusal->outcome = KV_NO_SPACE;
    refusal->place = 40;
    refused("C5 what was refused took effect");
}
END_TEST

START_TEST(test_history_of_an_honest_store_is_accepted)
{
    put(1, 2, 2, 7, 100);
    get(3, 4, 2, 7, 100, 2, 2, 1);
    put(5, 8, 3, 7, 101);
    get(6, 7, 2, 7, 100, 2, 2, 1); /* beside the write: before or after it */
    get(9, 10, 3, 7, 101, 2, 3, 2);
    get(11, 12, 3, 8, 0, 0, 0, 0);
    accepted();
}
END_TEST

START_TEST(test_history_with_an_unknown_write_that_took_effect_is_accepted)
{
    struct kv_op *lost = put(1, UINT64_MAX, 2, 7, 100);
    lost->outcome = KV_UNKNOWN;
    get(3, 4, 2, 7, 100, 2, 2, 1);
    put(5, 6, 3, 8, 101);
    accepted();
}
END_TEST

START_TEST(test_history_with_an_unknown_write_that_nobody_saw_is_accepted)
{
    struct kv_op *lost = put(1, UINT64_MAX, 2, 7, 100);
    lost->outcome = KV_UNKNOWN;
    lost->place = 0;
    get(3, 4, 1, 7, 0, 0, 0, 0);
    put(5, 6, 2, 8, 101);
    accepted();
}
END_TEST

START_TEST(test_history_stale_read_is_refused)
{
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 7, 101);
    get(5, 6, 2, 7, 100, 2, 2, 1);
    refused("C1 older than what had ended before it began");
}
END_TEST

START_TEST(test_history_stale_serializable_read_is_accepted_from_another_server_only)
{
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 7, 101);
    struct kv_op *op = get(5, 6, 2, 7, 100, 2, 2, 1);
    op->serializable = true;
    op->server = 1;
    accepted();
    op->server = 0;
    refused("K4 a server's revision went back");
}
END_TEST

START_TEST(test_history_lost_update_is_refused)
{
    put(1, 2, 2, 7, 100)->place = 0;
    refused("D1 an acknowledged write is lost");
}
END_TEST

START_TEST(test_history_write_that_took_effect_twice_is_refused)
{
    put(1, 2, 2, 7, 100);
    put(3, 4, 4, 8, 101); /* revision 3 is somebody's second time */
    refused("K2 each write raises the revision by one");
}
END_TEST

START_TEST(test_history_refused_write_that_took_effect_is_refused)
{
    put(1, 2, 2, 7, 100)->outcome = KV_NOT_DONE;
    refused("C5 what was refused took effect");
}
END_TEST

START_TEST(test_history_read_of_another_value_is_refused)
{
    put(1, 2, 2, 7, 100);
    get(3, 4, 2, 7, 999, 2, 2, 1);
    refused("a read has another value");
}
END_TEST

START_TEST(test_history_read_with_another_version_is_refused)
{
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 7, 101);
    get(5, 6, 3, 7, 101, 2, 3, 1);
    refused("K5 version");
}
END_TEST

START_TEST(test_history_read_of_a_write_that_had_not_begun_is_refused)
{
    get(1, 2, 2, 7, 100, 2, 2, 1);
    put(3, 4, 2, 7, 100);
    refused("C1 it saw a write that had not begun");
}
END_TEST

START_TEST(test_history_read_of_a_compacted_revision_is_refused)
{
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 7, 101);
    struct kv_op *compact = add(KV_OP_COMPACT, 5, 6, 3);
    compact->success_count = 0;
    compact->answer_revision = 3;
    compact->place = 4;
    get(7, 8, 3, 7, 100, 2, 2, 1)->success[0].at_revision = 2;
    refused("K6 a compacted revision is read");
}
END_TEST

static struct kv_op *compact(uint64_t start, uint64_t end, int64_t revision, int64_t answer, uint64_t place)
{
    struct kv_op *op = add(KV_OP_COMPACT, start, end, revision);
    op->success_count = 0;
    op->answer_revision = answer;
    op->place = place;
    return op;
}

START_TEST(test_history_revision_called_compacted_before_the_compaction_began_is_refused)
{
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 7, 101);
    struct kv_op *read = get(5, 6, 0, 7, 0, 0, 0, 0);
    read->success[0].at_revision = 2;
    read->outcome = KV_COMPACTED;
    compact(7, 8, 3, 3, 4);
    refused("K6 a revision is there and called compacted");
}
END_TEST

/* K12: two members must say the same, whatever each has freed. */
START_TEST(test_history_transaction_that_read_a_compacted_revision_is_refused)
{
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 7, 101);
    compact(5, 6, 3, 3, 4);
    struct kv_op *txn = add(KV_OP_TXN, 7, 8, 4);
    txn->success[0] = (struct kv_step){.kind = KV_STEP_PUT, .first = 8, .end = 9, .token = 102};
    txn->success[1] = (struct kv_step){.kind = KV_STEP_RANGE, .first = 9, .end = 10, .at_revision = 2};
    txn->success_count = 2;
    txn->succeeded = true;
    txn->place = 5;
    refused("K12 what must be refused took effect");
    txn->outcome = KV_COMPACTED;
    put(9, 10, 4, 8, 103)->place = 6; /* nothing came of it */
    accepted();
}
END_TEST

static struct kv_op *read_all(uint64_t start, uint64_t end, int64_t revision, const struct kv_pair *pairs, uint32_t count)
{
    struct kv_op *op = add(KV_OP_RANGE, start, end, revision);
    op->success[0] = (struct kv_step){.kind = KV_STEP_RANGE, .first = 0, .end = 10, .count = 3, .pair_count = count};
    op->success[0].pairs = alloc_zero(count + 1, sizeof(struct kv_pair));
    memcpy(op->success[0].pairs, pairs, count * sizeof(struct kv_pair));
    return op;
}

START_TEST(test_history_rows_in_another_order_than_asked_for_are_refused)
{
    const struct kv_pair by_mod[] = {{9, 101, 3, 3, 1, 0}, {7, 102, 2, 4, 2, 0}, {8, 103, 5, 5, 1, 0}};
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 9, 101);
    put(5, 6, 4, 7, 102);
    put(7, 8, 5, 8, 103);
    struct kv_step *step = &read_all(9, 10, 5, by_mod, 3)->success[0];
    refused("a read has a key that should not be there");
    step->sort_target = KV_SORT_MOD;
    accepted();
    step->sort = KV_SORT_DESCEND;
    refused("a read has a key that should not be there");
}
END_TEST

START_TEST(test_history_filter_lets_rows_through_and_counts_all)
{
    const struct kv_pair old[] = {{9, 101, 3, 3, 1, 0}};
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 9, 101);
    put(5, 6, 4, 7, 102);
    put(7, 8, 5, 8, 103);
    struct kv_step *step = &read_all(9, 10, 5, old, 1)->success[0];
    step->max_mod = 3;
    accepted();
    step->count = 1;
    refused("K9 count");
    step->count = 3;
    step->max_mod = 4;
    refused("a read has a key that should not be there");
    step->limit = 1;
    step->min_mod = 3;
    step->sort = KV_SORT_DESCEND;
    step->sort_target = KV_SORT_CREATE;
    step->more = true;
    accepted();
    step->keys_only = true;
    refused("a read has another value");
}
END_TEST

/* A target without an order: the limit and one more are what is sorted. */
START_TEST(test_history_limit_cuts_before_a_sort_that_has_no_order)
{
    const struct kv_pair first[] = {{8, 103, 5, 5, 1, 0}};
    put(1, 2, 2, 7, 100);
    put(3, 4, 3, 9, 101);
    put(5, 6, 4, 7, 102);
    put(7, 8, 5, 8, 103);
    put(9, 10, 6, 7, 104);
    struct kv_step *step = &read_all(11, 12, 6, first, 1)->success[0];
    step->sort_target = KV_SORT_MOD;
    step->limit = 1;
    step->more = true;
    accepted();
    step->sort = KV_SORT_ASCEND;
    refused("a read has a key that should not be there");
}
END_TEST

static const char *ask(void *context, struct kv_model *model, int64_t *out_expected, int64_t *out_got)
{
    *out_expected = 1;
    *out_got = model != NULL;
    return *(const char **)context;
}

START_TEST(test_history_that_is_good_is_asked_once_more_with_its_model)
{
    const char *broken = NULL;
    put(1, 2, 2, 7, 100);
    ck_assert(kv_history_check_then(&history, ask, &broken).is_good);
    broken = "something else";
    struct kv_verdict verdict = kv_history_check_then(&history, ask, &broken);
    ck_assert(!verdict.is_good);
    ck_assert_str_eq(verdict.rule, "something else");
    ck_assert(verdict.op == SIZE_MAX && verdict.got == 1);
}
END_TEST

START_TEST(test_history_transaction_whose_compare_saw_its_own_write_is_refused)
{
    struct kv_op *txn = add(KV_OP_TXN, 1, 2, 2);
    txn->compares[0] = (struct kv_compare){.key = 7, .target = KV_TARGET_VERSION, .relation = KV_EQUAL, .number = 0};
    txn->compare_count = 1;
    txn->success[0] = (struct kv_step){.kind = KV_STEP_PUT, .first = 7, .end = 8, .token = 100};
    txn->place = 2;
    txn->succeeded = true;
    accepted();
    txn->succeeded = false;
    refused("T2 compares see the state before");
}
END_TEST

START_TEST(test_history_without_a_log_is_placed_by_its_revisions)
{
    put(1, 2, 2, 7, 100)->place = 0;
    struct kv_op *lost = put(3, UINT64_MAX, 0, 7, 101);
    lost->outcome = KV_UNKNOWN;
    lost->place = 0;
    get(5, 6, 3, 7, 101, 2, 3, 2);
    put(7, 8, 4, 8, 102)->place = 0;
    kv_history_place_by_revision(&history);
    accepted();
}
END_TEST

/* What the program says of a file: its first line without "broken: ", or "good". */
static void ask_program(const char *path, char *out_answer, size_t size)
{
    char command[1024], line[512] = "";
    snprintf(command, sizeof(command), "%s %s 2>&1", CHECK_HISTORY, path);
    FILE *program = popen(command, "r");
    ck_assert_ptr_nonnull(program);
    if (fgets(line, sizeof(line), program) == NULL) line[0] = '\0';
    while (fgets(command, sizeof(command), program) != NULL) continue;
    int status = pclose(program);
    line[strcspn(line, "\n")] = '\0';
    snprintf(out_answer, size, "%s", status == 0 ? "good" : strncmp(line, "broken: ", 8) == 0 ? line + 8 : line);
}

/* Each names in its first line the rule that refuses it. */
START_TEST(test_history_files_are_judged_by_the_rule_that_they_name)
{
    struct dirent **entries;
    int count = scandir(HISTORIES, &entries, NULL, alphasort), judged = 0;
    for (int i = 0; i < count; i++) {
        char path[512], line[256] = "", answer[512];
        snprintf(path, sizeof(path), "%s/%s", HISTORIES, entries[i]->d_name);
        bool is_history = strstr(entries[i]->d_name, ".jsonl") != NULL;
        free(entries[i]);
        if (!is_history) continue;
        FILE *file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
        fclose(file);
        line[strcspn(line, "\n")] = '\0';
        ck_assert_msg(strncmp(line, "# expect: ", 10) == 0, "%s says nothing of what is expected", path);
        ask_program(path, answer, sizeof(answer));
        ck_assert_msg(strcmp(answer, line + 10) == 0, "%s: %s, and not %s", path, answer, line + 10);
        judged++;
    }
    free(entries);
    ck_assert_int_ge(judged, 28);
}
END_TEST

static void not_understood(const char *text, const char *reason)
{
    char got[256] = "";
    struct kv_history other;
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    kv_history_init(&other);
    ck_assert(!kv_history_json_read(file, &other, got, sizeof(got)));
    ck_assert_str_eq(got, reason);
    kv_history_deinit(&other);
    fclose(file);
}

START_TEST(test_history_lines_that_say_no_operation_are_not_understood)
{
    not_understood("no\n", "line 1: no JSON object");
    not_understood("# this is nothing\n[1]\n", "line 2: no JSON object");
    not_understood("{\"outcome\":\"fine\"}\n", "line 1: no outcome that is known");
    not_understood("{\"outcome\":\"ok\"}\n", "line 1: no moment of the call");
    not_understood("{\"outcome\":\"ok\",\"call\":5,\"return\":4}\n", "line 1: a return before the call");
    not_understood("{\"outcome\":\"ok\",\"call\":5,\"server\":-1}\n", "line 1: no number of a server");
    not_understood("{\"outcome\":\"ok\",\"call\":5,\"request\":{}}\n", "line 1: a request without its key");
    not_understood("{\"outcome\":\"ok\",\"call\":5,\"request\":{\"put\":{\"key\":\"a\"}}}\n", "line 1: a put without its value");
    not_understood("{\"outcome\":\"ok\",\"call\":5,\"request\":{\"range\":{\"key\":\"a\"}},\"response\":{\"kvs\":[[\"a\"]]}}\n",
                   "line 1: a pair is [key, value, create, mod, version, lease]");
}
END_TEST

START_TEST(test_history_written_and_read_is_the_same)
{
    char *text = NULL, *again = NULL, reason[256];
    size_t size = 0, size_again = 0;
    put(1, 2, 2, 7, 100)->success[0].wants_previous = true;
    put(3, UINT64_MAX, 3, 0, 101)->outcome = KV_UNKNOWN;
    get(5, 6, 3, 0, 101, 3, 3, 1)->success[0].end = 9;
    FILE *out = open_memstream(&text, &size);
    kv_history_json_write(&history, out);
    fclose(out);
    struct kv_history other;
    kv_history_init(&other);
    FILE *in = fmemopen(text, size, "r");
    ck_assert_msg(kv_history_json_read(in, &other, reason, sizeof(reason)), "%s", reason);
    fclose(in);
    ck_assert_uint_eq(other.count, 3);
    ck_assert_uint_eq(other.ops[1].end, UINT64_MAX);
    ck_assert_uint_eq(other.ops[2].success[0].pair_count, 1);
    ck_assert_uint_eq(other.ops[0].place, 2);
    out = open_memstream(&again, &size_again);
    kv_history_json_write(&other, out);
    fclose(out);
    ck_assert_uint_gt(size_again, size / 2);
    struct kv_verdict before = kv_history_check(&history), after = kv_history_check(&other);
    ck_assert(!before.is_good); /* the read tells of one key and not of the other */
    ck_assert(!after.is_good);
    ck_assert_str_eq(before.rule, after.rule);
    kv_history_deinit(&other);
    free(text);
    free(again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_history");
    TCase *tcase = tcase_create("kv_history");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_history_of_an_honest_store_is_accepted);
    tcase_add_test(tcase, test_history_of_a_lease_that_ends_with_its_key_is_accepted);
    tcase_add_test(tcase, test_history_of_a_late_expiry_that_ends_another_lease_of_the_id_is_refused);
    tcase_add_test(tcase, test_history_of_a_put_to_a_lease_that_is_over_is_refused);
    tcase_add_test(tcase, test_history_of_a_lease_that_is_revoked_twice_is_refused);
    tcase_add_test(tcase, test_history_of_a_lease_that_lives_with_other_keys_is_refused);
    tcase_add_test(tcase, test_history_of_puts_around_an_alarm_is_accepted);
    tcase_add_test(tcase, test_history_of_a_put_that_passes_behind_an_alarm_is_refused);
    tcase_add_test(tcase, test_history_of_a_put_that_is_refused_without_an_alarm_is_refused);
    tcase_add_test(tcase, test_history_with_an_unknown_write_that_took_effect_is_accepted);
    tcase_add_test(tcase, test_history_with_an_unknown_write_that_nobody_saw_is_accepted);
    tcase_add_test(tcase, test_history_stale_read_is_refused);
    tcase_add_test(tcase, test_history_stale_serializable_read_is_accepted_from_another_server_only);
    tcase_add_test(tcase, test_history_lost_update_is_refused);
    tcase_add_test(tcase, test_history_write_that_took_effect_twice_is_refused);
    tcase_add_test(tcase, test_history_refused_write_that_took_effect_is_refused);
    tcase_add_test(tcase, test_history_read_of_another_value_is_refused);
    tcase_add_test(tcase, test_history_read_with_another_version_is_refused);
    tcase_add_test(tcase, test_history_read_of_a_write_that_had_not_begun_is_refused);
    tcase_add_test(tcase, test_history_read_of_a_compacted_revision_is_refused);
    tcase_add_test(tcase, test_history_revision_called_compacted_before_the_compaction_began_is_refused);
    tcase_add_test(tcase, test_history_transaction_that_read_a_compacted_revision_is_refused);
    tcase_add_test(tcase, test_history_rows_in_another_order_than_asked_for_are_refused);
    tcase_add_test(tcase, test_history_filter_lets_rows_through_and_counts_all);
    tcase_add_test(tcase, test_history_limit_cuts_before_a_sort_that_has_no_order);
    tcase_add_test(tcase, test_history_that_is_good_is_asked_once_more_with_its_model);
    tcase_add_test(tcase, test_history_transaction_whose_compare_saw_its_own_write_is_refused);
    tcase_add_test(tcase, test_history_without_a_log_is_placed_by_its_revisions);
    tcase_add_test(tcase, test_history_files_are_judged_by_the_rule_that_they_name);
    tcase_add_test(tcase, test_history_lines_that_say_no_operation_are_not_understood);
    tcase_add_test(tcase, test_history_written_and_read_is_the_same);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
