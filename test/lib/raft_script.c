/* raft_script: see raft_script.h. One function per command in a table; a line is cut into words first. */
#include "lib/raft_script.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"

enum { WORDS_MAX = 24, LINE_MAX_BYTES = 512, RUN_STEP_MS = 20 };
#define MS UINT64_C(1000000)

struct words {
    struct raft_script *script;
    char line[LINE_MAX_BYTES];
    const char *items[WORDS_MAX];
    uint32_t count;
};

static void complain(struct words *words, const char *what)
{
    words->script->has_failed = true;
    buf_printf(&words->script->output, "error: %s\n", what);
}

/* ---- Words ---------------------------------------------------------------------------------------------------------- */

static bool cut_into_words(struct words *words, struct slice line)
{
    if (line.size >= sizeof words->line) return false;
    if (line.size > 0) memcpy(words->line, line.data, line.size);
    words->line[line.size] = '\0';
    char *rest = words->line;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (words->count == WORDS_MAX) return false;
        words->items[words->count++] = word;
    }
    return words->count > 0;
}

static uint64_t number_in(struct words *words, const char *text)
{
    char *end = NULL;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0') complain(words, "a number is missing");
    return value;
}

static uint64_t number_at(struct words *words, uint32_t place)
{
    if (place < words->count) return number_in(words, words->items[place]);
    complain(words, "a number is missing");
    return 0;
}

/* The number of an existing node; 1 when it is wrong, so that the command can go on. */
static uint64_t node_at(struct words *words, uint32_t place)
{
    uint64_t id = number_at(words, place);
    if (id >= 1 && id <= words->script->cluster->node_count) return id;
    complain(words, "no such node");
    return 1;
}

static const char *text_of(const struct words *words, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 1; i < words->count; i++) {
        if (strncmp(words->items[i], name, size) == 0 && words->items[i][size] == '=') return words->items[i] + size + 1;
    }
    return NULL;
}

static uint64_t number_of(struct words *words, const char *name, uint64_t otherwise)
{
    const char *text = text_of(words, name);
    return text == NULL ? otherwise : number_in(words, text);
}

static bool has_word(const struct words *words, const char *word)
{
    for (uint32_t i = 1; i < words->count; i++) {
        if (strcmp(words->items[i], word) == 0) return true;
    }
    return false;
}

/* "1,2,3"; "-" or NULL = none. */
static uint32_t list_in(struct words *words, const char *text, uint64_t *out_numbers, uint32_t limit)
{
    uint32_t count = 0;
    if (text == NULL || strcmp(text, "-") == 0) return 0;
    for (const char *at = text; *at != '\0';) {
        char *end = NULL;
        uint64_t value = strtoull(at, &end, 10);
        if (end == at || count == limit || (*end != '\0' && *end != ',')) {
            complain(words, "a list of numbers is wrong");
            return count;
        }
        out_numbers[count++] = value;
        at = *end == ',' ? end + 1 : end;
    }
    return count;
}

/* ---- Making --------------------------------------------------------------------------------------------------------- */

static void run_options(struct words *words)
{
    static const char *const SIZES[] = {"inflight-bytes", "message-bytes", "tail-bytes", "uncommitted-bytes", "apply-bytes"};
    struct raft_options *options = &words->script->options;
    size_t *places[] = {&options->inflight_bytes_max, &options->message_bytes_max, &options->tail_bytes_max,
                        &options->uncommitted_bytes_max, &options->apply_bytes_max};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        *places[i] = (size_t)number_of(words, SIZES[i], *places[i]);
    }
    const char *pre_vote = text_of(words, "pre-vote");
    const char *check_quorum = text_of(words, "check-quorum");
    if (pre_vote != NULL) options->pre_vote = strcmp(pre_vote, "on") == 0;
    if (check_quorum != NULL) options->check_quorum = strcmp(check_quorum, "on") == 0;
    options->inflight_messages_max = (uint32_t)number_of(words, "inflight-messages", options->inflight_messages_max);
    options->inflight_partial_max = (uint32_t)number_of(words, "inflight-partial", options->inflight_partial_max);
    options->own_wait_entries_min = (uint32_t)number_of(words, "own-wait-entries", options->own_wait_entries_min);
    options->seed = number_of(words, "seed", options->seed);
}

