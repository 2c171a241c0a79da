/* kvctl: the command line client. One table has every command; this file finds the command, parses flags, connects and runs.
 *
 * Flags are etcdctl's, from the command line, KVCTL_NAME or ETCDCTL_NAME (the first of these that says something counts).
 * Exit codes: 0 done, 1 refused or failed, 2 no endpoint could be reached, 3 bad input, 4 bad feature, 5 interrupted, 128 bad arguments.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "ctl.h"
#include "ear.h"
#include "elect_command.h"
#include "endpoint_command.h"
#include "history_command.h"
#include "kv_command.h"
#include "kv_request.h"
#include "lease_command.h"
#include "lock_command.h"
#include "maintenance_command.h"
#include "member_command.h"
#include "snapshot_command.h"
#include "txn_command.h"
#include "watchers_command.h"
#include "watch_command.h"

#define API_VERSION "3.6"
#define FLAGS_MAX 48
#define WORD_BYTES_MAX 32 /* of a command that is looked for among mistyped ones */
#define GLOBALS "Global options"

static enum ctl_exit run_version(struct ctl *ctl, int count, const char **words)
{
    ASSERT(ctl != NULL && words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "version command takes no arguments");
    printf("kvctl version: %s\nAPI version: %s\n", KVD_VERSION, API_VERSION);
    return CTL_OK;
}

typedef int flags_fn(struct ctl_options *options, struct flag *out_flags);
typedef enum ctl_exit run_fn(struct ctl *ctl, int count, const char **words);

enum ways {
    WAYS_CALLS,   /* asks, prints and ends */
    WAYS_OFFLINE, /* needs no server */
    WAYS_LIVE,    /* stays until it is told to end: hears signals (ear.h) */
};

struct command {
    const char *name;    /* one or two words */
    const char *usage;   /* what follows the name */
    const char *summary;
    const char *examples;
    flags_fn *flags;     /* NULL = none of its own */
    run_fn *run;
    enum ways ways;
};

