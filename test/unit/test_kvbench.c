/* What of kvbench can be said without a server: its histogram, its distributions, its command line, its keys. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "compare.h"
#include "histogram.h"
#include "settings.h"
#include "tally.h"
#include "workload.h"

/* --- the histogram ----------------------------------------------------------------------------------------------------------- */

START_TEST(test_kvbench_histogram_is_within_one_percent)
{
    struct histogram *histogram = ALLOC(struct histogram);
    const uint64_t values[] = {0, 1, 127, 128, 255, 256, 257, 999, 1000, 65535, 1u << 20, 123456789, NS_PER_S, 3600 * NS_PER_S, UINT64_MAX / 3, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        histogram_clear(histogram);
        /* Neighbours on both sides, so that the exact least and greatest do not help. */
        histogram_add(histogram, 0);
        histogram_add(histogram, values[i]);
        histogram_add(histogram, UINT64_MAX);
        double read = (double)histogram_percentile_ns(histogram, 0.5), real = (double)values[i];
        ck_assert_msg(fabs(read - real) <= real / 200, "%.0f was read as %.0f", real, read);
    }
    alloc_free(histogram);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

START_TEST(test_kvbench_percentiles_are_those_of_the_sorted_values)
{
    enum { COUNT = 20000 };
    static const double shares[] = {0, 0.001, 0.5, 0.9, 0.99, 0.999, 1};
    uint64_t *values = alloc_zero(COUNT, sizeof *values);
    struct histogram *halves = alloc_zero(2, sizeof *halves);
    struct rng rng;
    double sum = 0;
    rng_init(&rng, 7);
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = rng_below(&rng, UINT64_C(1) << (10 + rng_below(&rng, 25)));
        sum += (double)values[i];
        histogram_add(&halves[i % 2], values[i]);
    }
    histogram_merge(&halves[0], &halves[1]);
    qsort(values, COUNT, sizeof *values, by_value);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double rank = ceil(shares[i] * COUNT), real = (double)values[rank < 1 ? 0 : (size_t)rank - 1];
        double read = (double)histogram_percentile_ns(&halves[0], shares[i]);
        ck_assert_msg(fabs(read - real) <= real / 100, "share %f: %.0f was read as %.0f", shares[i], real, read);
    }
    ck_assert_uint_eq(halves[0].count, COUNT);
    ck_assert_uint_eq(halves[0].max_ns, values[COUNT - 1]);
    ck_assert_uint_eq(halves[0].min_ns, values[0]);
    ck_assert_double_eq_tol(histogram_mean_ns(&halves[0]), sum / COUNT, 1);
    alloc_free(values);
    alloc_free(halves);
}
END_TEST

START_TEST(test_kvbench_an_empty_histogram_is_all_zeros)
{
    struct histogram *histograms = alloc_zero(2, sizeof *histograms);
    ck_assert_uint_eq(histogram_percentile_ns(&histograms[0], 0.99), 0);
    ck_assert_double_eq(histogram_mean_ns(&histograms[0]), 0);
    ck_assert_double_eq(histogram_deviation_ns(&histograms[0]), 0);
    histogram_add(&histograms[0], 5);
    histogram_merge(&histograms[0], &histograms[1]);
    ck_assert_uint_eq(histograms[0].min_ns, 5);
    alloc_free(histograms);
}
END_TEST

