/* Does every input that was ever of interest to the fuzz targets, and some thousand cheap mutations of each corpus, leave the product whole?
 *
 *   test_fuzz_corpus                  replays test/fuzz/corpus and mutates it (KVD_TEST_LONG=1: much longer)
 *   test_fuzz_corpus NAME FILE…       runs these files through one target
 *   test_fuzz_corpus --write-seeds    makes the seeds of the corpus anew
 * An input that ends the process is printed in hexadecimal (xxd -r -p makes a file of it). */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "fuzz/seeds.h"

#define CORPUS "test/fuzz/corpus"
#define SEEDS_MAX 256
#define DECLARE(name, rounds) int fuzz_##name(const uint8_t *data, size_t size);
FUZZ_TARGETS(DECLARE)

static const struct target {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
    uint64_t rounds;
} targets[] = {
#define ROW(name, rounds) {#name, fuzz_##name, rounds},
    FUZZ_TARGETS(ROW)
};
#define TARGET_COUNT (sizeof targets / sizeof targets[0])

/* --- the input that runs ---------------------------------------------------------------------------------------------------- */

static struct blob *running;

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void tell_input(void)
{
    static const char digits[] = "0123456789abcdef";
    if (running == NULL) return;
    struct slice bytes = blob_slice(running);
    char text[2 * 2048 + 1];
    size_t size = bytes.size < 2048 ? bytes.size : 2048;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    text[2 * size] = '\n';
    if (write(STDERR_FILENO, "input: ", 7) != 7 || write(STDERR_FILENO, text, 2 * size + 1) < 0) return;
}

static void on_abort(int number)
{
    tell_input();
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const struct target *target, struct slice bytes)
{
    running = blob_copy(bytes); /* its own memory of exactly that size: the sanitizer sees each byte too far */
    (void)target->run(running->data, bytes.size);
    blob_unref(running);
    running = NULL;
}

/* --- files ------------------------------------------------------------------------------------------------------------------ */

static struct blob *load(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fatal("%s cannot be opened", path);
    uint8_t *bytes = alloc_new(FUZZ_INPUT_MAX);
    ssize_t size = read(file, bytes, FUZZ_INPUT_MAX);
    if (size < 0) fatal("%s cannot be read", path);
    close(file);
    struct blob *blob = blob_copy(slice_make(bytes, (size_t)size));
    alloc_free(bytes);
    return blob;
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* In the order of their names, so that a round of mutations is the same everywhere. */
static size_t load_corpus(const struct target *target, struct blob **out_seeds)
{
    char path[512];
    struct dirent **names = NULL;
    snprintf(path, sizeof path, CORPUS "/%s", target->name);
    int count = scandir(path, &names, is_visible, alphasort);
    ck_assert_msg(count > 0 && count <= SEEDS_MAX, "%s: %d files", path, count);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, CORPUS "/%s/%s", target->name, names[i]->d_name);
        out_seeds[i] = load(path);
        free(names[i]);
    }
    free(names);
    return (size_t)count;
}

static int write_seeds(void)
{
    char path[512];
    for (size_t i = 0; i < TARGET_COUNT; i++) {
        struct buf seed;
        const char *name;
        buf_init(&seed);
        for (size_t place = 0; (name = seeds_make(targets[i].name, place, &seed)) != NULL; place++) {
            snprintf(path, sizeof path, CORPUS "/%s/%s", targets[i].name, name);
            FILE *file = fopen(path, "wb");
            if (file == NULL) return EXIT_FAILURE;
            struct slice bytes = buf_slice(&seed);
            bool is_written = bytes.size == 0 || fwrite(bytes.data, bytes.size, 1, file) == 1;
            if (fclose(file) != 0 || !is_written) return EXIT_FAILURE;
            buf_clear(&seed);
        }
        buf_deinit(&seed);
    }
    return EXIT_SUCCESS;
}

/* --- mutations -------------------------------------------------------------------------------------------------------------- */

static void put_some(struct buf *out, struct slice bytes, struct rng *rng)
{
    if (bytes.size == 0) return;
    size_t at = rng_below(rng, bytes.size);
    buf_put(out, bytes.data + at, rng_below(rng, bytes.size - at) + 1);
}

