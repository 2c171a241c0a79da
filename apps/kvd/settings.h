/* settings: the one table of everything that kvd can be told. Flags, environment, YAML, config.env, --help, --check-config, the man page and
 * config.example.env all come from it.
 *
 * A setting has one name, "snapshot-count": the flag --snapshot-count, the variables KVD_SNAPSHOT_COUNT and ETCD_SNAPSHOT_COUNT, the key
 * snapshot-count of a YAML file. In config.env, which describes a whole cluster on one machine, it is SERVER_SNAPSHOT_COUNT, or a name of its
 * own; what differs from member to member is made there from the cluster's own settings, which have no flag. Thread: any; constant.
 */
#ifndef KVD_SETTINGS_H
#define KVD_SETTINGS_H
#include <stdbool.h>
#include <stddef.h>

#include "base/flags.h"

enum setting_scope {
    SETTING_ALL,     /* everywhere */
    SETTING_MEMBER,  /* everywhere but config.env, where the member's number says it */
    SETTING_CLUSTER, /* config.env only */
    SETTING_PROGRAM, /* what the program shall do: flags and variables only */
};

struct setting {
    const char *name;     /* of the flag; of a SETTING_CLUSTER, in config.env */
    enum flag_kind kind;
    size_t offset;        /* of the target in struct options */
    const char *value_name;
    const char *help;
    const char *group;
    enum setting_scope scope;
    const char *env_name; /* in config.env, if not SERVER_ and the name */
};

/* A name of a flag, variable and key that is accepted for etcd's sake, and has no effect. */
struct setting_accepted {
    const char *name;
    enum flag_kind kind; /* FLAG_IGNORED or FLAG_IGNORED_BOOL, as etcd reads it */
};

const struct setting *settings_table(int *out_count);
const struct setting_accepted *settings_accepted(int *out_count);
/* Names that config.env once had, or that come to mind, and what they are called: pairs. */
const char *const (*settings_renamed(int *out_count))[2];

/* The name in config.env; "" = it has none. Longer ones do not exist. */
void settings_env_name(const struct setting *setting, char out_name[FLAGS_VARIABLE_MAX]);

#endif
