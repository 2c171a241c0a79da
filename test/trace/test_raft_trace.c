/* test_raft_trace: do the stories in test/trace/scenarios still read as written? One test per file; the language is
 * described in test/lib/raft_script.h.
 *
 *   test_raft_trace --rewrite [FILE...]   writes the stories again with the output that they have now: review the difference
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/raft_script.h"

#define FOLDER "test/trace/scenarios"
enum { FILES_MAX = 128, PATH_BYTES = 512 };

static char paths[FILES_MAX][PATH_BYTES];
static int path_count;

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void find_stories(void)
{
    DIR *folder = opendir(FOLDER);
    if (folder == NULL) return;
    for (struct dirent *entry = readdir(folder); entry != NULL && path_count < FILES_MAX; entry = readdir(folder)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".txt") != 0) continue;
        snprintf(paths[path_count++], PATH_BYTES, "%s/%s", FOLDER, entry->d_name);
    }
    closedir(folder);
    qsort(paths, (size_t)path_count, PATH_BYTES, by_name);
}

static bool read_file(const char *path, struct buf *out_text)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    char part[4096];
    for (size_t size = fread(part, 1, sizeof part, file); size > 0; size = fread(part, 1, sizeof part, file)) {
        buf_put(out_text, part, size);
    }
    fclose(file);
    return true;
}

/* Both texts round the first line that differs. */
static void tell_difference(const char *path, struct slice expected, struct slice found)
{
    size_t same = 0;
    int line = 1;
    size_t from = 0;
    while (same < expected.size && same < found.size && expected.data[same] == found.data[same]) {
        if (expected.data[same++] != '\n') continue;
        line++;
        from = same;
    }
    enum { SHOWN = 600 };
    size_t expected_shown = expected.size - from < SHOWN ? expected.size - from : SHOWN;
    size_t found_shown = found.size - from < SHOWN ? found.size - from : SHOWN;
    fprintf(stderr, "%s:%d: differs\n---- expected\n%.*s\n---- found\n%.*s\n", path, line, (int)expected_shown,
            (const char *)expected.data + from, (int)found_shown, (const char *)found.data + from);
}

START_TEST(test_raft_story_reads_as_written)
{
    const char *path = paths[_i];
    struct buf expected;
    struct buf found;
    buf_init(&expected);
    buf_init(&found);
    ck_assert_msg(read_file(path, &expected), "cannot read %s", path);
    bool is_understood = raft_script_play(buf_slice(&expected), &found);
    bool is_same = slice_equal(buf_slice(&expected), buf_slice(&found));
    if (!is_same) tell_difference(path, buf_slice(&expected), buf_slice(&found));
    ck_assert_msg(is_understood && is_same, "%s does not read as written", path);
    buf_deinit(&expected);
    buf_deinit(&found);
}
END_TEST

START_TEST(test_raft_stories_are_found)
{
    ck_assert_int_gt(path_count, 0); /* run it at the top of the source tree */
}
END_TEST

static bool rewrite(const char *path)
{
    struct buf before;
    struct buf after;
    buf_init(&before);
    buf_init(&after);
    bool is_good = read_file(path, &before) && raft_script_play(buf_slice(&before), &after);
    bool is_new = !slice_equal(buf_slice(&before), buf_slice(&after));
    FILE *file = is_new ? fopen(path, "w") : NULL;
    if (file != NULL) {
        is_good = fwrite(buf_slice(&after).data, 1, after.size, file) == after.size && is_good;
        is_good = fclose(file) == 0 && is_good;
    }
    printf("%s: %s\n", path, !is_good ? "a command was not understood" : (is_new ? "rewritten" : "unchanged"));
    buf_deinit(&before);
    buf_deinit(&after);
    return is_good;
}

static int rewrite_all(int count, char **files)
{
    bool is_good = true;
    for (int i = 0; i < count; i++) is_good = rewrite(files[i]) && is_good;
    for (int i = 0; i < path_count && count == 0; i++) is_good = rewrite(paths[i]) && is_good;
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    find_stories();
    if (argc > 1 && strcmp(argv[1], "--rewrite") == 0) return rewrite_all(argc - 2, argv + 2);
    Suite *suite = suite_create("raft_trace");
    TCase *tcase = tcase_create("stories");
    tcase_add_test(tcase, test_raft_stories_are_found);
    tcase_add_loop_test(tcase, test_raft_story_reads_as_written, 0, path_count);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