START_TEST(test_kvbench_hdr_text_rises_to_all_of_them)
{
    struct histogram *histogram = ALLOC(struct histogram);
    char line[256];
    double value, share, last_value = -1, last_share = -1, left;
    unsigned long long count = 0, last_count = 0;
    int lines = 0, tails = 0;
    for (uint64_t i = 1; i <= 1000; i++) histogram_add(histogram, i * NS_PER_MS);
    FILE *file = tmpfile();
    histogram_write_hdr(histogram, file);
    rewind(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    ck_assert_str_eq(line, "       Value     Percentile TotalCount 1/(1-Percentile)\n");
    while (fgets(line, sizeof line, file) != NULL) {
        tails += line[0] == '#';
        if (sscanf(line, "%lf %lf %llu %lf", &value, &share, &count, &left) < 3) continue;
        ck_assert(value >= last_value && share > last_share && count >= last_count);
        last_value = value;
        last_share = share;
        last_count = count;
        lines++;
    }
    ck_assert_uint_eq(last_count, 1000);
    ck_assert_double_eq(last_share, 1);
    ck_assert_double_eq_tol(last_value, 1000, 0.01);
    ck_assert(lines > 30 && tails == 3);
    fclose(file);
    alloc_free(histogram);
}
END_TEST

/* --- distributions ----------------------------------------------------------------------------------------------------------- */

START_TEST(test_kvbench_zipf_follows_its_law)
{
    enum { RANKS = 1000, DRAWS = 400000 };
    uint64_t *seen = alloc_zero(RANKS, sizeof *seen);
    struct distribution_zipf zipf;
    struct rng rng;
    double all = 0;
    rng_init(&rng, 3);
    distribution_zipf_init(&zipf, RANKS);
    for (size_t i = 0; i < DRAWS; i++) {
        uint64_t rank = distribution_zipf_rank(&zipf, &rng);
        if (rank >= RANKS) ck_abort_msg("there is no rank %d", (int)rank); /* an assertion costs a system call */
        seen[rank]++;
    }
    for (int i = 1; i <= RANKS; i++) all += pow(i, -0.99);
    for (int i = 0; i < 20; i++) { /* six standard deviations */
        double wanted = DRAWS * pow(i + 1, -0.99) / all;
        ck_assert_msg(fabs((double)seen[i] - wanted) < 6 * sqrt(wanted), "rank %d came %d times of %.0f", i, (int)seen[i], wanted);
    }
    distribution_zipf_init(&zipf, 1);
    ck_assert_uint_eq(distribution_zipf_rank(&zipf, &rng), 0);
    alloc_free(seen);
}
END_TEST

START_TEST(test_kvbench_keys_are_of_their_kind)
{
    enum { KEYS = 5000, DRAWS = 200000 };
    uint64_t *seen = alloc_zero(KEYS + 10, sizeof *seen), most = 0, never = 0, newest = 0;
    struct distribution_keys keys;
    struct rng rng;
    rng_init(&rng, 9);
    distribution_keys_init(&keys, DISTRIBUTION_UNIFORM, KEYS);
    for (size_t i = 0; i < DRAWS; i++) seen[distribution_keys_next(&keys, &rng, KEYS)]++;
    for (size_t i = 0; i < KEYS; i++) never += seen[i] == 0;
    ck_assert_uint_eq(never, 0);
    memset(seen, 0, KEYS * sizeof *seen);
    distribution_keys_init(&keys, DISTRIBUTION_ZIPF, KEYS);
    for (size_t i = 0; i < DRAWS; i++) seen[distribution_keys_next(&keys, &rng, KEYS)]++;
    for (size_t i = 0; i < KEYS; i++) most = seen[i] > most ? seen[i] : most;
    ck_assert_uint_gt(most, DRAWS / 20); /* one of nine or so */
    ck_assert_uint_gt(seen[0], DRAWS / 20);
    ck_assert_uint_lt(seen[1], DRAWS / 200); /* the second most popular one is elsewhere */
    distribution_keys_init(&keys, DISTRIBUTION_LATEST, KEYS);
    for (size_t i = 0; i < DRAWS; i++) newest += distribution_keys_next(&keys, &rng, KEYS + 10) == KEYS + 9;
    ck_assert_uint_gt(newest, DRAWS / 20);
    alloc_free(seen);
}
END_TEST

START_TEST(test_kvbench_sizes_are_read_and_kept_to)
{
    static const char *const bad[] = {"", "x", "-1", "12x", "uniform:", "uniform:5", "uniform:9-3", "zipf:1-2-3", "normal:1-2", "uniform:1-101", "101", "+5"};
    struct distribution_sizes sizes;
    struct rng rng;
    uint64_t small = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) ck_assert_msg(!distribution_parse_sizes(bad[i], 100, &sizes), "\"%s\" was taken", bad[i]);
    rng_init(&rng, 1);
    ck_assert(distribution_parse_sizes("0", 100, &sizes));
    ck_assert_uint_eq(distribution_sizes_next(&sizes, &rng), 0);
    ck_assert(distribution_parse_sizes("uniform:10-20", 100, &sizes));
    for (int i = 0; i < 1000; i++) {
        uint64_t size = distribution_sizes_next(&sizes, &rng);
        ck_assert(size >= 10 && size <= 20);
    }
    ck_assert(distribution_parse_sizes("zipf:10-100", 100, &sizes));
    for (int i = 0; i < 1000; i++) {
        uint64_t size = distribution_sizes_next(&sizes, &rng);
        ck_assert(size >= 10 && size <= 100);
        small += size < 20;
    }
    ck_assert_uint_gt(small, 400);
}
END_TEST