static const struct command COMMANDS[] = {
    {"put", "<key> [<value>]", "Puts the given key into the store",
     "  kvctl put greeting hello                  the value on the line\n"
     "  kvctl put config < config.yaml            the value from standard input, as it is\n"
     "  kvctl put --prev-kv greeting goodbye      print what was there before\n"
     "  kvctl put --ttl 60 session/1 alive        gone after 60 s, unless the lease that is printed is kept alive\n"
     "  kvctl put -- -odd- -value-                after -- nothing is a flag\n",
     kv_request_put_flags, kv_command_put, WAYS_CALLS},
    {"get", "<key> [<range_end>]", "Gets the key or a range of keys",
     "  kvctl get greeting\n"
     "  kvctl get --prefix users/                 all keys that begin with users/\n"
     "  kvctl get a m                             all keys from a up to, but without, m\n"
     "  kvctl get --prefix '' --keys-only         the names of all keys\n"
     "  kvctl get --rev 42 greeting               as it was at revision 42\n"
     "  kvctl get --consistency s greeting        from one member, without asking the others; may be old\n",
     kv_request_get_flags, kv_command_get, WAYS_CALLS},
    {"del", "<key> [<range_end>]", "Removes the specified key or range of keys [key, range_end)",
     "  kvctl del greeting\n"
     "  kvctl del --prefix users/                 and print how many there were\n"
     "  kvctl del --prev-kv --from-key z          print what is deleted\n",
     kv_request_del_flags, kv_command_del, WAYS_CALLS},
    {"txn", "", "Txn processes all the requests in one transaction",
     "  Three sections, each ended by an empty line: compares, requests if all hold, requests otherwise.\n"
     "  kvctl txn <<'END'\n"
     "  mod(\"greeting\") > \"0\"\n"
     "  value(\"greeting\") = \"hello\"\n"
     "  \n"
     "  put greeting \"good bye\"\n"
     "  get greeting\n"
     "  \n"
     "  get --prefix greet\n"
     "  \n"
     "  END\n"
     "  Compares: value version create mod lease, with = != > <. Requests: put get del, with their flags.\n",
     txn_command_flags, txn_command_run, WAYS_CALLS},
    {"watch", "[<key> [<range_end>]] [-- <command> [<word>...]]", "Watches events stream on keys or prefixes",
     "  kvctl watch greeting                      print each event of this key from now on\n"
     "  kvctl watch --prefix users/ --rev 100     all that begin with users/, from revision 100 on\n"
     "  kvctl watch --prefix jobs/ -- sh -c 'echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY'   run it for each event, one after the\n"
     "      other; it also gets ETCD_WATCH_VALUE and ETCD_WATCH_REVISION, the texts in quotes; where it fails, the watch ends\n"
     "  kvctl watch -i                            read lines: watch KEY [RANGE_END] [flags] [-- COMMAND], and progress\n"
     "  ETCDCTL_WATCH_KEY (and ETCDCTL_WATCH_RANGE_END) may name the key instead.\n"
     "  When a member dies the watch goes on at another endpoint behind the last event printed: nothing is missed, nothing\n"
     "  comes twice. What was compacted before it was printed ends it with 5.\n",
     watch_command_flags, watch_command_run, WAYS_LIVE},
    {"compaction", "<revision>", "Compacts the event history",
     "  kvctl compaction 1000                     reads and watches below revision 1000 are no longer possible\n"
     "  kvctl compaction --physical 1000          and wait until the space is free\n",
     kv_command_compaction_flags, kv_command_compaction, WAYS_CALLS},
    {"history", "<key> [<range_end>]", "Prints every retained version of a key or a range, deletions included",
     "  kvctl history greeting                    newest first: revision and PUT or DELETE, the key, the value\n"
     "  kvctl history greeting --limit 1 --to-rev 41   what greeting had last become by revision 41\n"
     "  kvctl history --prefix users/ --order ASCEND --from-rev 1000 -w table\n"
     "  What lies below the compacted revision is gone: without --from-rev the history begins there, and what was in force\n"
     "  then is what `get --rev` shows. An etcd cannot do this.\n",
     history_command_flags, history_command_run, WAYS_CALLS},
    {"watchers list", "[<key> [<range_end>]]", "Lists who watches at the endpoints, all or only some keys",
     "  kvctl watchers list -w table              of the members in --endpoints\n"
     "  kvctl watchers list --cluster greeting    who in the cluster is told of changes of greeting\n"
     "  Simple output: watcher, keys, options, next revision, revisions behind or live, events, bytes, client, age.\n"
     "  A watcher that stays behind while its client is (sending) has a client that does not read.\n",
     watchers_command_list_flags, watchers_command_list, WAYS_CALLS},
    {"watchers cancel", "<watcher>...", "Ends watchers, by the names that watchers list prints",
     "  kvctl watchers cancel 8e9e05c52164694d/100000003/0\n"
     "  The client is told that its watcher is canceled, and why; it may watch again. --cluster looks for the member.\n",
     endpoint_command_flags, watchers_command_cancel, WAYS_CALLS},
    {"lease grant", "<ttl>", "Creates leases",
     "  kvctl lease grant 60                      a lease of 60 seconds; prints its id\n"
     "  kvctl put --lease 1c0ffee00c0ffee0 session/1 alive\n",
     NULL, lease_command_grant, WAYS_CALLS},
    {"lease revoke", "<leaseID>", "Revokes leases",
     "  kvctl lease revoke 1c0ffee00c0ffee0       deletes all keys that belong to it, too\n",
     NULL, lease_command_revoke, WAYS_CALLS},
    {"lease timetolive", "<leaseID>", "Get lease information",
     "  kvctl lease timetolive --keys 1c0ffee00c0ffee0   how long it lives, and what belongs to it\n",
     lease_command_time_to_live_flags, lease_command_time_to_live, WAYS_CALLS},
    {"lease keep-alive", "<leaseID>", "Keeps leases alive (renew)",
     "  kvctl lease keep-alive 1c0ffee00c0ffee0   three times per TTL, until interrupted or until the lease is gone\n"
     "  kvctl lease keep-alive --once 1c0ffee00c0ffee0\n",
     lease_command_keep_alive_flags, lease_command_keep_alive, WAYS_LIVE},
    {"lease list", "", "List all active leases", "  kvctl lease list\n", NULL, lease_command_list, WAYS_CALLS},
    {"lock", "<lockname> [<command> [<word>...]]", "Acquires a named lock",
     "  kvctl lock backups                        wait for it, print its key, hold it until interrupted\n"
     "  kvctl lock backups -- ./backup.sh --full  hold it while this runs; exits as the command does\n"
     "  kvctl lock backups --ttl 60 true          the lock outlives a holder that is not heard of by 60 s\n"
     "  The command gets ETCD_LOCK_KEY and ETCD_LOCK_REV. A holder that is cut off loses the lock without knowing at once: what it\n"
     "  writes is safe if each write compares, in its Txn, that the lock's key still has its create_revision.\n",
     lock_command_flags, lock_command_run, WAYS_LIVE},
    {"elect", "<election> [<proposal>]", "Observes and participates in leader election",
     "  kvctl elect master node-1                 run for it; once elected, print the key and lead until interrupted\n"
     "  kvctl elect -l master                     print who leads, and each change\n",
     elect_command_flags, elect_command_run, WAYS_LIVE},
    {"endpoint health", "", "Checks the healthiness of endpoints specified in `--endpoints` flag",
     "  kvctl endpoint health\n"
     "  kvctl endpoint health --cluster -w table  ask every member that the cluster knows\n",
     endpoint_command_flags, endpoint_command_health, WAYS_CALLS},
    {"endpoint status", "", "Prints out the status of endpoints specified in `--endpoints` flag",
     "  kvctl endpoint status -w table\n"
     "  Simple output: endpoint, ID, version, db size, is leader, is learner, raft term, raft index,\n"
     "  raft applied index, errors.\n",
     endpoint_command_flags, endpoint_command_status, WAYS_CALLS},
    {"endpoint hashkv", "", "Prints the KV history hash for each endpoint in --endpoints",
     "  kvctl endpoint hashkv --cluster           members at one revision must show one hash\n",
     endpoint_command_hashkv_flags, endpoint_command_hashkv, WAYS_CALLS},
    {"member list", "", "Lists all members in the cluster",
     "  kvctl member list -w table\n"
     "  Simple output: ID, status, name, peer addresses, client addresses, is learner.\n",
     member_command_list_flags, member_command_list, WAYS_CALLS},
    {"alarm list", "", "Lists all alarms",
     "  kvctl alarm list                          which member has no space left, or a state that is wrong\n",
     NULL, maintenance_command_alarm_list, WAYS_CALLS},
    {"alarm disarm", "", "Disarms all alarms",
     "  kvctl alarm disarm                        after a compaction made room, writes are taken again\n",
     NULL, maintenance_command_alarm_disarm, WAYS_CALLS},
    {"defrag", "", "Defragments the storage of the members with given endpoints",
     "  kvctl defrag --cluster                    kvd frees bytes as they die: this is for scripts, and for etcd\n",
     endpoint_command_flags, maintenance_command_defrag, WAYS_CALLS},
    {"move-leader", "<transferee-member-id>", "Transfers leadership to another member",
     "  kvctl --endpoints a,b,c move-leader 8e9e05c52164694d   the id as member list prints it; one endpoint leads\n",
     NULL, maintenance_command_move_leader, WAYS_CALLS},
    {"snapshot save", "<filename>", "Saves a snapshot of one member to a file",
     "  kvctl --endpoints 10.0.0.1:2379 snapshot save backup.db\n"
     "  The file appears under its name when it is whole, verified and durable; until then it is backup.db.part.\n",
     NULL, snapshot_command_save, WAYS_CALLS},
    {"snapshot status", "<filename>", "Verifies a snapshot file and says what it is",
     "  kvctl snapshot status backup.db -w table  its hash is the one that endpoint hashkv shows at that revision\n"
     "  Simple output: hash, revision, total keys, total size. Every block is verified; a file out of DATA/snap will do.\n",
     NULL, snapshot_command_status, WAYS_OFFLINE},
    {"snapshot restore", "<filename>", "Makes a new member's data directory out of a snapshot file",
     "  On each member's machine, with its own name and URL, from the same file:\n"
     "  kvctl snapshot restore backup.db --name a --data-dir a.etcd \\\n"
     "      --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380 \\\n"
     "      --initial-cluster-token after-the-fire --initial-advertise-peer-urls http://10.0.0.1:2380\n"
     "  Revisions go on 1,000,000,000 further up and all below is compacted, so that clients with caches and watches notice;\n"
     "  --bump-revision 0 --mark-compacted=false leaves both as they were.\n",
     snapshot_command_restore_flags, snapshot_command_restore, WAYS_OFFLINE},
    {"version", "", "Prints the version of kvctl", "  kvctl version\n", NULL, run_version, WAYS_OFFLINE},
};
#define COMMAND_COUNT (sizeof COMMANDS / sizeof COMMANDS[0])

