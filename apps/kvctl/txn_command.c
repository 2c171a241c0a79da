/* txn_command: reads compares, then what to do if all hold, then what to do otherwise; sends one Txn. */
#include "txn_command.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "print.h"
#include "txn_build.h"
#include "txn_parse.h"

#define LINE_BYTES_MAX (16u << 20)

int txn_command_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL && out_flags != NULL);
    out_flags[0] = (struct flag){"interactive", 'i', FLAG_BOOL, &options->interactive, NULL,
                                 "ask for each section by its name", "Options", false};
    return 1;
}

/* A line like a command line, in etcdctl's quoting. */
static enum ctl_exit add_operation(struct txn_build *build, enum txn_part part, const char *line)
{
    char *words[TXN_PARSE_WORDS_MAX];
    int count = 0;
    enum ctl_exit code = CTL_OK;
    if (!txn_parse_words(line, &build->arena, words, &count)) code = ctl_fail(CTL_INVALID_INPUT, "invalid txn request: %s", line);
    if (code == CTL_OK) code = txn_build_operation(build, part, count, words, line);
    arena_reset(&build->arena);
    return code;
}

/* One section up to its empty line. An input that ends before was cut short, and what was to come is not known. */
static enum ctl_exit read_section(const struct ctl *ctl, const char *prompt, enum txn_part part, struct txn_build *build)
{
    char *line = NULL;
    size_t capacity = 0;
    enum ctl_exit code = CTL_OK;
    if (ctl->options.interactive) printf("%s\n", prompt);
    fflush(stdout);
    while (code == CTL_OK) {
        ssize_t size = getline(&line, &capacity, stdin);
        bool is_whole = size > 0 && line[size - 1] == '\n';
        if (is_whole) line[--size] = '\0';
        if (is_whole && size == 0) break;
        if (!is_whole)
            code = ctl_fail(CTL_INVALID_INPUT, "the input ends before the empty line that ends \"%s\"", prompt);
        else if (size > LINE_BYTES_MAX || strlen(line) != (size_t)size)
            code = ctl_fail(CTL_INVALID_INPUT, "a line is too long, or holds a NUL byte");
        else
            code = part == TXN_COMPARE ? txn_build_compare(build, line) : add_operation(build, part, line);
    }
    alloc_free(line);
    return code;
}

enum ctl_exit txn_command_run(struct ctl *ctl, int count, const char **words)
{
    static const char *const prompts[] = {"compares:", "success requests (get, put, del):",
                                          "failure requests (get, put, del):"};
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "txn command does not accept argument");
    struct txn_build build;
    ProtobufCMessage *response = NULL;
    txn_build_init(&build);
    enum ctl_exit code = CTL_OK;
    for (int part = TXN_COMPARE; part <= TXN_ELSE && code == CTL_OK; part++)
        code = read_section(ctl, prompts[part - 1], (enum txn_part)part, &build);
    if (code == CTL_OK) code = txn_build_send(ctl, &build, &response);
    if (code == CTL_OK) {
        code = print_txn(ctl, (const Etcdserverpb__TxnResponse *)response);
        protobuf_c_message_free_unpacked(response, NULL);
    }
    txn_build_deinit(&build);
    return code;
}