/* A copy with pieces left out, doubled, or taken from another seed, and a few bytes changed. */
static void mutate(struct slice seed, struct slice other, struct rng *rng, struct buf *out)
{
    static const uint8_t interesting[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x1a, '-', ',', '"', '\n'};
    size_t cut = rng_below(rng, seed.size + 1);
    buf_clear(out);
    buf_put(out, seed.data, cut);
    switch (rng_below(rng, 6)) {
    case 0: break; /* the rest is gone */
    case 1: put_some(out, other, rng); break;
    case 2: put_some(out, seed, rng); /* fall through */
    case 3: put_some(out, other, rng); /* fall through */
    default: buf_put(out, seed.data + cut, seed.size - cut); break;
    }
    if (out->size > FUZZ_INPUT_MAX) out->size = FUZZ_INPUT_MAX;
    for (uint64_t n = rng_below(rng, 5); n > 0 && out->size > 0; n--) {
        uint8_t *place = &out->blob->data[rng_below(rng, out->size)];
        switch (rng_below(rng, 4)) {
        case 0: *place ^= (uint8_t)(1u << rng_below(rng, 8)); break;
        case 1: *place = interesting[rng_below(rng, sizeof interesting)]; break;
        case 2: *place = (uint8_t)(*place + rng_below(rng, 9) - 4); break;
        default: *place = (uint8_t)rng_next(rng); break;
        }
    }
}

static bool is_long(void)
{
    const char *text = getenv("KVD_TEST_LONG");
    return text != NULL && strcmp(text, "1") == 0;
}

START_TEST(test_fuzz_corpus_and_mutations_of_it_do_no_harm)
{
    const struct target *target = &targets[_i];
    struct blob *seeds[SEEDS_MAX];
    struct rng rng;
    struct buf input;
    size_t count = load_corpus(target, seeds);
    buf_init(&input);
    rng_init(&rng, 1);
    for (size_t i = 0; i < count; i++) run(target, blob_slice(seeds[i]));
    uint64_t rounds = is_long() ? 50 * target->rounds : target->rounds;
    for (uint64_t i = 0; i < rounds; i++) {
        mutate(blob_slice(seeds[i % count]), blob_slice(seeds[rng_below(&rng, count)]), &rng, &input);
        run(target, buf_slice(&input));
    }
    buf_deinit(&input);
    for (size_t i = 0; i < count; i++) blob_unref(seeds[i]);
}
END_TEST

START_TEST(test_fuzz_corpus_names_every_target)
{
    struct dirent **names = NULL;
    int count = scandir("test/fuzz", &names, is_visible, alphasort);
    size_t found = 0;
    ck_assert_int_gt(count, 0);
    for (int i = 0; i < count; i++) {
        bool is_target = strncmp(names[i]->d_name, "fuzz_", 5) == 0 && strstr(names[i]->d_name, ".c") != NULL;
        for (size_t n = 0; is_target && n < TARGET_COUNT; n++) {
            char file[64];
            snprintf(file, sizeof file, "fuzz_%s.c", targets[n].name);
            found += strcmp(file, names[i]->d_name) == 0 ? 1 : 0;
        }
        free(names[i]);
    }
    free(names);
    ck_assert_uint_eq(found, TARGET_COUNT);
}
END_TEST

static int run_files(const char *name, int count, char **paths)
{
    for (size_t i = 0; i < TARGET_COUNT; i++) {
        if (strcmp(targets[i].name, name) != 0) continue;
        for (int n = 0; n < count; n++) {
            struct blob *bytes = load(paths[n]);
            run(&targets[i], blob_slice(bytes));
            blob_unref(bytes);
        }
        return EXIT_SUCCESS;
    }
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback != NULL) __sanitizer_set_death_callback(tell_input);
    if (argc == 2 && strcmp(argv[1], "--write-seeds") == 0) return write_seeds();
    if (argc > 2) return run_files(argv[1], argc - 2, argv + 2);
    TCase *tests = tcase_create("corpus");
    tcase_set_timeout(tests, is_long() ? 1200 : 60);
    tcase_add_test(tests, test_fuzz_corpus_names_every_target);
    tcase_add_loop_test(tests, test_fuzz_corpus_and_mutations_of_it_do_no_harm, 0, (int)TARGET_COUNT);
    Suite *suite = suite_create("fuzz_corpus");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
