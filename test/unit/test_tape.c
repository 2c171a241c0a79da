/* A run's choices on a tape: recorded, given again, edited, shrunk. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/sim_run.h"
#include "lib/sim_shrink.h"

#define TAPE_PATH "kvd_test_tape.tmp"

/* A short run of many kinds of faults. */
static void small_run(uint64_t seed, struct sim_options *out_options)
{
    sim_options_draw(seed, out_options);
    out_options->run_ns = 2 * NS_PER_S;
    out_options->buggify = true;
    out_options->per_minute[SIM_KILL] = out_options->per_minute[SIM_PARTITION] = 60;
}

static uint64_t hash_of(const struct sim_options *options)
{
    struct sim_result result;
    sim_run(options, &result);
    return result.trace_hash;
}

START_TEST(test_a_recorded_tape_gives_the_same_run_again)
{
    for (uint64_t seed = 11; seed <= 13; seed++) {
        struct sim_options options;
        small_run(seed, &options);
        options.buggify = seed % 2 == 0;
        uint64_t hash = hash_of(&options);
        options.world.reel = tape_reel_new();
        tape_reel_rewind(options.world.reel, true);
        ck_assert_uint_eq(hash_of(&options), hash);
        ck_assert_uint_gt(tape_reel_lively(options.world.reel), 1000);
        tape_reel_rewind(options.world.reel, false);
        ck_assert_uint_eq(hash_of(&options), hash);
        options.world.seed += options.buggify ? 0 : 1000; /* which rare sites there are is all that still comes from it */
        options.clients.seed += 1000;
        ck_assert_uint_eq(hash_of(&options), hash);
        tape_reel_free(options.world.reel);
    }
}
END_TEST

START_TEST(test_a_tape_in_a_file_is_the_same_tape)
{
    struct sim_options options, again;
    small_run(14, &options);
    options.world.reel = tape_reel_new();
    tape_reel_rewind(options.world.reel, true);
    uint64_t hash = hash_of(&options);
    tape_reel_trim(options.world.reel);
    FILE *file = fopen(TAPE_PATH, "w");
    ck_assert_ptr_nonnull(file);
    sim_options_print(&options, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert(sim_options_read(TAPE_PATH, &again));
    ck_assert_int_eq(remove(TAPE_PATH), 0);
    ck_assert_ptr_nonnull(again.world.reel);
    ck_assert_uint_eq(tape_reel_lively(again.world.reel), tape_reel_lively(options.world.reel));
    ck_assert_uint_eq(hash_of(&again), hash);
    tape_reel_free(options.world.reel);
    tape_reel_free(again.world.reel);
}
END_TEST

START_TEST(test_lines_of_a_tape_are_read_or_refused)
{
    struct tape_reel *reel = tape_reel_new();
    ck_assert(tape_reel_read_line(reel, "3 1 0*4 7\n"));
    ck_assert(tape_reel_read_line(reel, "3 18446744073709551615*2"));
    ck_assert_uint_eq(tape_reel_count(reel), 8);
    ck_assert_uint_eq(tape_reel_lively(reel), 4);
    ck_assert(!tape_reel_read_line(reel, ""));
    char behind[32];
    snprintf(behind, sizeof(behind), "%d 1", TAPE_TRACKS);
    ck_assert(!tape_reel_read_line(reel, behind));
    ck_assert(!tape_reel_read_line(reel, "3 x"));
    ck_assert(!tape_reel_read_line(reel, "3 1*"));
    ck_assert(!tape_reel_read_line(reel, "3 0*99999999999"));
    tape_reel_free(reel);
}
END_TEST

static void edit(struct tape_reel *reel, struct rng *rng, uint32_t how)
{
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) {
        struct tape_track_state *track = &reel->tracks[i];
        if (track->count == 0 || rng_below(rng, 3) == 0) continue;
        uint64_t at = rng_below(rng, track->count), size = 1 + rng_below(rng, track->count - at);
        if (how == 0) track->count = at;
        if (how == 1) memset(track->values + at, 0, size * sizeof(uint64_t));
        for (uint64_t k = 0; how == 2 && k < 10; k++) track->values[rng_below(rng, track->count)] = rng_next(rng);
        if (how != 3) continue;
        memmove(track->values + at, track->values + at + size, (track->count - at - size) * sizeof(uint64_t));
        track->count -= size;
    }
}

/* It is the tape of another run, in which all must hold, too. */
START_TEST(test_an_edited_tape_is_the_tape_of_another_run)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (uint32_t i = 0; i < 16; i++) {
        struct sim_options options;
        char broken[160];
        uint64_t events;
        small_run(20 + i / 4, &options);
        options.world.reel = tape_reel_new();
        tape_reel_rewind(options.world.reel, true);
        sim_shrink_try(&options, broken, sizeof(broken), &events);
        ck_assert_str_eq(broken, "");
        edit(options.world.reel, &rng, i % 4);
        tape_reel_rewind(options.world.reel, false);
        sim_shrink_try(&options, broken, sizeof(broken), &events);
        ck_assert_msg(broken[0] == '\0', "seed %u, edit %u: %s", 20 + i / 4, i % 4, broken);
        tape_reel_free(options.world.reel);
    }
}
END_TEST

/* Frames take longer than a leader is waited for: nobody is elected in time, whatever else happens. */
START_TEST(test_a_shrunk_run_breaks_the_same_invariant)
{
    struct sim_options options;
    static struct sim_shrink_result result;
    char broken[160];
    uint64_t events;
    small_run(30, &options);
    options.world.members = options.clients.members = 3;
    options.world.delay_ns = 400 * NS_PER_MS;
    options.world.election_ms = 25;
    options.world.heartbeat_ms = 5;
    options.core_first = false;
    struct sim_shrink_plan plan = {.options = &options, .until_ns = clock_mono_ns() + 3 * NS_PER_S};
    ck_assert(sim_shrink(&plan, &result));
    ck_assert_str_eq(result.invariant, "V1 a leader within ten election timeouts");
    ck_assert_uint_lt(result.after.lively, result.before.lively);
    ck_assert_uint_le(result.after.faults, result.before.faults);
    sim_shrink_try(&result.options, broken, sizeof(broken), &events);
    ck_assert_str_eq(broken, result.invariant);
    ck_assert_uint_eq(events, result.after.events);
    tape_reel_free(result.options.world.reel);
}
END_TEST

START_TEST(test_what_breaks_nothing_is_not_shrunk)
{
    struct sim_options options;
    static struct sim_shrink_result result;
    small_run(31, &options);
    struct sim_shrink_plan plan = {.options = &options, .until_ns = clock_mono_ns() + NS_PER_S};
    ck_assert(!sim_shrink(&plan, &result));
    tape_reel_free(result.options.world.reel);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tape");
    TCase *cases = tcase_create("all");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, test_a_recorded_tape_gives_the_same_run_again);
    tcase_add_test(cases, test_a_tape_in_a_file_is_the_same_tape);
    tcase_add_test(cases, test_lines_of_a_tape_are_read_or_refused);
    tcase_add_test(cases, test_an_edited_tape_is_the_tape_of_another_run);
    tcase_add_test(cases, test_a_shrunk_run_breaks_the_same_invariant);
    tcase_add_test(cases, test_what_breaks_nothing_is_not_shrunk);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