/* --- the command line -------------------------------------------------------------------------------------------------------- */

/* What is wrong with a line; "" = nothing. */
static const char *parse(const char *line, struct settings *settings)
{
    static char text[SETTINGS_TEXT_BYTES];
    static char words[512];
    char *argv[32];
    int argc = 0;
    bool has_command;
    snprintf(words, sizeof words, "kvbench %s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) argv[argc++] = word;
    argv[argc] = NULL;
    bool is_good = settings_parse(settings, argc, argv, &has_command, text);
    settings_deinit(settings);
    ck_assert_msg(is_good || text[0] != '\0' || argc == 1, "refused without a word: %s", line);
    return is_good ? "" : text;
}

static void refuses(const char *line, const char *word)
{
    struct settings settings;
    const char *text = parse(line, &settings);
    ck_assert_msg(strstr(text, word) != NULL, "\"%s\": \"%s\" says nothing of \"%s\"", line, text, word);
}

START_TEST(test_kvbench_flags_are_read)
{
    struct settings settings;
    ck_assert_str_eq(parse("put", &settings), "");
    ck_assert_uint_eq(settings.duration_ns, 10 * NS_PER_S);
    ck_assert_uint_eq(settings.warm_up_ns, NS_PER_S);
    ck_assert_str_eq(parse("--endpoints=a:1,b:2 get --duration 3 --warm-up 500ms -w json --serializable", &settings), "");
    ck_assert_uint_eq(settings.endpoint_count, 2);
    ck_assert_str_eq(parse("--endpoints=a:1 get --endpoints b:1,c:1 --duration 3 --warm-up 500ms -w json --serializable", &settings), "");
    ck_assert_uint_eq(settings.endpoint_count, 3);
    ck_assert_uint_eq(settings.duration_ns, 3 * NS_PER_S);
    ck_assert_uint_eq(settings.warm_up_ns, 500 * NS_PER_MS);
    ck_assert(settings.is_json && settings.serializable && settings.dist == DISTRIBUTION_UNIFORM);
    ck_assert_str_eq(parse("put --total 500 --duration=", &settings), "");
    ck_assert_uint_eq(settings.duration_ns, 0);
    ck_assert_str_eq(parse("mixed --ycsb d", &settings), "");
    ck_assert_int_eq(settings.dist, DISTRIBUTION_LATEST);
    ck_assert_str_eq(parse("mixed --ycsb d --dist uniform", &settings), "");
    ck_assert_int_eq(settings.dist, DISTRIBUTION_UNIFORM);
}
END_TEST

START_TEST(test_kvbench_a_fill_fits_into_requests)
{
    static const struct {
        const char *line;
        uint64_t batch;
    } cases[] = {{"fill", 64}, {"fill --batch 100", 100}, {"get --fill --value-size 65536", 15}, {"get --fill --value-size uniform:1-262136", 4},
                 {"fill --batch 3 --value-size 65536", 3}, {"fill --value-size 67108864", 1}, {"fill --value-size 0", 64}};
    struct settings settings;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_str_eq(parse(cases[i].line, &settings), "");
        ck_assert_uint_eq(settings.fill_batch, cases[i].batch);
    }
}
END_TEST