static int global_flags(struct ctl_globals *g, struct flag *out_flags)
{
    *g = (struct ctl_globals){.endpoints = "127.0.0.1:2379", .write_out = "simple", .cert = "", .key = "", .cacert = "",
                              .user = "", .password = "", .auth_jwt_token = "", .discovery_srv = "", .discovery_srv_name = "",
                              .dial_timeout_ns = 2 * NS_PER_S, .command_timeout_ns = 5 * NS_PER_S,
                              .keepalive_time_ns = 2 * NS_PER_S, .keepalive_timeout_ns = 6 * NS_PER_S,
                              .insecure_transport = true};
    const struct flag flags[] = {
        {"endpoints", 0, FLAG_STRING, &g->endpoints, "<list>", "members to talk to, host:port or URL, with commas", GLOBALS, false},
        {"write-out", 'w', FLAG_STRING, &g->write_out, "<format>", "simple, fields, json or table", GLOBALS, false},
        {"hex", 0, FLAG_BOOL, &g->hex, NULL, "print byte strings as hex", GLOBALS, false},
        {"command-timeout", 0, FLAG_DURATION_NS, &g->command_timeout_ns, "<time>", "for the whole command", GLOBALS, false},
        {"dial-timeout", 0, FLAG_DURATION_NS, &g->dial_timeout_ns, "<time>", "to reach any endpoint", GLOBALS, false},
        {"keepalive-time", 0, FLAG_DURATION_NS, &g->keepalive_time_ns, "<time>", "between pings; below 10s it is 10s", GLOBALS, false},
        {"keepalive-timeout", 0, FLAG_DURATION_NS, &g->keepalive_timeout_ns, "<time>", "for their answer", GLOBALS, false},
        {"cacert", 0, FLAG_STRING, &g->cacert, "<file>", "trust servers certified by this CA (https endpoints)", GLOBALS, false},
        {"cert", 0, FLAG_STRING, &g->cert, "<file>", "our certificate", GLOBALS, false},
        {"key", 0, FLAG_STRING, &g->key, "<file>", "its key", GLOBALS, false},
        {"insecure-transport", 0, FLAG_BOOL, &g->insecure_transport, NULL,
         "endpoints without a scheme are plain, unless there is a CA or a certificate", GLOBALS, false},
        {"insecure-skip-tls-verify", 0, FLAG_BOOL, &g->insecure_skip_verify, NULL, "trust any server; tests only", GLOBALS, false},
        {"help", 'h', FLAG_BOOL, &g->help, NULL, "this text", GLOBALS, false},
        {"user", 0, FLAG_STRING, &g->user, NULL, NULL, GLOBALS, false},
        {"password", 0, FLAG_STRING, &g->password, NULL, NULL, GLOBALS, false},
        {"auth-jwt-token", 0, FLAG_STRING, &g->auth_jwt_token, NULL, NULL, GLOBALS, false},
        {"discovery-srv", 'd', FLAG_STRING, &g->discovery_srv, NULL, NULL, GLOBALS, false},
        {"discovery-srv-name", 0, FLAG_STRING, &g->discovery_srv_name, NULL, NULL, GLOBALS, false},
        {"debug", 0, FLAG_IGNORED, NULL, NULL, NULL, GLOBALS, false},
        {"max-request-bytes", 0, FLAG_IGNORED, NULL, NULL, NULL, GLOBALS, false},
        {"max-recv-bytes", 0, FLAG_IGNORED, NULL, NULL, NULL, GLOBALS, false},
        {"insecure-discovery", 0, FLAG_IGNORED, NULL, NULL, NULL, GLOBALS, false},
    };
    ASSERT(sizeof flags / sizeof flags[0] + KV_REQUEST_FLAGS_MAX <= FLAGS_MAX);
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

/* --- help ---------------------------------------------------------------------------------------------------------------- */

static void print_overview(const struct flag *flags, int flag_count)
{
    printf("kvctl - the command line client of kvd; speaks etcd's v3 API\n\nUsage:\n  kvctl [flags] <command> [arguments]\n\nCommands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        ASSERT(COMMANDS[i].summary != NULL);
        printf("  %-17s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    }
    printf("\nExamples:\n"
           "  kvctl --endpoints 10.0.0.1:2379,10.0.0.2:2379 put greeting hello\n"
           "  kvctl get --prefix greet -w json\n"
           "  kvctl help txn                     more about one command, with examples\n"
           "  KVCTL_ENDPOINTS=10.0.0.1:2379 kvctl endpoint status -w table\n\n");
    flags_print_help(flags, flag_count);
    printf("\nEach global option may also stand in the environment: KVCTL_ENDPOINTS or ETCDCTL_ENDPOINTS, and so on.\n"
           "Exit codes: 0 done, 1 refused or failed, 2 no endpoint reached, 3 bad input, 4 bad feature, 5 a stream broke,\n"
           "128 bad arguments.\n");
}

static void print_group(const char *group)
{
    size_t length = strlen(group);
    printf("kvctl %s has these commands; kvctl help %s COMMAND says more about one:\n\n", group, group);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        ASSERT(COMMANDS[i].summary != NULL);
        if (strncmp(COMMANDS[i].name, group, length) == 0) printf("  %-17s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    }
}

/* Insertions, deletions and substitutions of a byte that make one word of the other. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[WORD_BYTES_MAX + 1], width = strlen(b);
    ASSERT(width <= WORD_BYTES_MAX);
    for (size_t k = 0; k <= width; k++) row[k] = k;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < width; k++) {
            size_t best = corner + (a[i] != b[k]);
            if (row[k] + 1 < best) best = row[k] + 1;
            if (row[k + 1] + 1 < best) best = row[k + 1] + 1;
            corner = row[k + 1];
            row[k + 1] = best;
        }
    }
    return row[width];
}

/* NULL if no command's name is near. Names of other tools for the same thing count as near. */
static const char *nearest_command(const char *word)
{
    static const char *const others[][2] = {{"set", "put"}, {"delete", "del"}, {"rm", "del"}, {"remove", "del"}, {"ls", "get"},
                                            {"list", "get"}, {"compact", "compaction"}, {"status", "endpoint status"},
                                            {"health", "endpoint health"}, {"members", "member list"},
                                            {"save", "snapshot save"}, {"backup", "snapshot save"}, {"restore", "snapshot restore"}};
    const char *near = NULL;
    size_t least = 3;
    if (strlen(word) > WORD_BYTES_MAX) return NULL;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(others[i][0], word) == 0) return others[i][1];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t distance = edit_distance(word, COMMANDS[i].name);
        if (distance >= least || distance >= strlen(word)) continue;
        least = distance;
        near = COMMANDS[i].name;
    }
    return near;
}

static void print_command_help(const struct command *command, const struct flag *flags, int flag_count)
{
    ASSERT(command->examples != NULL);
    printf("%s - %s\n\nUsage:\n  kvctl %s [flags]%s%s\n\nExamples:\n%s\n", command->name, command->summary, command->name,
           command->usage[0] == '\0' ? "" : " ", command->usage, command->examples);
    flags_print_help(flags, flag_count);
    printf("%sGlobal options: see kvctl --help.\n", flag_count > 0 ? "\n" : "");
}

/* --- the way from the command line to the command -------------------------------------------------------------------------- */

/* A first word that needs a second one. */
static bool is_group(const char *word)
{
    ASSERT(word != NULL);
    size_t length = strlen(word);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strncmp(COMMANDS[i].name, word, length) == 0 && COMMANDS[i].name[length] == ' ') return true;
    return false;
}

/* The place of a group's second word; flags may stand between the two. `count` if there is none. */
static int second_word(int count, const char **words)
{
    int second = 1;
    while (second < count && words[second][0] == '-') second++;
    return second < count ? second : count;
}

/* The command that the words name, and how many words that took. */
static const struct command *find_command(int count, const char **words, int *out_used)
{
    char name[64];
    if (count == 0) return NULL;
    int second = second_word(count, words);
    bool has_second = is_group(words[0]) && second < count;
    snprintf(name, sizeof name, "%.30s%s%.30s", words[0], has_second ? " " : "", has_second ? words[second] : "");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(COMMANDS[i].name, name) != 0) continue;
        *out_used = has_second ? 2 : 1;
        ASSERT(COMMANDS[i].run != NULL);
        return &COMMANDS[i];
    }
    return NULL;
}

