/* options: what kvd is told, by the command line, the environment or a file: etcd's flags, name by name, and a few of our own; the table of
 * them is settings.h.
 *
 * Flags of the union of etcd 3.5 to 3.7 that have no meaning here (yet) are accepted with one warning line each, so
 * that a unit file or a manifest written for etcd starts kvd unchanged; those that cannot be passed over are refused. A
 * flag also given by its variable is an error, an ETCD_ variable that belongs to no flag is a warning, and a --config-file is the whole
 * configuration: etcd's rules. Owner: main. Thread: main, at start; immutable afterwards.
 */
#ifndef KVD_OPTIONS_H
#define KVD_OPTIONS_H
#include "base/flags.h"
#include "base/log.h"
#include "mistakes.h"
#include "pipeline/config.h"

enum options_verdict {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_CHECK,   /* --check-config: mistakes and what would be in force */
    OPTIONS_PRINT,   /* --print */
    OPTIONS_USAGE,   /* the command line cannot be read; message */
    OPTIONS_INVALID, /* it can, and says something that cannot be; message */
};

/* What config.env says of the whole cluster. */
struct options_cluster {
    uint64_t node_count;
    uint64_t client_port_base, peer_port_base;
    uint64_t start_timeout_s, stop_timeout_s;
    const char *host;
    const char *data_base_path;
    const char *client_servers, *client_history_dir, *client_history_file;
};

/* What is refused if it says something else than what kvd does anyway. */
struct options_refused {
    const char *ca_file, *client_crl_file, *client_cert_allowed_hostname, *tls_min_version, *tls_max_version;
    const char *peer_ca_file, *peer_cert_allowed_cn, *peer_cert_allowed_hostname, *peer_cert_file, *peer_crl_file, *peer_key_file,
        *peer_trusted_ca_file;
    bool auto_tls, peer_auto_tls, peer_client_cert_auth;
};

enum options_from { OPTIONS_DEFAULT, OPTIONS_FLAG, OPTIONS_VARIABLE, OPTIONS_FILE, OPTIONS_NODE /* the member's number */ };
struct options_origin {
    enum options_from from;
    uint32_t line;        /* of the file */
    const char *variable; /* the prefix of the variable */
};

enum options_file { OPTIONS_NO_FILE, OPTIONS_YAML, OPTIONS_ENV };

struct options {
    struct config config; /* checked when the verdict is OPTIONS_RUN */
    struct options_cluster cluster;
    enum log_level log_level;
    enum log_format log_format;
    char message[2048];
    const char *log_level_text;
    const char *log_format_text;
    const char *discovery, *discovery_endpoints, *discovery_srv; /* refused if they say something */
    bool is_force_new_cluster;                                   /* refused if set */
    struct options_refused refused;
    const char *config_file;
    uint64_t node; /* 0 = not said */
    const char *write_out;
    const char *print;
    bool is_check, is_version, is_help;

    struct flag *flags;             /* those of settings_table, then those that are accepted */
    struct options_origin *origins; /* one each */
    int flag_count;
    int setting_count;
    struct flags_result result;
    struct mistakes mistakes;
    enum options_file file_kind;
    const char *file;               /* that everything comes from; NULL = none */
    bool is_overridden;             /* there were other flags or variables, which the file makes void */
    char **texts;                   /* ours: what came from a file */
    int text_count;
};

/* Strings are borrowed from argv and the environment. */
enum options_verdict options_init(struct options *options, int argc, char **argv);
void options_deinit(struct options *options);
/* The names of the settings that have other values there, with commas, but for one that may differ; appended to out_text. Both were RUN. */
void options_difference(const struct options *options, const struct options *others, const char *except, struct buf *out_text);
void options_print_help(const struct options *options); /* stdout */
/* What was given and has no effect, as lines of the log: after level and format are set. */
void options_log_warnings(const struct options *options);

/* ---- for who reads files ---- */

/* The defaults, with nothing said; options_deinit gives back what it takes. */
void options_begin(struct options *options);
/* A text that lives as long as the options. */
const char *options_keep(struct options *options, const char *text, size_t size);
/* By the flag's name; NULL = there is none. What is only said to the program is none. */
struct flag *options_find(struct options *options, const char *name);
/* A value of the file for a setting, which stands there as `label`; mistakes are noted. */
void options_take(struct options *options, struct flag *flag, uint32_t line, const char *label, const char *text);
/* A mistake at a line of the file; 0 = of no line. */
void options_complain(struct options *options, uint32_t line, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What config.env says becomes the settings of one member, from 1; cluster.node_count is at least that. */
void options_make_node(struct options *options, uint64_t node);
/* All that can be said of values beside each other, and of the certificates that they name, noted as mistakes. */
void options_check_values(struct options *options);

#endif
