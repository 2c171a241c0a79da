/* watch_command: events are printed, and their commands run, inside of the watcher's call-back: what is not done yet holds the stream back. */
#include "watch_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/list.h"
#include "child.h"
#include "kv_request.h"
#include "print.h"
#include "print_message.h"
#include "quote.h"
#include "txn_parse.h"
#include "watch_words.h"
#include "watcher.h"

#define WATCHES_MAX 1000 /* of one -i */
#define LINE_ARENA_BYTES (8u << 20)

struct session {
    struct live live;
    struct list watches;
    size_t count;
    const char *env_key, *env_range_end;
    enum ctl_exit code; /* a watch's, that ends all */
};

struct watch {
    struct session *session;
    struct list node;
    struct watcher *watcher;
    char **command; /* owned; count 0 = none */
    int command_count;
};

int watch_command_flags(struct ctl_options *o, struct flag *out_flags)
{
    const struct flag flags[] = {
        {"interactive", 'i', FLAG_BOOL, &o->interactive, NULL, "read lines: watch …, progress", "Options", false},
        {"prefix", 0, FLAG_BOOL, &o->prefix, NULL, "all keys that begin with <key>", "Options", false},
        {"rev", 0, FLAG_I64, &o->rev, "<revision>", "begin with this revision, which may be past; 0 = now", "Options", false},
        {"prev-kv", 0, FLAG_BOOL, &o->prev_kv, NULL, "print the pair as it was before each event, too", "Options", false},
        {"progress-notify", 0, FLAG_BOOL, &o->progress_notify, NULL, "say up to which revision there was nothing, now and then", "Options",
         false},
    };
    ASSERT(sizeof flags / sizeof flags[0] <= KV_REQUEST_FLAGS_MAX);
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

/* --- an event's command ------------------------------------------------------------------------------------------------------ */

static char *quoted_variable(const char *name, struct slice value)
{
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "%s=", name);
    quote_put(&text, value);
    buf_put_u8(&text, '\0');
    char *variable = alloc_string((const char *)text.blob->data);
    buf_deinit(&text);
    return variable;
}

static void say_failed(const struct watch *watch, struct slice why)
{
    struct buf words;
    buf_init(&words);
    for (int i = 0; i < watch->command_count; i++) {
        if (i > 0) buf_put_u8(&words, ' ');
        quote_put(&words, slice_from_string(watch->command[i]));
    }
    ASSERT(words.size > 0 && why.size > 0);
    fprintf(stderr, "command [%.*s] error (%.*s)\n", (int)words.size, (const char *)words.blob->data, (int)why.size,
            (const char *)why.data);
    buf_deinit(&words);
}

/* False: it failed, and said so, or a signal asks us to end. */
static bool run_command(struct watch *watch, int64_t revision, const Mvccpb__Event *event)
{
    struct ear *ear = watch->session->live.ear;
    char text[64];
    int status = 0;
    struct buf why;
    (void)snprintf(text, sizeof text, "ETCD_WATCH_REVISION=%" PRId64, revision);
    char *type = quoted_variable("ETCD_WATCH_EVENT_TYPE", slice_from_string(print_event_name(event)));
    char *key = quoted_variable("ETCD_WATCH_KEY", slice_make(event->kv->key.data, event->kv->key.len));
    char *value = quoted_variable("ETCD_WATCH_VALUE", slice_make(event->kv->value.data, event->kv->value.len));
    const char *const variables[] = {text, type, key, value};
    buf_init(&why);
    pid_t child = child_start((const char *const *)watch->command, watch->command_count, variables, 4, &why);
    if (child > 0) {
        ear_adopt(ear, child);
        bool has_ended = ear_child_ended(ear, true, &status);
        ASSERT(has_ended);
        if (status != 0) child_put_status(&why, status);
    }
    bool is_told = ear_signal(ear) != 0, is_good = child > 0 && status == 0;
    if (!is_good && !is_told) say_failed(watch, buf_slice(&why));
    if (!is_good && !is_told) watch->session->code = CTL_ERROR;
    buf_deinit(&why);
    alloc_free(value);
    alloc_free(key);
    alloc_free(type);
    return is_good && !is_told;
}

/* --- a watch ----------------------------------------------------------------------------------------------------------------- */

/* The words of etcd's client for a watch that its server has canceled. */
static const char *cancel_text(const Etcdserverpb__WatchResponse *response)
{
    if (response->compact_revision != 0) return "etcdserver: mvcc: required revision has been compacted";
    return response->cancel_reason[0] != '\0' ? response->cancel_reason : "etcdserver: mvcc: required revision is a future revision";
}

