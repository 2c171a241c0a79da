/* batch_command: a window of items, a ring in the order of the lines: the youngest is started when nothing before it that is under way is
 * about its keys; the oldest is printed when it is done. When the input has nothing yet, all that is under way is waited for first. */
#include "batch_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "batch_atomic.h"
#include "batch_input.h"
#include "batch_item.h"
#include "commands.h"
#include "print_message.h"
#include "progress.h"
#include "put_ttl.h"
#include "txn_block.h"
#include "words.h"

#define ARENA_BYTES_MAX (64u << 20)

struct batch {
    struct ctl *ctl;
    struct batch_input input;
    struct arena arena;
    struct txn_block txn;      /* over several lines */
    struct progress progress;
    struct batch_item *items;
    size_t size, first, count; /* of the ring */
    size_t bytes;              /* of its requests */
    uint64_t done, failed, start_ns;
    bool is_stopping;          /* no further line is read */
    bool knows_ttl, has_asked; /* what put --ttl needs */
    enum ctl_exit code;
};

int batch_command_flags(struct ctl_options *o, struct flag *out_flags)
{
    o->parallel = 64;
    const struct flag flags[] = {
        {"parallel", 'p', FLAG_I64, &o->parallel, "<n>", "so many calls under way at a time, 1 to 1024", "Options", false},
        {"any-order", 0, FLAG_BOOL, &o->any_order, NULL, "also lines about the same keys at the same time", "Options", false},
        {"atomic", 0, FLAG_BOOL, &o->atomic, NULL, "one transaction; with empty lines, one for each group between them", "Options", false},
        {"stop-on-error", 0, FLAG_BOOL, &o->stop_on_error, NULL, "start nothing more when a line has failed", "Options", false},
        {"dry-run", 0, FLAG_BOOL, &o->dry_run, NULL, "only look whether the lines are well formed", "Options", false},
        {"quiet", 'q', FLAG_BOOL, &o->quiet, NULL, "print only what failed", "Options", false},
    };
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

/* --- the window -------------------------------------------------------------------------------------------------------------- */

static struct batch_item *item_at(struct batch *batch, size_t place) { return &batch->items[(batch->first + place) % batch->size]; }

static void on_done(void *context, const struct calls_result *result) { batch_item_take(context, result); }

static void count_outcome(struct batch *batch, const struct batch_item *item)
{
    if (item->error_kind == NULL) {
        batch->done++;
        return;
    }
    batch->failed++;
    if (batch->code == CTL_OK) batch->code = strcmp(item->error_kind, "INVALID") == 0 ? CTL_INVALID_INPUT : CTL_ERROR;
    if (batch->ctl->options.stop_on_error) batch->is_stopping = true;
}

static void print_done(struct batch *batch)
{
    while (batch->count > 0 && item_at(batch, 0)->is_done) {
        struct batch_item *item = item_at(batch, 0);
        if (item->error_kind != NULL) progress_end(&batch->progress);
        count_outcome(batch, item);
        batch_item_print(item, batch->ctl, batch->ctl->options.quiet);
        batch->bytes -= item->request.size;
        batch->first = (batch->first + 1) % batch->size;
        batch->count--;
    }
    progress_show_lines(&batch->progress, batch->done + batch->failed, batch->input.bytes, batch->input.total);
}

static void wait_once(struct batch *batch)
{
    if (!ctl_pump(batch->ctl, CLOCK_NEVER)) {
        batch->is_stopping = true;
        for (size_t i = 0; i < batch->count; i++)
            if (!item_at(batch, i)->is_done) calls_cancel(batch->ctl->client, item_at(batch, i)->call);
    }
    print_done(batch);
}

static void wait_for_all(struct batch *batch)
{
    print_done(batch);
    while (batch->count > 0) wait_once(batch);
    fflush(stdout);
}

static bool must_wait(struct batch *batch, const struct batch_item *item)
{
    if (batch->bytes + item->request.size > BATCH_FLIGHT_BYTES && batch->count > 0) return true;
    for (size_t i = 0; i < batch->count && !batch->ctl->options.any_order; i++)
        if (batch_item_blocks(item_at(batch, i), item)) return true;
    return false;
}

/* A put that makes its lease: a server that passes over the TTL would keep the key for ever. */
static bool is_ttl_known(struct batch *batch)
{
    if (!batch->has_asked && put_ttl_ask(batch->ctl, &batch->knows_ttl) != CTL_OK) batch->knows_ttl = false;
    batch->has_asked = true;
    return batch->knows_ttl;
}

static void start_item(struct batch *batch, struct batch_item *item)
{
    if (!item->is_done && item->has_ttl && !is_ttl_known(batch)) batch_item_fail(item, item->line, "the server makes no lease with a put: use put --lease");
    while (!item->is_done && must_wait(batch, item)) wait_once(batch);
    if (batch->is_stopping) return; /* a line before it failed meanwhile */
    if (item->is_done && batch->ctl->options.stop_on_error) batch->is_stopping = true;
    if (!item->is_done)
        item->call = ctl_begin(batch->ctl, batch_item_path(item), buf_slice(&item->request), batch_item_policy(item), on_done, item);
    batch->bytes += item->request.size;
    batch->count++;
    print_done(batch);
}

/* --- lines ------------------------------------------------------------------------------------------------------------------- */

/* The lines of a transaction up to END. One that is wrong is not sent; the first mistake is told with its own line. */
static void read_txn(struct batch *batch, struct batch_item *item)
{
    uint64_t first = batch->input.line;
    enum txn_block_state state = TXN_BLOCK_MORE;
    struct buf wrong, text;
    buf_init(&wrong);
    buf_init(&text);
    txn_block_begin(&batch->txn);
    while (state != TXN_BLOCK_END && state != TXN_BLOCK_ABORT) {
        const char *why = NULL;
        char *line = batch_input_next(&batch->input, &why);
        if (line == NULL && why == NULL) why = "the input ends before END";
        buf_clear(&text);
        ctl_fail_into(&text);
        state = line != NULL ? txn_block_line(&batch->txn, line) : TXN_BLOCK_WRONG;
        ctl_fail_into(NULL);
        if (line == NULL) buf_printf(&text, "%s", why);
        if (state == TXN_BLOCK_WRONG && wrong.size == 0)
            buf_printf(&wrong, "the transaction is not sent: line %" PRIu64 ": %.*s", batch->input.line, (int)text.size, (const char *)text.blob->data);
        if (line == NULL && batch->input.is_over) break;
    }
    if (state == TXN_BLOCK_ABORT && wrong.size == 0) buf_printf(&wrong, "the transaction is given up by ABORT");
    if (wrong.size == 0) {
        batch_item_txn(item, first, &batch->txn.build);
    } else {
        buf_put_u8(&wrong, '\0');
        batch_item_fail(item, first, (const char *)wrong.blob->data);
    }
    buf_deinit(&text);
    buf_deinit(&wrong);
}

/* Splits a line; false: nothing stands in it. What is wrong is the item's outcome. */
static bool parse(struct batch *batch, struct batch_item *item, const char *text, const char *wrong)
{
    char *words[WORDS_MAX + 1];
    int count = 0;
    arena_reset(&batch->arena);
    if (wrong == NULL) wrong = words_split(text, &batch->arena, words, &count);
    if (wrong == NULL && count == 0) return false;
    if (wrong != NULL) {
        batch_item_fail(item, batch->input.line, wrong);
    } else {
        commands_lower(count, words);
        if (count == 1 && strcmp(words[0], "txn") == 0) read_txn(batch, item);
        else batch_item_parse(item, batch->input.line, count, words);
    }
    return true;
}

static void run_lines(struct batch *batch)
{
    while (!batch->is_stopping) {
        const char *wrong = NULL;
        while (batch->count == batch->size) wait_once(batch);
        if (!batch_input_is_ready(&batch->input)) wait_for_all(batch);
        if (batch->is_stopping) break;
        char *text = batch_input_next(&batch->input, &wrong);
        if (text == NULL && wrong == NULL) break;
        struct batch_item *item = item_at(batch, batch->count);
        if (!parse(batch, item, text, wrong)) continue;
        start_item(batch, item);
    }
    wait_for_all(batch);
}

static void check_lines(struct batch *batch)
{
    const char *wrong = NULL;
    char *text;
    while (!batch->is_stopping && ((text = batch_input_next(&batch->input, &wrong)) != NULL || wrong != NULL)) {
        struct batch_item *item = item_at(batch, 0);
        if (!parse(batch, item, text, wrong)) continue;
        count_outcome(batch, item);
        if (item->error_kind != NULL) batch_item_print(item, batch->ctl, true);
    }
}

/* --- groups ------------------------------------------------------------------------------------------------------------------ */

static void end_group(struct batch *batch, struct batch_atomic *group)
{
    uint64_t done = 0, failed = 0;
    enum ctl_exit code = batch_atomic_send(group, batch->ctl, batch->ctl->options.quiet, &done, &failed);
    batch->done += done;
    batch->failed += failed;
    if (batch->code == CTL_OK) batch->code = code;
    if (code != CTL_OK && batch->ctl->options.stop_on_error) batch->is_stopping = true;
    if (batch->ctl->ear != NULL && code == CTL_INTERRUPTED) batch->is_stopping = true;
    progress_show_lines(&batch->progress, batch->done + batch->failed, batch->input.bytes, batch->input.total);
}

static void run_groups(struct batch *batch)
{
    struct batch_atomic *group = batch_atomic_new();
    while (!batch->is_stopping) {
        char *words[WORDS_MAX + 1];
        const char *wrong = NULL;
        int count = 0;
        char *text = batch_input_next(&batch->input, &wrong);
        if (text == NULL && wrong == NULL) break;
        arena_reset(&batch->arena);
        bool is_empty = text != NULL && text[strspn(text, " \t")] == '\0';
        if (is_empty) {
            end_group(batch, group);
            continue;
        }
        if (wrong == NULL) wrong = words_split(text, &batch->arena, words, &count);
        if (wrong == NULL && count == 0) continue;
        if (count > 0) commands_lower(count, words);
        batch_atomic_add(group, batch->input.line, count, words, wrong);
    }
    if (!batch->is_stopping) end_group(batch, group);
    batch_atomic_free(group);
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

static void say_summary(const struct batch *batch)
{
    double seconds = (double)(clock_mono_ns() - batch->start_ns) / (double)NS_PER_S;
    uint64_t lines = batch->done + batch->failed;
    fflush(stdout);
    if (batch->ctl->options.dry_run)
        fprintf(stderr, "%" PRIu64 " lines are well formed, %" PRIu64 " are not\n", batch->done, batch->failed);
    else
        fprintf(stderr, "%" PRIu64 " done, %" PRIu64 " failed in %.2f s (%.0f/s)%s\n", batch->done, batch->failed, seconds, (double)lines / seconds,
                batch->is_stopping ? "; stopped" : "");
}

static void run(struct batch *batch)
{
    batch->size = (size_t)batch->ctl->options.parallel;
    batch->items = alloc_zero(batch->size, sizeof *batch->items);
    for (size_t i = 0; i < batch->size; i++) batch_item_init(&batch->items[i]);
    arena_init(&batch->arena, ARENA_BYTES_MAX);
    txn_block_init(&batch->txn);
    progress_init(&batch->progress);
    if (isatty(STDOUT_FILENO) == 1 && !batch->ctl->options.quiet) batch->progress.is_terminal = false; /* results go there */
    batch->start_ns = clock_mono_ns();
    if (batch->ctl->options.dry_run) check_lines(batch);
    else if (batch->ctl->options.atomic) run_groups(batch);
    else run_lines(batch);
    progress_end(&batch->progress);
    say_summary(batch);
    for (size_t i = 0; i < batch->size; i++) batch_item_deinit(&batch->items[i]);
    alloc_free(batch->items);
    txn_block_deinit(&batch->txn);
    arena_deinit(&batch->arena);
}

enum ctl_exit batch_command_run(struct ctl *ctl, int count, const char **words)
{
    struct batch batch = {.ctl = ctl};
    if (count > 1) return ctl_fail(CTL_BAD_ARGS, "batch takes one file, or standard input");
    if (ctl->options.parallel < 1 || ctl->options.parallel > BATCH_PARALLEL_MAX)
        return ctl_fail(CTL_BAD_ARGS, "--parallel is 1 to %d", BATCH_PARALLEL_MAX);
    if (ctl->format == CTL_TABLE || ctl->format == CTL_PROTOBUF) return print_message_no_format(ctl);
    enum ctl_exit code = batch_input_open(&batch.input, count == 0 ? NULL : words[0]);
    if (code == CTL_OK && !ctl->options.dry_run) code = ctl_connect(ctl, &ctl->globals.endpoints);
    if (code == CTL_OK) run(&batch);
    batch_input_close(&batch.input);
    return code == CTL_OK ? batch.code : code;
}