/* Words that name no command: nothing at all and a group by itself are questions, all else is a mistake. */
static enum ctl_exit explain_words(int count, const char **words, const struct flag *flags, int flag_count)
{
    bool has_group = count > 0 && is_group(words[0]);
    int second = has_group ? second_word(count, words) : 0;
    if (count == 0) {
        print_overview(flags, flag_count);
    } else if (has_group && second == count) {
        print_group(words[0]);
    } else if (has_group) {
        return ctl_fail(CTL_ERROR, "unknown command \"%s\" for \"kvctl %s\"\nRun 'kvctl %s' for its commands.", words[second], words[0],
                        words[0]);
    } else {
        const char *near = nearest_command(words[0]);
        return ctl_fail(CTL_ERROR, "unknown command \"%s\" for \"kvctl\"%s%s%s\nRun 'kvctl --help' for usage.", words[0],
                        near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
    }
    return CTL_OK;
}

static enum ctl_exit set_format(struct ctl *ctl)
{
    static const char *const names[] = {"simple", "fields", "json", "table"};
    ASSERT(ctl->globals.write_out != NULL);
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(ctl->globals.write_out, names[i]) != 0) continue;
        ctl->format = (enum ctl_format)i;
        return CTL_OK;
    }
    return ctl_fail(CTL_BAD_FEATURE, "unsupported output format \"%s\": it is simple, fields, json or table", ctl->globals.write_out);
}

