/* config_file: see config_file.h. */
#include "config_file.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"

static bool has_suffix(const char *text, const char *suffix)
{
    size_t size = strlen(text), length = strlen(suffix);
    return size >= length && strcmp(text + size - length, suffix) == 0;
}

/* The first line that says something is NAME=… with a name in capitals? */
static bool looks_like_env(struct slice bytes)
{
    const char *at = (const char *)bytes.data, *end = at + bytes.size;
    while (at < end) {
        while (at < end && isspace((unsigned char)*at)) at++;
        if (at < end && *at != '#') break;
        while (at < end && *at != '\n') at++;
    }
    const char *word = at;
    while (at < end && (isupper((unsigned char)*at) || isdigit((unsigned char)*at) || *at == '_')) at++;
    return at > word && at < end && *at == '=';
}

static enum options_file kind_of(const char *path, struct slice bytes)
{
    if (has_suffix(path, ".env")) return OPTIONS_ENV;
    if (has_suffix(path, ".yml") || has_suffix(path, ".yaml") || has_suffix(path, ".json")) return OPTIONS_YAML;
    return bytes.size > 0 && looks_like_env(bytes) ? OPTIONS_ENV : OPTIONS_YAML;
}

/* --- a cluster of its own numbers -------------------------------------------------------------------------------------------- */

static uint32_t line_of(struct options *options, const char *name)
{
    struct flag *flag = options_find(options, name);
    ASSERT(flag != NULL);
    return options->origins[flag - options->flags].line;
}

static bool check_number(struct options *options, const char *name, uint64_t value, uint64_t min, uint64_t max)
{
    if (value >= min && value <= max) return true;
    options_complain(options, line_of(options, name), NULL, "%s must be between %" PRIu64 " and %" PRIu64 " (set to %" PRIu64 ")", name, min,
                     max, value);
    return false;
}

static void check_host(struct options *options)
{
    const char *host = options->cluster.host;
    struct in6_addr address;
    bool is_v4 = inet_pton(AF_INET, host, &address) == 1, is_v6 = inet_pton(AF_INET6, host, &address) == 1;
    bool is_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    if ((is_v4 || is_v6) && !is_any) return;
    options_complain(options, line_of(options, "SERVER_HOST"), strcmp(host, "localhost") == 0 || is_any ? "127.0.0.1" : NULL,
                     "invalid value \"%.100s\" for SERVER_HOST: expected a numeric address of this machine, which members and clients can dial", host);
    options->cluster.host = "127.0.0.1"; /* it is told */
}

/* The port of one member for clients may not be another's for members. */
static void check_ports(struct options *options)
{
    const struct options_cluster *cluster = &options->cluster;
    uint64_t span = 10 * (cluster->node_count - 1);
    bool is_good = check_number(options, "SERVER_CLIENT_PORT_BASE", cluster->client_port_base, 1, 65535 - span);
    is_good = check_number(options, "SERVER_PEER_PORT_BASE", cluster->peer_port_base, 1, 65535 - span) && is_good;
    uint64_t low = cluster->client_port_base < cluster->peer_port_base ? cluster->client_port_base : cluster->peer_port_base;
    uint64_t apart = cluster->client_port_base + cluster->peer_port_base - 2 * low;
    if (!is_good || apart > span || apart % 10 != 0) return;
    options_complain(options, line_of(options, "SERVER_PEER_PORT_BASE"), NULL,
                     "port %" PRIu64 " would be one member's for clients and one's for members: choose a SERVER_PEER_PORT_BASE that is not %" PRIu64
                     " plus or minus a multiple of 10", low + apart, cluster->client_port_base);
}

static void check_history(struct options *options)
{
    const char *file = options->cluster.client_history_file;
    if (file[0] == '\0' || strchr(file, '/') != NULL)
        options_complain(options, line_of(options, "CLIENT_HISTORY_FILE"), NULL,
                         "invalid value \"%.100s\" for CLIENT_HISTORY_FILE: expected the name of a file in CLIENT_HISTORY_DIR", file);
    if (options->cluster.client_history_dir[0] == '\0')
        options_complain(options, line_of(options, "CLIENT_HISTORY_DIR"), NULL, "CLIENT_HISTORY_DIR must not be empty");
}

