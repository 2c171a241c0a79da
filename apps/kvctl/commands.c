/* commands: the table, and who is meant by a word. */
#include "commands.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/nearest.h"
#include "auth_command.h"
#include "batch_command.h"
#include "check_command.h"
#include "completion.h"
#include "elect_command.h"
#include "endpoint_command.h"
#include "history_command.h"
#include "kv_command.h"
#include "kv_request.h"
#include "lease_command.h"
#include "lock_command.h"
#include "maintenance_command.h"
#include "manual.h"
#include "member_change.h"
#include "member_command.h"
#include "mirror_command.h"
#include "other_command.h"
#include "snapshot_command.h"
#include "txn_command.h"
#include "watch_command.h"
#include "watchers_command.h"


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
    {"batch", "[<file>]", "Runs commands from a file or standard input, one a line, many at a time",
     "  kvctl batch commands.txt                  put, get, del, compaction, lease grant, lease revoke; quoting as in a shell, # comments;\n"
     "      and transactions: lines from TXN over IF, THEN, ELSE to END\n"
     "  generate | kvctl batch --quiet            print what fails only; a summary goes to standard error\n"
     "  kvctl batch -w json commands.txt          an object for each line: {\"line\":1,\"ok\":true,\"result\":{…}}\n"
     "  kvctl batch --atomic commands.txt         one transaction; with empty lines in it, one for each group between them\n"
     "  kvctl batch --dry-run commands.txt        only look whether each line is well formed\n"
     "  Lines about the same keys run in their order, others --parallel at a time; results are printed in the order of the lines.\n"
     "  What fails is named by its line; the exit code is 0 only if all succeeded.\n",
     batch_command_flags, batch_command_run, WAYS_OFFLINE},
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
    {"member add", "<member name>", "Adds a member into the cluster",
     "  kvctl member add d --peer-urls http://10.0.0.4:2380 --learner\n"
     "  Prints the settings with which the new member is to be started.\n",
     member_change_add_flags, member_change_add, WAYS_CALLS},
    {"member remove", "<memberID>", "Removes a member from the cluster",
     "  kvctl member remove 8e9e05c52164694d      the id as member list prints it\n", NULL, member_change_remove, WAYS_CALLS},
    {"member update", "<memberID>", "Updates a member in the cluster",
     "  kvctl member update 8e9e05c52164694d --peer-urls http://10.0.0.9:2380\n",
     member_change_update_flags, member_change_update, WAYS_CALLS},
    {"member promote", "<memberID>", "Promotes a non-voting member in the cluster",
     "  kvctl member promote 8e9e05c52164694d     a learner that is in sync with the leader becomes a voter\n",
     NULL, member_change_promote, WAYS_CALLS},
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
    {"make-mirror", "<destination>", "Makes a mirror at the destination cluster",
     "  kvctl make-mirror 10.1.0.1:2379           all keys, then every change, until interrupted; prints how many every 30 s\n"
     "  kvctl make-mirror --prefix users/ --dest-prefix old-users/ 10.1.0.1:2379\n",
     mirror_command_flags, mirror_command_run, WAYS_LIVE},
    {"check perf", "", "Checks the performance of the cluster",
     "  kvctl check perf --load m                 a minute of 1,000 puts a second, then a judgement; its keys are deleted\n",
     check_command_perf_flags, check_command_perf, WAYS_CALLS},
    {"check datascale", "", "Checks the memory usage of holding data for different workloads",
     "  kvctl check datascale --load s            10,000 keys of 1 KiB, and what the first endpoint takes for them\n",
     check_command_datascale_flags, check_command_datascale, WAYS_CALLS},
    {"downgrade validate", "<version>", "Asks whether the cluster could go back to a version",
     "  kvctl downgrade validate 3.5\n", NULL, other_command_downgrade_validate, WAYS_CALLS},
    {"downgrade enable", "<version>", "Begins to go back to a version",
     "  kvctl downgrade enable 3.5\n", NULL, other_command_downgrade_enable, WAYS_CALLS},
    {"downgrade cancel", "", "Gives the way back up",
     "  kvctl downgrade cancel\n", NULL, other_command_downgrade_cancel, WAYS_CALLS},
    {"auth enable", "", "Enables authentication",
     "  kvctl user add root && kvctl auth enable  the user root gets the role root, which may do everything\n",
     NULL, auth_command_enable, WAYS_CALLS},
    {"auth disable", "", "Disables authentication", "  kvctl auth disable\n", NULL, auth_command_disable, WAYS_CALLS},
    {"auth status", "", "Says whether authentication is enabled", "  kvctl auth status\n", NULL, auth_command_status, WAYS_CALLS},
    {"user add", "<user name or user:password>", "Adds a new user",
     "  kvctl user add alice                      asks for the password twice\n"
     "  kvctl user add --interactive=false alice < password\n"
     "  kvctl user add --no-password bob          a user who comes with a certificate\n",
     auth_command_user_add_flags, auth_command_user_add, WAYS_CALLS},
    {"user delete", "<user name>", "Deletes a user", "  kvctl user delete alice\n", NULL, auth_command_user_delete, WAYS_CALLS},
    {"user get", "<user name>", "Gets detailed information of a user",
     "  kvctl user get --detail alice             her roles, and what each may do\n",
     auth_command_user_get_flags, auth_command_user_get, WAYS_CALLS},
    {"user list", "", "Lists all users", "  kvctl user list\n", NULL, auth_command_user_list, WAYS_CALLS},
    {"user passwd", "<user name>", "Changes password of user",
     "  kvctl user passwd --interactive=false alice < password\n",
     auth_command_user_passwd_flags, auth_command_user_passwd, WAYS_CALLS},
    {"user grant-role", "<user name> <role name>", "Grants a role to a user",
     "  kvctl user grant-role alice readers\n", NULL, auth_command_user_grant_role, WAYS_CALLS},
    {"user revoke-role", "<user name> <role name>", "Revokes a role from a user",
     "  kvctl user revoke-role alice readers\n", NULL, auth_command_user_revoke_role, WAYS_CALLS},
    {"role add", "<role name>", "Adds a new role", "  kvctl role add readers\n", NULL, auth_command_role_add, WAYS_CALLS},
    {"role delete", "<role name>", "Deletes a role", "  kvctl role delete readers\n", NULL, auth_command_role_delete, WAYS_CALLS},
    {"role get", "<role name>", "Gets detailed information of a role",
     "  kvctl role get readers\n", NULL, auth_command_role_get, WAYS_CALLS},
    {"role list", "", "Lists all roles", "  kvctl role list\n", NULL, auth_command_role_list, WAYS_CALLS},
    {"role grant-permission", "<role name> <permission type> <key> [endkey]", "Grants a key to a role",
     "  kvctl role grant-permission readers read users/ --prefix    read, write or readwrite\n",
     auth_command_role_permission_flags, auth_command_role_grant, WAYS_CALLS},
    {"role revoke-permission", "<role name> <key> [endkey]", "Revokes a key from a role",
     "  kvctl role revoke-permission readers users/ --prefix\n",
     auth_command_role_permission_flags, auth_command_role_revoke, WAYS_CALLS},
    {"completion", "bash|zsh|fish", "Prints a script by which a shell completes kvctl's commands and flags",
     "  . <(kvctl completion bash)                for this bash; or into /usr/share/bash-completion/completions/kvctl\n"
     "  . <(kvctl completion zsh)                 or as _kvctl into a directory of $fpath\n"
     "  kvctl completion fish | source\n",
     NULL, completion_command, WAYS_OFFLINE},
    {"man", "", "Prints the manual page in roff", NULL, NULL, manual_command, WAYS_OFFLINE},
    {"options", "", "Prints the global options", "  kvctl options\n", NULL, other_command_options, WAYS_OFFLINE},
    {"version", "", "Prints the version of kvctl", "  kvctl version\n", NULL, other_command_version, WAYS_OFFLINE},
};
#define COMMAND_COUNT (sizeof COMMANDS / sizeof COMMANDS[0])