static void run_add_nodes(struct words *words)
{
    struct raft_cluster *cluster = words->script->cluster;
    uint64_t count = number_at(words, 1);
    if (count == 0 || cluster->node_count + count > RAFT_CLUSTER_NODES_MAX) {
        complain(words, "that many nodes are not possible");
        return;
    }
    struct raft_conf conf = {.voter_count = 0};
    conf.learner_count = list_in(words, text_of(words, "learners"), conf.learners, RAFT_MEMBERS_MAX);
    for (uint64_t id = 1; id <= cluster->node_count + count && !has_word(words, "joining"); id++) {
        bool is_learner = false;
        for (uint32_t i = 0; i < conf.learner_count; i++) is_learner = is_learner || conf.learners[i] == id;
        if (!is_learner) conf.voters[conf.voter_count++] = id;
    }
    for (uint64_t i = 0; i < count; i++) raft_cluster_add(cluster, &words->script->options, &conf);
}

static void run_set_disk(struct words *words)
{
    struct raft_cluster *cluster = words->script->cluster;
    uint64_t id = node_at(words, 1);
    uint64_t terms[LINE_MAX_BYTES];
    uint32_t count = list_in(words, words->count > 2 ? words->items[2] : NULL, terms, LINE_MAX_BYTES);
    struct raft_hard_state hard = {
        .term = number_of(words, "term", count == 0 ? 0 : terms[count - 1]),
        .vote = number_of(words, "vote", RAFT_NONE),
        .commit = number_of(words, "commit", 0),
    };
    if (raft_cluster_node(cluster, id)->raft != NULL) raft_cluster_crash(cluster, id, 0);
    raft_cluster_set_disk(cluster, id, hard, terms, count);
    raft_cluster_restart(cluster, id);
}

/* ---- Time and wishes ------------------------------------------------------------------------------------------------ */

static void run_campaign(struct words *words) { raft_cluster_campaign(words->script->cluster, node_at(words, 1)); }

static void run_tick(struct words *words)
{
    raft_cluster_tick(words->script->cluster, node_at(words, 1), number_at(words, 2) * MS);
}

static void run_elapse(struct words *words) { raft_cluster_advance(words->script->cluster, number_at(words, 1) * MS); }

static void run_run(struct words *words)
{
    uint64_t total_ms = number_at(words, 1);
    for (uint64_t ms = 0; ms < total_ms; ms += RUN_STEP_MS) {
        raft_cluster_advance(words->script->cluster, RUN_STEP_MS * MS);
        raft_cluster_stabilize(words->script->cluster);
    }
}

static void run_propose(struct words *words)
{
    if (words->count < 3) {
        complain(words, "a text is missing");
        return;
    }
    uint64_t id = node_at(words, 1);
    uint64_t times = number_of(words, "times", 1);
    for (uint64_t i = 0; i < times; i++) (void)raft_cluster_propose(words->script->cluster, id, words->items[2]);
}

static void run_propose_conf(struct words *words)
{
    struct raft_conf conf = {.voter_count = 0};
    uint64_t id = node_at(words, 1);
    conf.voter_count = list_in(words, text_of(words, "voters"), conf.voters, RAFT_MEMBERS_MAX);
    conf.outgoing_count = list_in(words, text_of(words, "outgoing"), conf.outgoing, RAFT_MEMBERS_MAX);
    conf.learner_count = list_in(words, text_of(words, "learners"), conf.learners, RAFT_MEMBERS_MAX);
    if (!raft_conf_is_valid(&conf)) {
        complain(words, "no valid configuration");
        return;
    }
    (void)raft_cluster_propose_conf(words->script->cluster, id, &conf);
}

static void run_read_index(struct words *words)
{
    uint64_t context = number_at(words, 2);
    if (context >= RAFT_CLUSTER_READS_MAX) {
        complain(words, "such a high context is not possible");
        return;
    }
    (void)raft_cluster_read(words->script->cluster, node_at(words, 1), context);
}

static void give(struct words *words, enum raft_input_kind kind, uint64_t peer)
{
    (void)raft_cluster_input(words->script->cluster, node_at(words, 1), kind, peer);
}

