/* shell: lines and what they do. Before each line the thread that owns the terminal waits in one poll, over the terminal, signals and the
 * queue of watches (shell_line.c); while a command runs it waits in the client, as kvctl always does. */
#include "shell.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "credentials.h"
#include "ear.h"
#include "globals.h"
#include "help.h"
#include "kv_request.h"
#include "print.h"
#include "run.h"
#include "shell_line.h"
#include "shell_state.h"
#include "shell_watch.h"
#include "txn_block.h"
#include "watch_command.h"
#include "words.h"

#define ARENA_BYTES_MAX (64u << 20)

struct shell {
    struct ctl *ctl;              /* its globals are the session's */
    struct shell_state *state;
    struct shell_watch *watch;
    struct shell_line *line;
    struct txn_block txn;
    bool is_in_txn;
    struct arena arena;           /* the words of the line */
    bool is_over;
};

/* --- help -------------------------------------------------------------------------------------------------------------------- */

static void print_shell_help(void)
{
    printf("\nHere, beside kvctl's commands (in any case, quoting as in a shell):\n"
           "  HELP [<command>]       this, or more about one command, with examples\n"
           "  TXN                    a transaction over several lines:\n"
           "                             TXN\n"
           "                             IF mod(\"k\") = \"5\"\n"
           "                             THEN\n"
           "                               put k new\n"
           "                             ELSE\n"
           "                               get k\n"
           "                             END\n"
           "  WATCH <key> [flags]    prints while you type; WATCHES lists them, UNWATCH [<n>] ends one\n"
           "  EXIT                   or Ctrl-D; Ctrl-C ends a command, clears the line, or, on an empty line, ends the newest watch\n"
           "  Tab completes commands, flags and keys; the arrow up brings back lines, Ctrl-R looks for one.\n");
}

static void run_help(int count, char **words)
{
    int used = 0;
    commands_lower(count, words);
    const struct command *command = commands_find(count, (const char *const *)words, &used);
    if (command != NULL) {
        help_command(command);
        if (strcmp(command->name, "txn") == 0) print_shell_help();
    } else if (count == 0) {
        help_commands();
        print_shell_help();
    } else {
        help_explain(count, (const char **)(uintptr_t)words, NULL, 0);
    }
}

/* --- watches ----------------------------------------------------------------------------------------------------------------- */

/* A watch that stays; with a command for each event it is run like any other command. */
static void run_watch(struct shell *shell, int count, char **words, const char *line)
{
    struct ctl_options options = {.prefix = false};
    struct flag flags[KV_REQUEST_FLAGS_MAX];
    const char *arguments[WORDS_MAX + 1];
    const struct flags_options how = {.environment_prefix = NULL};
    struct flags_result result = {.arguments = arguments};
    struct buf request;
    int flag_count = watch_command_flags(&options, flags);
    if (!flags_parse(flags, flag_count, count, words, &how, &result)) {
        ctl_fail(CTL_BAD_ARGS, "%s", result.error);
        return;
    }
    buf_init(&request);
    if (watch_command_request(&options, result.arguments_count, arguments, &request) == CTL_OK) {
        int number = shell_watch_add(shell->watch, buf_slice(&request), options.rev, line);
        if (number == 0) ctl_fail(CTL_BAD_ARGS, "there are %d watches already; UNWATCH ends one", SHELL_WATCH_MAX);
        if (number > 0) printf("watch %d; UNWATCH %d ends it\n", number, number);
    }
    buf_deinit(&request);
}

static void run_unwatch(struct shell *shell, int count, char **words)
{
    char *end = NULL;
    long number = count > 1 ? strtol(words[1], &end, 10) : 0;
    bool is_wrong = count > 2 || (count == 2 && (*end != '\0' || number <= 0 || number > INT32_MAX));
    if (is_wrong) ctl_fail(CTL_BAD_ARGS, "unwatch takes the number of a watch, as WATCHES shows it");
    else if (!shell_watch_drop(shell->watch, (int)number)) ctl_fail(CTL_BAD_ARGS, "there is no such watch");
}

/* --- transactions ------------------------------------------------------------------------------------------------------------ */

static void send_txn(struct shell *shell)
{
    struct ctl ctl = {.globals = shell->ctl->globals, .format = shell->ctl->format, .hears = true, .quotes = true};
    ProtobufCMessage *response = NULL;
    enum ctl_exit code = ctl_connect(&ctl, &ctl.globals.endpoints);
    if (code == CTL_OK) code = txn_build_send(&ctl, &shell->txn.build, &response);
    ctl_disconnect(&ctl);
    if (code != CTL_OK) return;
    print_txn(&ctl, (const Etcdserverpb__TxnResponse *)response);
    protobuf_c_message_free_unpacked(response, NULL);
}

