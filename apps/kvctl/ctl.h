/* ctl: what every command of kvctl shares: settings, the connection, how to fail.
 *
 * Owner: main has the one struct ctl; ctl_connect fills client and endpoints, ctl_disconnect frees them (and credentials_free what that
 * asked for). Thread: main.
 * Limits: KVD_ENDPOINTS_MAX endpoints.
 */
#ifndef KVCTL_CTL_H
#define KVCTL_CTL_H
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/flags.h"
#include "calls.h"

struct ear;

/* Exit codes as etcdctl's. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_ERROR = 1,
    CTL_BAD_CONNECTION = 2,
    CTL_INVALID_INPUT = 3,
    CTL_BAD_FEATURE = 4,
    CTL_INTERRUPTED = 5,
    CTL_BAD_ARGS = 128,
};

enum ctl_format { CTL_SIMPLE, CTL_FIELDS, CTL_JSON, CTL_PROTOBUF, CTL_TABLE };

struct ctl_globals {
    struct flags_list endpoints;
    const char *write_out, *cert, *key, *cacert;
    const char *user, *password; /* as given, until credentials_prepare */
    const char *auth_jwt_token;  /* without them */
    const char *discovery_srv, *discovery_srv_name; /* refused: not built yet */
    uint64_t dial_timeout_ns, command_timeout_ns, keepalive_time_ns, keepalive_timeout_ns;
    bool hex, insecure_transport, insecure_skip_verify, help;
};

/* The flags of all commands; each command takes the ones that it understands. */
struct ctl_options {
    const char *order, *sort_by, *consistency, *lease;
    const char *ttl; /* NULL = none was given */
    int64_t limit, rev, min_create_rev, max_create_rev, min_mod_rev, max_mod_rev, from_rev, to_rev;
    bool prefix, from_key, range, prev_kv, keys_only, count_only, print_value_only, ignore_value, ignore_lease, physical,
        interactive, cluster, keys, progress_notify, once, listen;
    int64_t lock_ttl;
    const char *name, *initial_cluster, *initial_cluster_token, *initial_advertise_peer_urls, *data_dir, *wal_dir;
    const char *wal_subdir, *snapshot_subdir, *raft_state_file;
    int64_t bump_revision;
    bool skip_hash_check, mark_compacted;
    const char *peer_urls, *new_user_password;
    int64_t parallel, max_txn_ops;
    const char *source_prefix, *dest_prefix, *dest_cert, *dest_key, *dest_cacert, *dest_user, *dest_password, *load;
    uint64_t check_seconds_ns;
    bool no_dest_prefix, dest_insecure, auto_compact, auto_defrag, stream;
    bool atomic, stop_on_error, dry_run, quiet, any_order;
    bool learner, no_password, detail;
};

struct ctl {
    struct ctl_globals globals;
    struct ctl_options options;
    enum ctl_format format;
    bool has_timeout;    /* --command-timeout was given */
    bool quotes;         /* keys and values that a terminal would take for its own are printed in quotes */
    int before_dashes;   /* of the command's words, how many stand before "--"; -1 = there is none */
    bool hears;          /* signals end its calls, not the process: there is an ear while it is connected */
    struct ear *ear;     /* NULL = none; a live command has its own */
    int signal;          /* that ended the command, and so ends the process; 0 = none */
    struct calls *client;
    char *secret;        /* the credentials', NULL = none of its own */
    char *endpoint_list; /* whom it is connected to, with commas between */
    char *endpoint_text; /* what `endpoints` points into */
    const char *endpoints[KVD_ENDPOINTS_MAX];
    size_t endpoint_count;
    size_t pinned;       /* 1 + index of the only endpoint that ctl_call_unpack calls; 0 = any */
};

/* "Error: …" on stderr; returns its first argument. */
enum ctl_exit ctl_fail(enum ctl_exit code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Until it is NULL again, ctl_fail appends its text there instead. */
void ctl_fail_into(struct buf *out);
/* How an answer's error reads to people. Borrowed. */
const char *ctl_error_text(const struct calls_answer *answer);

/* The client for `endpoints`; replaces the one before; asks for a password that is missing. Fails with a message. */
enum ctl_exit ctl_connect(struct ctl *ctl, const struct flags_list *endpoints);
void ctl_disconnect(struct ctl *ctl);
/* One turn of the client. False: a signal asks to end; what is in flight should be cancelled. */
bool ctl_pump(struct ctl *ctl, uint64_t deadline_ns);

/* One call, without a word about its outcome. *out_answer is filled and owned in any case. */
void ctl_call(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy, size_t endpoint,
              struct calls_answer *out_answer);
/* One call that is started; done_fn runs inside a later ctl_pump or ctl_call. Its name, for calls_cancel. */
uint64_t ctl_begin(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy, calls_done_fn *done_fn,
                   void *context);
/* One call that is answered with a stream: each message to message_fn. No endpoint is tried twice; without --command-timeout it may last. */
void ctl_stream(struct ctl *ctl, const char *path, struct slice request, calls_message_fn *message_fn, void *context, struct calls_answer *out_answer);
/* Says why there is no good answer; that the server has not such a call is said with its words, in one line. */
enum ctl_exit ctl_fail_answer(const struct ctl *ctl, const struct calls_answer *answer);
/* One call and its response unpacked (owned: protobuf_c_message_free_unpacked). Fails with a message. */
enum ctl_exit ctl_call_unpack(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy,
                              const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_message);
/* NULL: the bytes are not such a message. */
ProtobufCMessage *ctl_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes);

#endif