static bool on_response(void *context, const Etcdserverpb__WatchResponse *response)
{
    struct watch *watch = context;
    struct session *session = watch->session;
    struct ctl *ctl = session->live.ctl;
    if (session->code != CTL_OK || ear_signal(session->live.ear) != 0) return false;
    int64_t revision = response->header == NULL ? 0 : response->header->revision;
    if (response->canceled) fprintf(stderr, "watch was canceled (%s)\n", cancel_text(response));
    bool is_progress = !response->canceled && response->n_events == 0;
    if (is_progress) printf("progress notify: %" PRId64 "\n", revision);
    session->code = print_watch(ctl, response);
    if (fflush(stdout) != 0) session->code = ctl_fail(CTL_ERROR, "standard output cannot be written");
    for (size_t i = 0; i < response->n_events && watch->command_count > 0 && session->code == CTL_OK; i++)
        if (!run_command(watch, revision, response->events[i])) return false;
    return session->code == CTL_OK;
}

enum ctl_exit watch_command_request(const struct ctl_options *options, int count, const char **words, struct buf *out)
{
    enum ctl_exit code = kv_request_interval(options, "watch", count, words, out);
    if (options->progress_notify) buf_put_pb_varint(out, 4, 1);
    if (options->prev_kv) buf_put_pb_varint(out, 6, 1);
    return code;
}

static const char *check_words(const struct ctl_options *options, const struct watch_words *words)
{
    ASSERT(words->key_count > 0);
    return words->key_count == 2 && options->prefix ? "`range_end` and `--prefix` are mutually exclusive" : NULL;
}

static enum ctl_exit add_watch(struct session *session, const struct ctl_options *options, const struct watch_words *words)
{
    struct buf request;
    buf_init(&request);
    enum ctl_exit code = watch_command_request(options, words->key_count, (const char **)(uintptr_t)words->keys, &request);
    if (code == CTL_OK) {
        struct watch *watch = ALLOC(struct watch);
        watch->session = session;
        watch->command_count = words->command_count;
        watch->command = alloc_zero((size_t)words->command_count + 1, sizeof *watch->command);
        for (int i = 0; i < words->command_count; i++) watch->command[i] = alloc_string(words->command[i]);
        list_push_back(&session->watches, &watch->node);
        session->count++;
        watch->watcher = watcher_new(&session->live, buf_slice(&request), options->rev, on_response, watch);
    }
    buf_deinit(&request);
    return code;
}

static void drop_watch(struct watch *watch)
{
    watcher_free(watch->watcher);
    for (int i = 0; i < watch->command_count; i++) alloc_free(watch->command[i]);
    alloc_free(watch->command);
    list_remove(&watch->node);
    watch->session->count--;
    alloc_free(watch);
}

/* Why a stream was refused, if one was: nothing else comes on it. */
static enum ctl_exit judge_refusal(const struct session *session, const struct watcher *watcher)
{
    const struct calls_answer *refusal = watcher_refusal(watcher);
    if (refusal->code == ERR_CODE_OK) return CTL_OK;
    if (refusal->is_unreachable) return ctl_fail_answer(session->live.ctl, refusal);
    fprintf(stderr, "watch was canceled (%s)\n", ctl_error_text(refusal));
    return CTL_OK;
}