START_TEST(test_kvbench_bad_flags_are_named)
{
    refuses("putt", "did you mean put?");
    refuses("frobnicate", "--help lists them");
    refuses("put --clients 0", "--clients is 0");
    refuses("put --clients many", "many");
    refuses("put --conns 5000", "4096");
    refuses("put --limit 5", "--limit is no flag of put");
    refuses("put --serializable", "--serializable is no flag of put");
    refuses("put --duration 10q", "--duration \"10q\"");
    refuses("put --duration 10 --total 5", "exclude each other");
    refuses("put --value-size uniform:9-1", "--value-size");
    refuses("put --keys 0", "--keys is 0");
    refuses("put --keys 1000000 --key-size 4", "5 bytes are the least");
    refuses("put --key-prefix longer-than-that", "do not fit");
    refuses("mixed --ycsb g", "a to f");
    refuses("get --dist normal", "latest");
    refuses("put -w yaml", "table and json");
    refuses("put --live often", "json, line");
    refuses("put --endpoints a:1,,b:2", "empty");
    refuses("put --server-pids x", "process ids");
    refuses("put --server-pids 1,", "process ids");
    refuses("put --server-pids 4194305", "no process 4194305");
    refuses("put extra", "one word too many");
    refuses("put --nonsense", "unknown flag");
    refuses("range --count-only --keys-only", "exclude each other");
    refuses("watch --watchers 5 --streams 6", "more than --watchers");
    refuses("watch --value-size 4", "8 at least");
    refuses("watch --keys 4", "--keys is no flag of watch");
    refuses("watch --watchers 5 --watched-keys 6", "--watched-keys");
    refuses("lease-keepalive --clients 1001 --streams 1", "1000 for each");
    refuses("put --plot picture.gif", ".svg or .png");
    refuses("compare", "wants a workload");
    refuses("compare put", "NAME=ENDPOINTS");
    refuses("compare --a a=x:1 --b =x:2 put", "NAME=ENDPOINTS");
    refuses("compare --a a=x:1 --b b=x:2,,x:3 put", "empty");
    refuses("compare --a a=x:1 --b b=x:2 --rounds 0 put", "--rounds is 0");
    refuses("compare --a a=x:1 --b b=x:2 --server-pids 1 put", "--a-pids");
    refuses("compare --a a=x:1 --b b=x:2 --limit 5 put", "--limit is no flag of put");
    refuses("put --rounds 5", "--rounds is no flag of put");
    refuses("put --threads 5 --clients 4", "more than --clients");
}
END_TEST

START_TEST(test_kvbench_a_comparison_has_two_sides)
{
    struct settings settings;
    double values[] = {3, 1, 2, 10}, spread;
    ck_assert_str_eq(parse("compare --a a=x:1,x:2 --b b=y:1 get --serializable", &settings), "");
    ck_assert(settings.compares && settings.command == COMMAND_GET && settings.serializable && settings.rounds == 3);
    ck_assert_double_eq(compare_median(values, 3, &spread), 2);
    ck_assert_double_eq(spread, 1);
    ck_assert_double_eq_tol(compare_median(values, 4, &spread), 2.5, 1e-9);
    ck_assert_double_eq_tol(spread, 3.6, 1e-9);
}
END_TEST

START_TEST(test_kvbench_watchers_have_clients_of_their_own_number)
{
    struct settings settings;
    ck_assert_str_eq(parse("watch", &settings), "");
    ck_assert_uint_eq(settings.clients, 8);
    ck_assert_uint_eq(settings.streams, 10);
    ck_assert_str_eq(parse("watch-latency", &settings), "");
    ck_assert_uint_eq(settings.clients, 1);
    ck_assert_str_eq(parse("watch --clients 100", &settings), "");
    ck_assert_uint_eq(settings.clients, 100);
    ck_assert_str_eq(parse("put", &settings), "");
    ck_assert_uint_eq(settings.clients, 100);
    ck_assert_uint_eq(settings.streams, 0);
}
END_TEST

START_TEST(test_kvbench_every_flag_has_a_command_and_every_command_its_words)
{
    struct settings settings;
    struct settings_flag flags[SETTINGS_FLAGS_MAX];
    int count = settings_flags(&settings, flags);
    for (int i = 0; i < count; i++) {
        ck_assert_uint_ne(flags[i].of, 0);
        ck_assert(flags[i].flag.help != NULL && flags[i].flag.group != NULL);
        for (int k = 0; k < i; k++) ck_assert_str_ne(flags[i].flag.name, flags[k].flag.name);
    }
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const struct command_row *row = settings_command((enum command)i);
        ck_assert(row->name != NULL && row->summary != NULL && strstr(row->examples, row->name) != NULL);
        ck_assert_int_eq(row->examples[strlen(row->examples) - 1], '\n');
    }
}
END_TEST