static void run_transfer(struct words *words) { give(words, RAFT_IN_TRANSFER, number_at(words, 2)); }
static void run_unreachable(struct words *words) { give(words, RAFT_IN_UNREACHABLE, number_at(words, 2)); }
static void run_peer_died(struct words *words) { give(words, RAFT_IN_PEER_DIED, number_at(words, 2)); }
static void run_no_space(struct words *words) { give(words, RAFT_IN_NO_SPACE, has_word(words, "on")); }

static void run_compact(struct words *words)
{
    struct raft_cluster_node *node = raft_cluster_node(words->script->cluster, node_at(words, 1));
    uint64_t index = number_at(words, 2);
    if (node->raft == NULL || index > node->applied_index) {
        complain(words, "only what is applied can be compacted");
        return;
    }
    raft_cluster_compact(words->script->cluster, node->id, index);
}

static void run_snapshot(struct words *words)
{
    bool is_taken = raft_cluster_take_snapshot(words->script->cluster, node_at(words, 1));
    if (!is_taken) complain(words, "nothing new is applied");
}

static void run_receive(struct words *words)
{
    (void)raft_cluster_receive(words->script->cluster, node_at(words, 1), !has_word(words, "fails"));
}

/* What was received last, or again the N-th that was ever taken. */
static void run_install(struct words *words)
{
    struct raft_cluster *cluster = words->script->cluster;
    uint64_t id = node_at(words, 1), number = number_of(words, "number", 0);
    if (number > cluster->snapshot_count) complain(words, "there is no such snapshot");
    if (number == 0) (void)raft_cluster_install(cluster, id);
    if (number > 0 && number <= cluster->snapshot_count) (void)raft_cluster_install_at(cluster, id, (size_t)number - 1);
}

/* ---- Movement ------------------------------------------------------------------------------------------------------- */

static void run_take(struct words *words) { (void)raft_cluster_take(words->script->cluster, node_at(words, 1)); }
static void run_apply(struct words *words) { (void)raft_cluster_apply(words->script->cluster, node_at(words, 1)); }
static void run_stabilize(struct words *words) { raft_cluster_stabilize(words->script->cluster); }

static void run_persist(struct words *words)
{
    size_t count = words->count > 2 ? (size_t)number_at(words, 2) : SIZE_MAX;
    (void)raft_cluster_persist(words->script->cluster, node_at(words, 1), count);
}

static void run_fetch(struct words *words)
{
    (void)raft_cluster_fetch(words->script->cluster, node_at(words, 1), !has_word(words, "fails"));
}

static void run_settle(struct words *words)
{
    for (uint32_t i = 1; i < words->count; i++) (void)raft_cluster_settle(words->script->cluster, node_at(words, i));
}

struct selection {
    uint64_t from; /* RAFT_NONE = any */
    uint64_t to;
    const char *kind; /* NULL = any */
    uint64_t at;      /* 0 = all */
};

static void read_link(struct words *words, struct selection *out_selection)
{
    const char *link = words->count > 1 ? words->items[1] : "";
    char *end = NULL;
    out_selection->from = strtoull(link, &end, 10);
    if (strncmp(end, "->", 2) != 0) {
        complain(words, "a link is missing, such as 1->2");
        return;
    }
    out_selection->to = strtoull(end + 2, &end, 10);
    if (*end != '\0') complain(words, "a link is wrong");
}

static bool read_selection(struct words *words, struct selection *out_selection)
{
    struct selection selection = {.at = number_of(words, "at", 0)};
    read_link(words, &selection);
    for (uint32_t i = 2; i < words->count; i++) {
        if (words->items[i][0] >= 'A' && words->items[i][0] <= 'Z') selection.kind = words->items[i];
    }
    *out_selection = selection;
    return !words->script->has_failed;
}

static bool is_selected(const struct selection *selection, const struct raft_msg *msg)
{
    if (selection->from != RAFT_NONE && msg->from != selection->from) return false;
    if (selection->to != RAFT_NONE && msg->to != selection->to) return false;
    return selection->kind == NULL || strcmp(selection->kind, raft_msg_name(msg->kind)) == 0;
}

static void say_message(struct raft_script *script, const char *what, const struct raft_msg *msg)
{
    buf_printf(&script->output, "%s ", what);
    raft_describe_msg(msg, &script->output);
    buf_printf(&script->output, "\n");
}

