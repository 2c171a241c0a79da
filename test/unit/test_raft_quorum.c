/* test_raft_quorum: is the arithmetic of majorities right, in tables and against a naive count? */
#include <check.h>
#include <stdlib.h>

#include "base/rng.h"
#include "raft/quorum.h"
#include "raft/raft.h"

#define Y QUORUM_YES
#define N QUORUM_NO
#define S QUORUM_SILENT
#define ROUNDS 20000

START_TEST(test_quorum_majority_has_reached_the_middle_value)
{
    static const struct {
        uint64_t values[6];
        uint32_t count;
        uint64_t reached;
    } TABLE[] = {
        {{0}, 1, 0},          {{12}, 1, 12},          {{12, 5}, 2, 5},          {{5, 12}, 2, 5},
        {{0, 9}, 2, 0},       {{5, 6, 7}, 3, 6},      {{7, 0, 0}, 3, 0},        {{7, 7, 0}, 3, 7},
        {{1, 2, 3, 4}, 4, 2}, {{4, 4, 3, 0}, 4, 3},   {{10, 20, 30, 40, 50}, 5, 30},
        {{9, 9, 9, 1, 1}, 5, 9}, {{101, 104, 103, 103}, 4, 103}, {{6, 6, 6, 5, 5, 5}, 6, 5},
    };
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        ck_assert_uint_eq(quorum_reached(TABLE[i].values, TABLE[i].count), TABLE[i].reached);
    }
}
END_TEST

START_TEST(test_quorum_empty_majority_agrees_with_everything)
{
    ck_assert_uint_eq(quorum_reached(NULL, 0), QUORUM_ALL);
    ck_assert_int_eq(quorum_vote(NULL, 0), QUORUM_WON);
    uint64_t values[] = {3, 4, 5};
    ck_assert_uint_eq(quorum_reached_joint(values, 3, NULL, 0), 4);
}
END_TEST

START_TEST(test_quorum_joint_needs_both_majorities)
{
    static const struct {
        uint64_t incoming[3];
        uint64_t outgoing[3];
        uint64_t reached;
    } TABLE[] = {
        {{1, 2, 3}, {1, 2, 3}, 2}, {{100, 100, 100}, {1, 2, 3}, 2}, {{1, 2, 3}, {100, 100, 100}, 2},
        {{0, 0, 9}, {9, 9, 9}, 0}, {{9, 9, 0}, {0, 5, 8}, 5},
    };
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        ck_assert_uint_eq(quorum_reached_joint(TABLE[i].incoming, 3, TABLE[i].outgoing, 3), TABLE[i].reached);
    }
}
END_TEST

START_TEST(test_quorum_vote_is_won_lost_or_open)
{
    static const struct {
        enum quorum_ballot ballots[5];
        uint32_t count;
        enum quorum_result result;
    } TABLE[] = {
        {{S}, 1, QUORUM_PENDING},          {{N}, 1, QUORUM_LOST},          {{Y}, 1, QUORUM_WON},
        {{Y, S}, 2, QUORUM_PENDING},       {{Y, N}, 2, QUORUM_LOST},       {{Y, Y}, 2, QUORUM_WON},
        {{Y, S, S}, 3, QUORUM_PENDING},    {{Y, N, S}, 3, QUORUM_PENDING}, {{N, N, S}, 3, QUORUM_LOST},
        {{Y, Y, S}, 3, QUORUM_WON},        {{Y, Y, N, N}, 4, QUORUM_LOST}, {{Y, Y, S, N}, 4, QUORUM_PENDING},
        {{Y, Y, Y, N}, 4, QUORUM_WON},     {{Y, Y, N, N, S}, 5, QUORUM_PENDING},
        {{Y, Y, N, N, N}, 5, QUORUM_LOST}, {{Y, Y, N, N, Y}, 5, QUORUM_WON},
    };
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        ck_assert_int_eq(quorum_vote(TABLE[i].ballots, TABLE[i].count), TABLE[i].result);
    }
}
END_TEST

START_TEST(test_quorum_joint_vote_is_lost_when_either_half_is_lost)
{
    static const enum quorum_result P = QUORUM_PENDING, W = QUORUM_WON, L = QUORUM_LOST;
    const enum quorum_result table[][3] = {{W, W, W}, {W, P, P}, {P, W, P}, {P, P, P}, {L, W, L},
                                           {W, L, L}, {L, P, L}, {P, L, L}, {L, L, L}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ck_assert_int_eq(quorum_vote_joint(table[i][0], table[i][1]), table[i][2]);
    }
}
END_TEST

/* The highest of the values that more than half have reached, by trying all. */
static uint64_t naive_reached(const uint64_t *values, uint32_t count)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t have = 0;
        for (uint32_t k = 0; k < count; k++) {
            if (values[k] >= values[i]) have++;
        }
        if (have * 2 > count && values[i] > best) best = values[i];
    }
    return best;
}

/* By trying all ways in which the silent ones could vote yes or no at most. */
static enum quorum_result naive_vote(const enum quorum_ballot *ballots, uint32_t count)
{
    uint32_t yes = 0;
    uint32_t silent = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ballots[i] == QUORUM_YES) yes++;
        if (ballots[i] == QUORUM_SILENT) silent++;
    }
    if (yes * 2 > count) return QUORUM_WON;
    return (yes + silent) * 2 > count ? QUORUM_PENDING : QUORUM_LOST;
}

START_TEST(test_quorum_agrees_with_a_naive_count_on_random_majorities)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + (uint32_t)rng_below(&rng, RAFT_MEMBERS_MAX);
        uint64_t values[RAFT_MEMBERS_MAX];
        enum quorum_ballot ballots[RAFT_MEMBERS_MAX];
        for (uint32_t i = 0; i < count; i++) {
            values[i] = rng_below(&rng, 12);
            ballots[i] = (enum quorum_ballot)rng_below(&rng, 3);
        }
        ck_assert_uint_eq(quorum_reached(values, count), naive_reached(values, count));
        ck_assert_int_eq(quorum_vote(ballots, count), naive_vote(ballots, count));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft_quorum");
    TCase *tcase = tcase_create("quorum");
    tcase_add_test(tcase, test_quorum_majority_has_reached_the_middle_value);
    tcase_add_test(tcase, test_quorum_empty_majority_agrees_with_everything);
    tcase_add_test(tcase, test_quorum_joint_needs_both_majorities);
    tcase_add_test(tcase, test_quorum_vote_is_won_lost_or_open);
    tcase_add_test(tcase, test_quorum_joint_vote_is_lost_when_either_half_is_lost);
    tcase_add_test(tcase, test_quorum_agrees_with_a_naive_count_on_random_majorities);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