/* --- keys and errors --------------------------------------------------------------------------------------------------------- */

START_TEST(test_kvbench_keys_have_their_size_and_order)
{
    struct settings settings;
    struct workload workload;
    char key[32] = "", last[32] = "";
    ck_assert_str_eq(parse("put --key-size 8 --key-prefix k/ --keys 100000 --value-size uniform:3-9", &settings), "");
    workload_init(&workload, &settings);
    for (uint64_t i = 0; i < settings.keys; i += 777) {
        workload_key(&workload, i, key);
        ck_assert_uint_eq(strlen(key), 8);
        ck_assert(strncmp(key, "k/", 2) == 0 && strcmp(last, key) < 0);
        memcpy(last, key, sizeof key);
    }
    workload_key(&workload, 0xabc, key);
    ck_assert_str_eq(key, "k/000abc");
    workload_deinit(&workload);
}
END_TEST

START_TEST(test_kvbench_errors_are_told_apart)
{
    struct tally *tallies = alloc_zero(2, sizeof *tallies);
    char text[64];
    tally_init(&tallies[0]);
    tally_init(&tallies[1]);
    for (int i = 0; i < 3; i++) tally_failed(&tallies[0], 5, 0, KVD_UNAVAILABLE, "gone", true);
    tally_failed(&tallies[1], 7, 0, KVD_DEADLINE_EXCEEDED, "", false);
    tally_failed(&tallies[1], 5, 0, KVD_UNAVAILABLE, "gone", false);
    tally_merge(&tallies[0], &tallies[1]);
    ck_assert_uint_eq(tallies[0].counts.errors, 5);
    ck_assert_uint_eq(tallies[0].counts.unknown, 3);
    ck_assert_uint_eq(tallies[0].kind_count, 2);
    ck_assert_uint_eq(tallies[0].kinds[0].count, 4);
    ck_assert_str_ne(tallies[0].kinds[1].text, "");
    ck_assert_uint_eq(tallies[0].latencies.count, 1); /* who failed at once was not fast */
    for (int i = 0; i < 2 * TALLY_KINDS_MAX; i++) {
        snprintf(text, sizeof text, "kind %d", i);
        tally_failed(&tallies[0], 0, 0, KVD_INTERNAL, text, false);
    }
    ck_assert_uint_eq(tallies[0].kind_count, TALLY_KINDS_MAX);
    ck_assert_uint_eq(tallies[0].other_errors, TALLY_KINDS_MAX + 2);
    tally_deinit(&tallies[0]);
    tally_deinit(&tallies[1]);
    alloc_free(tallies);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kvbench");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, test_kvbench_histogram_is_within_one_percent);
    tcase_add_test(tcase, test_kvbench_percentiles_are_those_of_the_sorted_values);
    tcase_add_test(tcase, test_kvbench_an_empty_histogram_is_all_zeros);
    tcase_add_test(tcase, test_kvbench_hdr_text_rises_to_all_of_them);
    tcase_add_test(tcase, test_kvbench_zipf_follows_its_law);
    tcase_add_test(tcase, test_kvbench_keys_are_of_their_kind);
    tcase_add_test(tcase, test_kvbench_sizes_are_read_and_kept_to);
    tcase_add_test(tcase, test_kvbench_flags_are_read);
    tcase_add_test(tcase, test_kvbench_a_fill_fits_into_requests);
    tcase_add_test(tcase, test_kvbench_bad_flags_are_named);
    tcase_add_test(tcase, test_kvbench_a_comparison_has_two_sides);
    tcase_add_test(tcase, test_kvbench_watchers_have_clients_of_their_own_number);
    tcase_add_test(tcase, test_kvbench_every_flag_has_a_command_and_every_command_its_words);
    tcase_add_test(tcase, test_kvbench_keys_have_their_size_and_order);
    tcase_add_test(tcase, test_kvbench_errors_are_told_apart);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
