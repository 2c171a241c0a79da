/* check_history FILE: could a strictly serializable store have answered so? The file is a history as lib/kv_history_json.h says.
 * Exit: 0 yes; 1 no: the rule that is broken, and by which operation; 2 the file is not understood. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/kv_history_json.h"

static void print_broken(const struct kv_history *history, const struct kv_verdict *verdict)
{
    struct kv_history one = {.ops = &history->ops[verdict->op], .count = 1};
    printf("broken: %s\nexpected %" PRId64 ", got %" PRId64 ", by ", verdict->rule, verdict->expected, verdict->got);
    kv_history_json_write(&one, stdout);
}

int main(int argc, char **argv)
{
    struct kv_history history;
    char reason[256];
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (file == NULL) {
        if (argc == 2) perror(argv[1]);
        if (argc != 2) fprintf(stderr, "Usage: check_history FILE\n");
        return 2;
    }
    kv_history_init(&history);
    bool is_good = kv_history_json_read(file, &history, reason, sizeof(reason));
    (void)fclose(file);
    if (!is_good) fprintf(stderr, "%s: %s\n", argv[1], reason);
    int code = is_good ? 0 : 2;
    if (is_good) {
        struct kv_verdict verdict = kv_history_check(&history);
        if (!verdict.is_good) print_broken(&history, &verdict);
        if (verdict.is_good) printf("%zu operations: strictly serializable\n", history.count);
        code = verdict.is_good ? 0 : 1;
    }
    kv_history_deinit(&history);
    return code;
}