/* The environment into the global options; the command line is parsed afterwards and so wins. */
static bool parse(struct ctl *ctl, struct flag *flags, int flag_count, int argc, char **argv, const struct flags_options *options,
                  struct flags_result *result)
{
    bool is_good = flags_parse(flags, flag_count, argc, argv, options, result);
    for (int i = 0; i < flag_count; i++)
        if (flags[i].is_set && flags[i].target == &ctl->globals.command_timeout_ns) ctl->has_timeout = true;
    return is_good;
}

static bool parse_environment(struct ctl *ctl, struct flag *flags, int flag_count, char **argv, struct flags_result *result)
{
    static const char *const prefixes[] = {"ETCDCTL", "KVCTL"};
    for (size_t i = 0; i < 2; i++) {
        const struct flags_options options = {.environment_prefix = prefixes[i]};
        if (!parse(ctl, flags, flag_count, 1, argv, &options, result)) return false;
        ASSERT(result->arguments_count == 0);
    }
    return true;
}

/* Flags that would change what a command does, were they built: not to be passed over in silence. */
static enum ctl_exit check_unbuilt(const struct ctl_globals *globals)
{
    const struct {
        const char *value, *flag, *feature;
    } unbuilt[] = {{globals->user, "user", "authentication"},
                   {globals->password, "password", "authentication"},
                   {globals->auth_jwt_token, "auth-jwt-token", "authentication"},
                   {globals->discovery_srv, "discovery-srv", "discovery by DNS"},
                   {globals->discovery_srv_name, "discovery-srv-name", "discovery by DNS"}};
    for (size_t i = 0; i < sizeof unbuilt / sizeof unbuilt[0]; i++) {
        ASSERT(unbuilt[i].value != NULL);
        if (unbuilt[i].value[0] == '\0') continue;
        return ctl_fail(CTL_BAD_FEATURE, "--%s: %s is not supported by this version", unbuilt[i].flag, unbuilt[i].feature);
    }
    return CTL_OK;
}

