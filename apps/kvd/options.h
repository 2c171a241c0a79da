/* options: the command line and the environment of kvd: etcd's flags, name by name, and a few of our own.
 *
 * Flags of the union of etcd 3.5 to 3.7 that have no meaning here (yet) are accepted with one warning line each, so
 * that a unit file or a manifest written for etcd starts kvd unchanged; two that cannot be passed over are refused. A
 * flag also given by its ETCD_ variable is an error, an ETCD_ variable that belongs to no flag is a warning: etcd's
 * rules. Owner: main. Thread: main, at start; immutable afterwards.
 */
#ifndef KVD_OPTIONS_H
#define KVD_OPTIONS_H
#include "base/flags.h"
#include "base/log.h"
#include "pipeline/config.h"

enum options_verdict {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_USAGE,   /* the command line cannot be read; message */
    OPTIONS_INVALID, /* it can, and says something that cannot be; message */
};

struct options {
    struct config config; /* checked when the verdict is OPTIONS_RUN */
    enum log_level log_level;
    enum log_format log_format;
    char message[512];
    const char *log_level_text;
    const char *log_format_text;
    const char *config_file;   /* refused if it names one */
    const char *discovery, *discovery_endpoints, *discovery_srv; /* likewise */
    bool is_force_new_cluster; /* refused if set */
    bool is_version;
    bool is_help;
    struct flag *flags;
    int flag_count;
    struct flags_result result;
};

/* Strings are borrowed from argv and the environment. */
enum options_verdict options_init(struct options *options, int argc, char **argv);
void options_deinit(struct options *options);
void options_print_help(const struct options *options); /* stdout */
/* What was given and has no effect, as lines of the log: after level and format are set. */
void options_log_warnings(const struct options *options);

#endif