static void check_servers(struct options *options)
{
    /* As kvctl takes them: with http:// or without. */
    for (const char *at = options->cluster.client_servers; *at != '\0';) {
        size_t size = strcspn(at, ",");
        if (size == 0 || memchr(at, ' ', size) != NULL || memchr(at, ':', size) == NULL) {
            options_complain(options, line_of(options, "CLIENT_SERVERS"), NULL,
                             "invalid value \"%.100s\" for CLIENT_SERVERS: expected HOST:PORT or http://HOST:PORT, with commas between",
                             options->cluster.client_servers);
            return;
        }
        at += size + (at[size] == ',');
    }
}

static void check_cluster(struct options *options)
{
    struct options_cluster *cluster = &options->cluster;
    if (cluster->node_count != 1 && cluster->node_count != 3 && cluster->node_count != 5) {
        options_complain(options, line_of(options, "SERVER_NODE_COUNT"), NULL, "SERVER_NODE_COUNT must be 1, 3 or 5 (set to %" PRIu64 ")",
                         cluster->node_count);
        cluster->node_count = 1;
    }
    check_host(options);
    check_ports(options);
    if (cluster->data_base_path[0] == '\0' || strlen(cluster->data_base_path) > 3072)
        options_complain(options, line_of(options, "SERVER_DATA_BASE_PATH"), NULL, "SERVER_DATA_BASE_PATH must be a path of 1 to 3072 bytes");
    (void)check_number(options, "SERVER_START_TIMEOUT", cluster->start_timeout_s, 1, 86400);
    (void)check_number(options, "SERVER_STOP_TIMEOUT", cluster->stop_timeout_s, 1, 86400);
    check_servers(options);
    check_history(options);
}

/* Values that are told already must not be told again of the URLs and paths that are made of them. */
static void mend(struct options_cluster *cluster)
{
    uint64_t span = 10 * (cluster->node_count - 1);
    if (cluster->client_port_base < 1 || cluster->client_port_base > 65535 - span) cluster->client_port_base = 2379;
    if (cluster->peer_port_base < 1 || cluster->peer_port_base > 65535 - span) cluster->peer_port_base = 2380;
    if (cluster->data_base_path[0] == '\0' || strlen(cluster->data_base_path) > 3072) cluster->data_base_path = "data";
}

static void choose_node(struct options *options)
{
    uint64_t node = options->node;
    check_cluster(options);
    mend(&options->cluster);
    if (node > options->cluster.node_count) {
        options_complain(options, 0, NULL, "--node %" PRIu64 ": there are %" PRIu64 " members", node, options->cluster.node_count);
        node = 1;
    } else if (node == 0 && !options->is_check) {
        options_complain(options, 0, NULL, "which of its %" PRIu64 " members? --node says so, from 1", options->cluster.node_count);
    }
    options_make_node(options, node == 0 ? 1 : node);
}

void config_file_parse(struct options *options, struct slice bytes)
{
    ASSERT(options->file != NULL && options->file_kind != OPTIONS_NO_FILE);
    if (options->file_kind == OPTIONS_ENV) {
        options->config.initial_cluster_token = "kvd-local"; /* not etcd's default: a local cluster shall not meet others by chance */
        config_env_parse(options, bytes);
        choose_node(options);
        return;
    }
    config_yaml_parse(options, bytes);
    if (options->node != 0) options_complain(options, 0, NULL, "--node is a member of a config.env; this is YAML, of one member");
}

/* All of it, from a pipe as well: `--config-file <(make-it)`. An errno, EFBIG for too much. */
static int read_all(const char *path, struct buf *out_bytes)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC), error = descriptor < 0 ? errno : 0;
    while (error == 0) {
        char piece[4096];
        ssize_t got = read(descriptor, piece, sizeof(piece));
        if (got < 0 && errno != EINTR) error = errno;
        if (got == 0) break;
        if (got > 0) buf_put(out_bytes, piece, (size_t)got);
        if (out_bytes->size > CONFIG_FILE_BYTES_MAX) error = EFBIG;
    }
    if (descriptor >= 0) (void)close(descriptor);
    return error;
}

void config_file_read(struct options *options)
{
    struct buf bytes;
    buf_init(&bytes);
    int error = read_all(options->file, &bytes);
    if (error == EFBIG) {
        options_complain(options, 0, NULL, "more than %u bytes: no configuration is so long", CONFIG_FILE_BYTES_MAX);
    } else if (error != 0) {
        options_complain(options, 0, NULL, "cannot be read: %s", strerror(error));
    } else {
        options->file_kind = kind_of(options->file, buf_slice(&bytes));
        config_file_parse(options, buf_slice(&bytes));
    }
    buf_deinit(&bytes);
}