static void drop_ended(struct session *session)
{
    for (struct list *node = session->watches.next, *next; node != &session->watches; node = next) {
        struct watch *watch = LIST_ENTRY(node, struct watch, node);
        next = node->next;
        if (!watcher_is_over(watch->watcher)) continue;
        enum ctl_exit code = judge_refusal(session, watch->watcher);
        if (session->code == CTL_OK) session->code = code;
        drop_watch(watch);
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------------------- */

/* A line's flags are its own. Those of the command line are for the command line's watch. */
static enum ctl_exit watch_line(struct session *session, const char *line, char **words, int count)
{
    struct ctl_options options = {.prefix = false};
    struct flag flags[KV_REQUEST_FLAGS_MAX];
    const char *arguments[TXN_PARSE_WORDS_MAX];
    const struct flags_options how = {.environment_prefix = NULL};
    struct flags_result result = {.arguments = arguments};
    struct watch_words split;
    if (count < 2 && session->env_key == NULL) {
        fprintf(stderr, "Invalid command %s (command type or key is not provided)\n", line);
        return CTL_OK;
    }
    int flag_count = watch_command_flags(&options, flags);
    if (!flags_parse(flags, flag_count, count, words, &how, &result)) return ctl_fail(CTL_BAD_ARGS, "%s", result.error);
    const char *wrong = watch_words_split(arguments, result.arguments_count, result.before_dashes, session->env_key,
                                          session->env_range_end, &split);
    if (wrong != NULL) return ctl_fail(CTL_BAD_ARGS, "%s", wrong);
    wrong = check_words(&options, &split);
    if (wrong == NULL && session->count == WATCHES_MAX) wrong = "there are too many watches";
    if (wrong == NULL) return add_watch(session, &options, &split);
    fprintf(stderr, "Invalid command %s (%s)\n", line, wrong);
    return CTL_OK;
}

static enum ctl_exit run_line(struct session *session, const char *line)
{
    char *words[TXN_PARSE_WORDS_MAX];
    int count = 0;
    enum ctl_exit code = CTL_OK;
    struct arena arena;
    arena_init(&arena, LINE_ARENA_BYTES);
    if (!txn_parse_words(line, &arena, words, &count) || count == 0) {
        fprintf(stderr, "Invalid command: %s (watch and progress supported)\n", line);
    } else if (strcmp(words[0], "watch") == 0) {
        code = watch_line(session, line, words, count);
    } else if (strcmp(words[0], "progress") == 0) {
        for (struct list *node = session->watches.next; node != &session->watches; node = node->next)
            watcher_ask_progress(LIST_ENTRY(node, struct watch, node)->watcher);
    } else {
        fprintf(stderr, "Invalid command %s (only support watch)\n", line);
    }
    arena_deinit(&arena);
    return code;
}

static void run_lines(struct session *session)
{
    bool is_over = false;
    char *line;
    while (session->code == CTL_OK && (line = ear_line(session->live.ear, &is_over)) != NULL) {
        session->code = run_line(session, line);
        alloc_free(line);
    }
    if (is_over && session->code == CTL_OK) session->code = ctl_fail(CTL_INVALID_INPUT, "Error reading watch request line: EOF");
}

/* --- the command ------------------------------------------------------------------------------------------------------------- */

/* What etcdctl calls ETCDCTL_…, under our own name or under that; NULL = none. */
static const char *environment_text(const char *own, const char *name)
{
    const char *text = getenv(own);
    if (text == NULL || text[0] == '\0') text = getenv(name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static enum ctl_exit start(struct session *session, int count, const char **words)
{
    struct ctl *ctl = session->live.ctl;
    struct watch_words split;
    if (ctl->options.interactive) return CTL_OK;
    const char *wrong = watch_words_split(words, count, ctl->before_dashes, session->env_key, session->env_range_end, &split);
    if (wrong == NULL) wrong = check_words(&ctl->options, &split);
    return wrong == NULL ? add_watch(session, &ctl->options, &split) : ctl_fail(CTL_BAD_ARGS, "%s", wrong);
}

static bool goes_on(const struct session *session)
{
    return session->code == CTL_OK && ear_signal(session->live.ear) == 0 && (session->live.ctl->options.interactive || session->count > 0);
}

enum ctl_exit watch_command_run(struct ctl *ctl, int count, const char **words)
{
    struct session session = {.env_key = environment_text("KVCTL_WATCH_KEY", "ETCDCTL_WATCH_KEY"),
                              .env_range_end = environment_text("KVCTL_WATCH_RANGE_END", "ETCDCTL_WATCH_RANGE_END")};
    if (session.env_key == NULL && session.env_range_end != NULL)
        return ctl_fail(CTL_BAD_ARGS, "ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=\"%s\"", session.env_range_end);
    if (ctl->format == CTL_TABLE) return print_message_no_format(ctl);
    list_init(&session.watches);
    live_init(&session.live, ctl, ctl->options.interactive);
    session.code = start(&session, count, words);
    while (goes_on(&session)) {
        live_step(&session.live);
        drop_ended(&session);
        if (ctl->options.interactive) run_lines(&session);
    }
    ctl->signal = ear_signal(session.live.ear);
    if (session.code == CTL_OK && ctl->signal == 0) session.code = ctl_fail(CTL_INTERRUPTED, "watch is canceled by the server");
    while (session.count > 0) drop_watch(LIST_ENTRY(session.watches.next, struct watch, node));
    live_deinit(&session.live);
    return session.code;
}