static void txn_line(struct shell *shell, const char *line)
{
    enum txn_block_state state = txn_block_line(&shell->txn, line);
    if (state == TXN_BLOCK_END) send_txn(shell);
    if (state == TXN_BLOCK_END || state == TXN_BLOCK_ABORT) shell->is_in_txn = false;
}

/* --- lines ------------------------------------------------------------------------------------------------------------------- */

static void run_command(struct shell *shell, int count, char **words)
{
    static char name[] = "kvctl";
    struct ctl ctl = {.format = CTL_SIMPLE, .hears = true, .quotes = true};
    char *argv[WORDS_MAX + 2] = {name};
    memcpy(argv + 1, words, ((size_t)count + 1) * sizeof *words);
    commands_lower(count, argv + 1);
    run_line(&ctl, &shell->ctl->globals, count + 1, argv);
    bool is_told = ctl.signal != 0 && ctl.signal != SIGINT;
    if (is_told) shell->ctl->signal = ctl.signal;
    if (is_told) shell->is_over = true;
}

static bool has_command(int count, char **words)
{
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], "--") == 0 || strcmp(words[i], "-i") == 0 || strcmp(words[i], "-h") == 0 || strcmp(words[i], "--help") == 0) return true;
    return false;
}

static void run_words(struct shell *shell, int count, char **words, const char *line)
{
    const char *first = words[0];
    if (strcasecmp(first, "exit") == 0 || strcasecmp(first, "quit") == 0) {
        shell->is_over = true;
    } else if (strcasecmp(first, "help") == 0) {
        run_help(count - 1, words + 1);
    } else if (strcasecmp(first, "watches") == 0 && count == 1) {
        shell_watch_list(shell->watch);
    } else if (strcasecmp(first, "unwatch") == 0) {
        run_unwatch(shell, count, words);
    } else if (strcasecmp(first, "watch") == 0 && !has_command(count, words)) {
        run_watch(shell, count, words, line + strspn(line, " \t") + strlen("watch "));
    } else if (strcasecmp(first, "txn") == 0 && count == 1) {
        txn_block_begin(&shell->txn);
        shell->is_in_txn = true;
    } else {
        run_command(shell, count, words);
    }
}

static void run_text(struct shell *shell, const char *line)
{
    char *words[WORDS_MAX + 1];
    int count = 0;
    arena_reset(&shell->arena);
    if (shell->is_in_txn) {
        txn_line(shell, line);
        return;
    }
    const char *wrong = words_split(line, &shell->arena, words, &count);
    if (wrong != NULL) ctl_fail(CTL_INVALID_INPUT, "%s", wrong);
    else if (count > 0) run_words(shell, count, words, line);
}

static void loop(struct shell *shell)
{
    static const char *const parts[] = {"", "   if> ", " then> ", " else> "};
    while (!shell->is_over) {
        const char *text = NULL;
        if (!shell->is_in_txn) shell_state_refresh(shell->state);
        const char *prompt = shell->is_in_txn ? parts[shell->txn.part] : shell_state_prompt(shell->state);
        switch (shell_line_read(shell->line, prompt, &text)) {
        case SHELL_LINE: run_text(shell, text); break;
        case SHELL_LINE_CLEARED:
            if (shell->is_in_txn) puts("the transaction is given up");
            shell->is_in_txn = false;
            break;
        case SHELL_LINE_EMPTY_CANCELLED:
            if (!shell->is_in_txn) shell_watch_drop(shell->watch, 0);
            if (shell->is_in_txn) puts("the transaction is given up");
            shell->is_in_txn = false;
            break;
        case SHELL_LINE_END: shell->is_over = true; break;
        case SHELL_LINE_SIGNAL:
            shell->ctl->signal = shell_line_signal(shell->line);
            shell->is_over = true;
            break;
        }
        fflush(stdout);
    }
}

enum ctl_exit shell_run(struct ctl *ctl)
{
    struct shell shell = {.ctl = ctl};
    enum ctl_exit code = globals_check(ctl);
    if (code == CTL_OK) code = credentials_prepare(ctl);
    if (code != CTL_OK) return code;
    ear_block_signals(); /* before any thread */
    ctl->quotes = true;
    arena_init(&shell.arena, ARENA_BYTES_MAX);
    txn_block_init(&shell.txn);
    shell.state = shell_state_new(&ctl->globals);
    shell.watch = shell_watch_new(&ctl->globals);
    shell.line = shell_line_new(ctl, shell.state, shell.watch);
    printf("kvctl %s. HELP tells what there is, Ctrl-D leaves.\n", KVD_VERSION);
    loop(&shell);
    shell_line_free(shell.line);
    shell_watch_free(shell.watch);
    shell_state_free(shell.state);
    txn_block_deinit(&shell.txn);
    arena_deinit(&shell.arena);
    credentials_free(ctl);
    return code;
}
