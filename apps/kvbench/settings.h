/* settings: the one table of commands and the one of flags, from which come the command line, --help, the manual page and the completion.
 * Owner: embedded; texts are borrowed from the command line. Thread: start-up. */
#ifndef KVBENCH_SETTINGS_H
#define KVBENCH_SETTINGS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/flags.h"
#include "distribution.h"
#include "servers.h"

#define SETTINGS_FLAGS_MAX 64
#define SETTINGS_ENDPOINTS_MAX 64
#define SETTINGS_VALUE_BYTES_MAX (UINT64_C(64) << 20)
#define SETTINGS_KEY_BYTES_MAX 4096
#define SETTINGS_CLIENTS_MAX 60000
#define SETTINGS_TXN_OPS_MAX 1024
#define SETTINGS_TEXT_BYTES 320

enum command {
    COMMAND_PUT,
    COMMAND_GET,
    COMMAND_RANGE,
    COMMAND_TXN_PUT,
    COMMAND_TXN_MIXED,
    COMMAND_DELETE,
    COMMAND_MIXED,
    COMMAND_WATCH,
    COMMAND_WATCH_LATENCY,
    COMMAND_LEASE_KEEPALIVE,
    COMMAND_FILL,
    COMMAND_COUNT
};
/* What a flag is of. */
#define OF(command) (1u << (command))
#define OF_COMPARE (1u << COMMAND_COUNT) /* of `compare`, which is no workload */
#define OF_WORKLOADS ((1u << COMMAND_COUNT) - 1)

struct command_row {
    const char *name, *summary, *examples; /* examples: lines, each with "\n" */
};
const struct command_row *settings_command(enum command command);
const struct command_row *settings_compare(void);

struct settings_side { /* of a comparison */
    const char *text, *pids;         /* NAME=ENDPOINTS, and processes */
    char *name;                      /* ours */
    const char *endpoints;           /* behind the name, in `text` */
    struct servers servers;
};
struct settings {
    enum command command;
    bool compares;
    struct settings_side sides[2];
    uint64_t rounds;
    /* as they were written */
    struct flags_list endpoints;
    const char *server_pids, *write_out, *live, *hdr, *plot, *raw, *value_size_text, *dist_text, *ycsb, *key_prefix, *duration_text, *warm_up_text;
    const char *ca_file, *certificate_file, *key_file;
    uint64_t clients, conns, threads, total, rate, timeout_ns, keys, key_size, seed;
    uint64_t limit, txn_ops, write_percent, batch, watchers, streams, watched_keys, leases, ttl;
    bool serializable, count_only, keys_only, fills, skip_verify, help;
    /* what they mean */
    uint64_t duration_ns, warm_up_ns; /* duration_ns 0 = until `total` are done */
    uint64_t fill_batch;              /* puts in a transaction that fills: --batch, or as many as a server takes in one request */
    enum distribution_kind dist;
    struct distribution_sizes value_sizes;
    struct servers servers;
    char *endpoint_text, *side_texts[2]; /* ours: what endpoint_list points into */
    const char *endpoint_list[SETTINGS_ENDPOINTS_MAX];
    size_t endpoint_count;
    bool is_json, is_live_json, is_live;
};

struct settings_flag {
    struct flag flag;
    uint32_t of; /* commands that have it */
};
/* Fills the table, and the settings with what they are when nobody says anything. */
int settings_flags(struct settings *settings, struct settings_flag out_flags[SETTINGS_FLAGS_MAX]);
/* Those of one command, for help: "-" and texts as base/flags prints them. */
int settings_flags_of(const struct settings_flag *all, int count, uint32_t of, struct flag *out_flags);

/* Reads the command line. False: out_text says what is wrong; "" when there is no command at all. settings->help: help was asked for, and
 * out_has_command says whether about settings->command. */
bool settings_parse(struct settings *settings, int argc, char **argv, bool *out_has_command, char out_text[SETTINGS_TEXT_BYTES]);
/* The endpoints and processes of a side of a comparison become the settings' own; they have been read already. */
void settings_take_side(struct settings *settings, size_t side);
void settings_deinit(struct settings *settings);
/* "10", "10s", "500ms", "1m30s". */
bool settings_parse_time(const char *text, uint64_t *out_ns);

#endif