/* Messages only come into the network by `take`, so that places do not move but by removal. */
static void move_messages(struct words *words, bool is_drop)
{
    struct raft_cluster *cluster = words->script->cluster;
    struct selection selection;
    if (!read_selection(words, &selection)) return;
    bool is_copy = !is_drop && has_word(words, "copy");
    uint64_t seen = 0;
    uint64_t moved = 0;
    size_t place = 0;
    for (size_t left = cluster->network_count; left > 0; left--) {
        const struct raft_msg *msg = &cluster->network[place].msg;
        bool is_wanted = is_selected(&selection, msg) && (++seen == selection.at || selection.at == 0);
        if (!is_wanted) {
            place++;
            continue;
        }
        moved++;
        if (is_drop) {
            raft_cluster_drop_at(cluster, place);
        } else {
            say_message(words->script, is_copy ? "deliver (a copy)" : "deliver", msg);
            raft_cluster_deliver_at(cluster, place, is_copy);
        }
        if (is_copy) place++;
    }
    if (moved == 0 && !is_drop) complain(words, "no such message");
}

static void run_deliver(struct words *words) { move_messages(words, false); }
static void run_drop(struct words *words) { move_messages(words, true); }

/* ---- Faults --------------------------------------------------------------------------------------------------------- */

static void run_crash(struct words *words)
{
    raft_cluster_crash(words->script->cluster, node_at(words, 1), (size_t)number_of(words, "kept", 0));
}

static void run_restart(struct words *words)
{
    raft_cluster_restart_from(words->script->cluster, node_at(words, 1), number_of(words, "applied", 0));
}

static void run_damage(struct words *words)
{
    raft_cluster_damage(words->script->cluster, node_at(words, 1), (size_t)number_at(words, 2));
}

static void run_isolate(struct words *words) { raft_cluster_isolate(words->script->cluster, node_at(words, 1)); }
static void run_heal(struct words *words) { raft_cluster_heal(words->script->cluster); }

static void run_cut(struct words *words)
{
    struct selection link = {.from = RAFT_NONE};
    read_link(words, &link);
    if (link.from > RAFT_CLUSTER_NODES_MAX || link.to > RAFT_CLUSTER_NODES_MAX) return;
    words->script->cluster->is_cut[link.from][link.to] = true;
}

/* ---- Questions ------------------------------------------------------------------------------------------------------ */

typedef void say_fn(struct raft_script *script, const struct raft_cluster_node *node);

static void say_each(struct words *words, say_fn *say)
{
    struct raft_cluster *cluster = words->script->cluster;
    for (uint64_t id = 1; id <= cluster->node_count; id++) {
        bool is_wanted = words->count == 1;
        for (uint32_t i = 1; i < words->count; i++) is_wanted = is_wanted || node_at(words, i) == id;
        if (is_wanted) say(words->script, raft_cluster_node(cluster, id));
    }
}

static void say_status(struct raft_script *script, const struct raft_cluster_node *node)
{
    if (node->raft == NULL) buf_printf(&script->output, "%" PRIu64 " crashed", node->id);
    if (node->raft != NULL) raft_describe_status(node->raft, &script->output);
    buf_printf(&script->output, "\n");
}

static void say_log(struct raft_script *script, const struct raft_cluster_node *node)
{
    buf_printf(&script->output, "%" PRIu64 " ", node->id);
    if (node->raft == NULL) buf_printf(&script->output, "crashed");
    if (node->raft != NULL) raft_describe_log(node->raft, &script->output);
    buf_printf(&script->output, "\n");
}

static void say_disk(struct raft_script *script, const struct raft_cluster_node *node)
{
    buf_printf(&script->output, "%" PRIu64 " disk term %" PRIu64 " vote %" PRIu64 " commit %" PRIu64 " [", node->id,
               node->hard.term, node->hard.vote, node->hard.commit);
    size_t base = (size_t)node->base_index;
    if (base > 0) buf_printf(&script->output, "behind %zu/%" PRIu64 ": ", base, node->base_term);
    for (size_t i = base; i < node->entry_count; i++) {
        if (i > base) buf_printf(&script->output, ", ");
        raft_describe_entry(&node->entries[i], &script->output);
    }
    buf_printf(&script->output, "]\n");
}