const struct command *commands_all(size_t *out_count)
{
    *out_count = COMMAND_COUNT;
    return COMMANDS;
}

int commands_flags(const struct command *command, struct ctl_options *options, struct flag *out_flags)
{
    int count = command->flags == NULL ? 0 : command->flags(options, out_flags);
    ASSERT(count >= 0 && count <= COMMANDS_FLAGS_MAX);
    return count;
}

/* --- who is meant ------------------------------------------------------------------------------------------------------------ */

bool commands_is_group(const char *word)
{
    ASSERT(word != NULL);
    size_t length = strlen(word);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strncmp(COMMANDS[i].name, word, length) == 0 && COMMANDS[i].name[length] == ' ') return true;
    return false;
}

int commands_second_word(int count, const char *const *words)
{
    int second = 1;
    while (second < count && words[second][0] == '-') second++;
    return second < count ? second : count;
}

const struct command *commands_find(int count, const char *const *words, int *out_used)
{
    char name[64];
    if (count == 0) return NULL;
    int second = commands_second_word(count, words);
    bool has_second = commands_is_group(words[0]) && second < count;
    snprintf(name, sizeof name, "%.30s%s%.30s", words[0], has_second ? " " : "", has_second ? words[second] : "");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(COMMANDS[i].name, name) != 0) continue;
        *out_used = has_second ? 2 : 1;
        ASSERT(COMMANDS[i].run != NULL);
        return &COMMANDS[i];
    }
    return NULL;
}

/* Whether a command has this word at this place of its name, in any case. */
static bool is_word_of_a_name(const char *word, const char *group)
{
    size_t size = strlen(word), skip = group == NULL ? 0 : strlen(group) + 1;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const char *name = COMMANDS[i].name;
        if (group != NULL && (strncmp(name, group, skip - 1) != 0 || name[skip - 1] != ' ')) continue;
        if (strncasecmp(name + skip, word, size) == 0 && (name[skip + size] == '\0' || name[skip + size] == ' ')) return true;
    }
    return false;
}

static void lower(char *word)
{
    for (; *word != '\0'; word++) *word = (char)tolower((unsigned char)*word);
}

void commands_lower(int count, char **words)
{
    if (count == 0 || !is_word_of_a_name(words[0], NULL)) return;
    lower(words[0]);
    int second = commands_is_group(words[0]) ? commands_second_word(count, (const char *const *)words) : count;
    if (second < count && is_word_of_a_name(words[second], words[0])) lower(words[second]);
}

const char *commands_nearest(const char *word)
{
    static const char *const others[][2] = {{"set", "put"}, {"delete", "del"}, {"rm", "del"}, {"remove", "del"}, {"ls", "get"},
                                            {"list", "get"}, {"compact", "compaction"}, {"status", "endpoint status"},
                                            {"health", "endpoint health"}, {"members", "member list"},
                                            {"save", "snapshot save"}, {"backup", "snapshot save"}, {"restore", "snapshot restore"}};
    const char *near = NULL;
    size_t least = 3;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(others[i][0], word) == 0) return others[i][1];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t distance = nearest_distance(word, COMMANDS[i].name);
        if (distance >= least || distance >= strlen(word)) continue;
        least = distance;
        near = COMMANDS[i].name;
    }
    return near;
}