static enum ctl_exit run_command(struct ctl *ctl, const struct command *command, int count, const char **words)
{
    enum ctl_exit code = set_format(ctl);
    if (code == CTL_OK) code = check_unbuilt(&ctl->globals);
    if (command->ways == WAYS_LIVE) ear_block_signals();
    if (code == CTL_OK && command->ways != WAYS_OFFLINE) code = ctl_connect(ctl, ctl->globals.endpoints);
    if (code == CTL_OK) code = command->run(ctl, count, words);
    ASSERT(code >= CTL_OK);
    ctl_disconnect(ctl);
    if (fflush(stdout) != 0 && code == CTL_OK) code = ctl_fail(CTL_ERROR, "standard output cannot be written");
    return code;
}

static enum ctl_exit run(struct ctl *ctl, int argc, char **argv, const char **words)
{
    struct flag flags[FLAGS_MAX];
    struct flags_result result = {.arguments = words};
    const struct flags_options first_word = {.stop_at_command = true}, all = {.environment_prefix = NULL};
    int flag_count = global_flags(&ctl->globals, flags), used = 0;
    if (!parse_environment(ctl, flags, flag_count, argv, &result) || !parse(ctl, flags, flag_count, argc, argv, &first_word, &result))
        return ctl_fail(CTL_ERROR, "%s\nRun 'kvctl --help' for usage.", result.error);
    bool wants_help = ctl->globals.help;
    if (result.arguments_count > 0 && strcmp(words[0], "help") == 0) {
        wants_help = true;
        words++;
        result.arguments_count--;
    }
    const struct command *command = find_command(result.arguments_count, words, &used);
    if (command == NULL) return explain_words(result.arguments_count, words, flags, flag_count);
    int own_count = command->flags == NULL ? 0 : command->flags(&ctl->options, flags + flag_count);
    ASSERT(flag_count + own_count <= FLAGS_MAX);
    if (wants_help) {
        print_command_help(command, flags + flag_count, own_count);
        return CTL_OK;
    }
    result.arguments = words;
    if (!parse(ctl, flags, flag_count + own_count, argc, argv, &all, &result))
        return ctl_fail(CTL_ERROR, "%s\nRun 'kvctl %s --help' for usage.", result.error, command->name);
    if (ctl->globals.help) {
        print_command_help(command, flags + flag_count, own_count);
        return CTL_OK;
    }
    ASSERT(result.arguments_count >= used);
    ctl->before_dashes = result.before_dashes < used ? -1 : result.before_dashes - used;
    return run_command(ctl, command, result.arguments_count - used, words + used);
}

/* As the signal would have ended us at once: a shell sees why. */
static void end_by(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.format = CTL_SIMPLE};
    const char **words = alloc_zero((size_t)argc + 1, sizeof *words);
    setenv("GRPC_VERBOSITY", "NONE", 0); /* errors are told by us, once */
    enum ctl_exit code = run(&ctl, argc, argv, words);
    alloc_free(words);
    if (ctl.signal != 0) end_by(ctl.signal);
    return (int)code;
}