static void run_status(struct words *words) { say_each(words, say_status); }
static void run_raft_log(struct words *words) { say_each(words, say_log); }
static void run_disk(struct words *words) { say_each(words, say_disk); }

static void run_network(struct words *words)
{
    const struct raft_cluster *cluster = words->script->cluster;
    for (size_t i = 0; i < cluster->network_count; i++) say_message(words->script, "waits", &cluster->network[i].msg);
}

/* ---- Stories -------------------------------------------------------------------------------------------------------- */

typedef void command_fn(struct words *words);
static const struct {
    const char *name;
    command_fn *run;
} COMMANDS[] = {
    {"options", run_options},     {"add-nodes", run_add_nodes},       {"set-disk", run_set_disk},
    {"campaign", run_campaign},   {"tick", run_tick},                 {"elapse", run_elapse},
    {"run", run_run},             {"propose", run_propose},           {"propose-conf", run_propose_conf},
    {"read-index", run_read_index}, {"transfer", run_transfer},       {"unreachable", run_unreachable},
    {"peer-died", run_peer_died}, {"no-space", run_no_space},         {"compact", run_compact},
    {"take", run_take},           {"persist", run_persist},           {"apply", run_apply},
    {"fetch", run_fetch},         {"settle", run_settle},             {"deliver", run_deliver},
    {"drop", run_drop},           {"stabilize", run_stabilize},       {"crash", run_crash},
    {"restart", run_restart},     {"damage", run_damage},             {"isolate", run_isolate},
    {"cut", run_cut},             {"heal", run_heal},                 {"status", run_status},
    {"raft-log", run_raft_log},   {"disk", run_disk},                 {"network", run_network},
    {"snapshot", run_snapshot},   {"receive", run_receive},           {"install", run_install},
};

struct raft_script *raft_script_new(void)
{
    struct raft_script *script = ALLOC(struct raft_script);
    buf_init(&script->output);
    script->options = raft_cluster_options();
    script->cluster = raft_cluster_new();
    script->cluster->trace = &script->output;
    return script;
}

void raft_script_free(struct raft_script *script)
{
    if (script == NULL) return;
    raft_cluster_free(script->cluster);
    buf_deinit(&script->output);
    alloc_free(script);
}

void raft_script_run(struct raft_script *script, struct slice command)
{
    struct words words = {.script = script};
    buf_clear(&script->output);
    if (!cut_into_words(&words, command)) {
        complain(&words, "no command, or too many words");
        return;
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(COMMANDS[i].name, words.items[0]) != 0) continue;
        COMMANDS[i].run(&words);
        return;
    }
    complain(&words, "an unknown command");
}

enum line_kind { LINE_NONE, LINE_COMMENT, LINE_COMMAND, LINE_OUTPUT };

static struct slice take_line(struct slice *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    struct slice line = slice_make(text->data, size);
    *text = slice_from(*text, end == NULL ? size : size + 1);
    return line;
}

static void put_line(struct buf *out_story, struct slice line)
{
    buf_put_slice(out_story, line);
    buf_put_u8(out_story, '\n');
}

bool raft_script_play(struct slice story, struct buf *out_story)
{
    struct raft_script *script = raft_script_new();
    enum line_kind last = LINE_NONE;
    while (story.size > 0) {
        struct slice line = take_line(&story);
        bool is_comment = line.size > 0 && line.data[0] == '#';
        bool is_command = line.size > 0 && line.data[0] == '>';
        if (!is_comment && !is_command) continue; /* output of another day */
        if (last == LINE_OUTPUT || (is_comment && last == LINE_COMMAND)) buf_put_u8(out_story, '\n');
        put_line(out_story, line);
        last = is_comment ? LINE_COMMENT : LINE_COMMAND;
        if (is_comment) continue;
        bool is_quiet = line.size > 1 && line.data[1] == '>';
        raft_script_run(script, slice_from(line, is_quiet ? 2 : 1));
        if (is_quiet && !script->has_failed) continue;
        if (script->output.size == 0) buf_printf(&script->output, "ok\n");
        buf_put_slice(out_story, buf_slice(&script->output));
        last = LINE_OUTPUT;
    }
    bool is_understood = !script->has_failed;
    raft_script_free(script);
    return is_understood;
}
