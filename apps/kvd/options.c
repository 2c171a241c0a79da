/* options: see options.h. Flags first, then variables for what they left open; a file instead of both. */
#include "options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/nearest.h"
#include "config_file.h"
#include "rpc/rpc_tls.h"
#include "settings.h"
#include "storage/cluster.h"

#define PLACE_BYTES_MAX 4224
#define TEXTS_STEP 64
#define NODES_APART 10 /* the ports of two members */

static const char *const prefixes[] = {"KVD", "ETCD"}; /* of variables */
#define PREFIX_COUNT ((int)(sizeof prefixes / sizeof prefixes[0]))

static const struct setting *setting_of(const struct options *options, int place)
{
    int count;
    const struct setting *table = settings_table(&count);
    ASSERT(count == options->setting_count);
    return place < count ? &table[place] : NULL;
}

static bool is_of_program(const struct options *options, int place)
{
    const struct setting *setting = setting_of(options, place);
    return setting != NULL && setting->scope == SETTING_PROGRAM;
}

/* A setting of config.env alone is no flag: its name there is no name that anybody could type here. */
static bool is_flag(const struct options *options, int place)
{
    const struct setting *setting = setting_of(options, place);
    return setting == NULL || setting->scope != SETTING_CLUSTER;
}

static void set_defaults(struct options *options)
{
    config_init(&options->config);
    options->log_level_text = "info";
    options->log_format_text = "json";
    options->discovery = options->discovery_endpoints = options->discovery_srv = "";
    options->is_force_new_cluster = false;
    options->refused = (struct options_refused){"", "", "", "", "", "", "", "", "", "", "", "", false, false, false};
    options->cluster = (struct options_cluster){.node_count = 3,
                                                .client_port_base = 2379,
                                                .peer_port_base = 2380,
                                                .start_timeout_s = 30,
                                                .stop_timeout_s = 10,
                                                .host = "127.0.0.1",
                                                .data_base_path = "data",
                                                .client_servers = "",
                                                .client_history_dir = "history",
                                                .client_history_file = "kvcli_history"};
}

void options_begin(struct options *options)
{
    int accepted_count;
    *options = (struct options){.config_file = "", .write_out = "table", .print = ""};
    set_defaults(options);
    const struct setting *table = settings_table(&options->setting_count);
    const struct setting_accepted *accepted = settings_accepted(&accepted_count);
    options->flag_count = options->setting_count + accepted_count;
    options->flags = alloc_zero((size_t)options->flag_count, sizeof(struct flag));
    options->origins = alloc_zero((size_t)options->flag_count, sizeof(struct options_origin));
    for (int i = 0; i < options->setting_count; i++) {
        const struct setting *setting = &table[i];
        ASSERT(!flags_is_ignored(setting->kind) && setting->offset < sizeof(*options));
        options->flags[i] = (struct flag){.name = setting->name,
                                          .kind = setting->kind,
                                          .target = (char *)options + setting->offset,
                                          .value_name = setting->value_name,
                                          .help = setting->scope == SETTING_CLUSTER ? NULL : setting->help,
                                          .group = setting->group};
        if (strcmp(setting->name, "help") == 0) options->flags[i].letter = 'h';
        if (strcmp(setting->name, "write-out") == 0) options->flags[i].letter = 'w';
    }
    for (int i = 0; i < accepted_count; i++)
        options->flags[options->setting_count + i] = (struct flag){.name = accepted[i].name, .kind = accepted[i].kind};
}

void options_deinit(struct options *options)
{
    alloc_free(options->flags);
    alloc_free(options->origins);
    alloc_free(options->result.arguments);
    mistakes_deinit(&options->mistakes);
    for (int i = 0; i < options->text_count; i++) alloc_free(options->texts[i]);
    alloc_free(options->texts);
    *options = (struct options){.flags = NULL};
}

const char *options_keep(struct options *options, const char *text, size_t size)
{
    if (options->text_count % TEXTS_STEP == 0)
        options->texts = alloc_resize(options->texts, (size_t)(options->text_count + TEXTS_STEP) * sizeof(char *));
    char *copy = alloc_new(size + 1);
    if (size > 0) memcpy(copy, text, size);
    copy[size] = '\0';
    options->texts[options->text_count++] = copy;
    return copy;
}

static int place_of(const struct options *options, const char *name)
{
    for (int i = 0; i < options->flag_count; i++)
        if (strcmp(options->flags[i].name, name) == 0) return i;
    return -1;
}

struct flag *options_find(struct options *options, const char *name)
{
    int place = place_of(options, name);
    return place < 0 || is_of_program(options, place) ? NULL : &options->flags[place];
}

/* --- mistakes -------------------------------------------------------------------------------------------------------------- */

static void file_place(const struct options *options, uint32_t line, char out_place[PLACE_BYTES_MAX])
{
    ASSERT(options->file != NULL);
    if (line == 0) snprintf(out_place, PLACE_BYTES_MAX, "%s", options->file);
    else snprintf(out_place, PLACE_BYTES_MAX, "%s:%" PRIu32, options->file, line);
}

void options_complain(struct options *options, uint32_t line, const char *hint, const char *format, ...)
{
    char place[PLACE_BYTES_MAX], text[1536];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    file_place(options, line, place);
    mistakes_add(&options->mistakes, place, line, hint, "%s", text);
}

void options_take(struct options *options, struct flag *flag, uint32_t line, const char *label, const char *text)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct options_origin *origin = &options->origins[flag - options->flags];
    bool is_new = !flag->is_set;
    const char *hint = NULL;
    if (origin->from == OPTIONS_FILE && !flags_is_ignored(flag->kind)) {
        options_complain(options, line, NULL, "%s is given twice; first in line %" PRIu32, label, origin->line);
        return;
    }
    *origin = (struct options_origin){.from = OPTIONS_FILE, .line = line};
    if (!flags_set(flag, text)) {
        options_complain(options, line, NULL, "invalid value \"%.100s\" for %s: expected %s", text, label, flags_kind_text(flag->kind));
    } else if (flags_is_ignored(flag->kind) && is_new && options->result.ignored_count < FLAGS_IGNORED_MAX) {
        options->result.ignored[options->result.ignored_count++] = flag->name;
    }
    if (flag->target != &options->log_level_text || log_level_from_text(text, &options->log_level)) return;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (nearest_distance(text, levels[i]) <= 2) hint = levels[i];
    options_complain(options, line, hint, "unknown %s \"%.200s\"", label, text);
    options->log_level_text = "info"; /* it is told */
}

/* Where the value of a flag comes from, as far as the complaint does not say it. */
static void origin_place(const struct options *options, int place, char out_place[PLACE_BYTES_MAX])
{
    const struct options_origin *origin = &options->origins[place];
    out_place[0] = '\0';
    if (origin->from == OPTIONS_FILE) {
        file_place(options, origin->line, out_place);
    } else if (options->file != NULL) {
        file_place(options, 0, out_place);
    } else if (origin->from == OPTIONS_VARIABLE) {
        flags_variable_name(origin->variable, options->flags[place].name, out_place);
    }
}

static void complain_of(struct options *options, const char *flag, const char *message)
{
    char place[PLACE_BYTES_MAX], name[FLAGS_VARIABLE_MAX] = "";
    int number = place_of(options, flag);
    ASSERT(number >= 0);
    origin_place(options, number, place);
    if (options->file_kind == OPTIONS_ENV && options->origins[number].from == OPTIONS_FILE)
        settings_env_name(setting_of(options, number), name);
    mistakes_add(&options->mistakes, place, options->origins[number].line, NULL, "%s%s%s", name, name[0] == '\0' ? "" : ": ", message);
}

static void on_config(void *context, const char *flag, const char *message) { complain_of(context, flag, message); }

/* etcd's rule: a member that listens elsewhere than by default must be told what clients shall dial. */
static bool is_advertise_missing(const struct options *options)
{
    return options->flags[place_of(options, "listen-client-urls")].is_set && !options->flags[place_of(options, "advertise-client-urls")].is_set;
}

/* Settings that cannot be passed over with a warning: without them the member would run by other settings, or with other members, than
 * those that it was told. */
static void check_refused(struct options *options)
{
    const char *discovery = options->discovery[0] != '\0'             ? "discovery"
                            : options->discovery_endpoints[0] != '\0' ? "discovery-endpoints"
                            : options->discovery_srv[0] != '\0'       ? "discovery-srv"
                                                                      : NULL;
    if (discovery != NULL) {
        complain_of(options, discovery, "discovery is not supported by this version, and without it each member would found a cluster of its "
                                        "own: give the members with --initial-cluster");
    }
    if (options->is_force_new_cluster) {
        complain_of(options, "force-new-cluster", "--force-new-cluster is not supported by this version: it makes a member forget the others "
                                                  "and what only they have acknowledged; start a majority of the members instead");
    }
}

/* Of TLS: passed over, they would leave a port more open than it was said to be. */
static void check_refused_tls(struct options *options)
{
#define OWN_PORT "traffic between members is plain: keep their port on a network of your own"
    static const struct {
        const char *name, *allowed, *why;
    } list[] = {
        {"auto-tls", "", "make a certificate and give it with --cert-file and --key-file"},
        {"ca-file", "", "use --trusted-ca-file and --client-cert-auth"},
        {"client-crl-file", "", "certificates are not looked up in a list of revoked ones"},
        {"client-cert-allowed-hostname", "", "clients with any certificate of the trusted CA are let in"},
        {"tls-min-version", "TLS1.2", "TLS 1.2 and 1.3 are spoken"},
        {"tls-max-version", "TLS1.3", "TLS 1.2 and 1.3 are spoken"},
        {"peer-auto-tls", "", OWN_PORT},          {"peer-ca-file", "", OWN_PORT},
        {"peer-cert-allowed-cn", "", OWN_PORT},   {"peer-cert-allowed-hostname", "", OWN_PORT},
        {"peer-cert-file", "", OWN_PORT},         {"peer-client-cert-auth", "", OWN_PORT},
        {"peer-crl-file", "", OWN_PORT},          {"peer-key-file", "", OWN_PORT},
        {"peer-trusted-ca-file", "", OWN_PORT},
    };
#undef OWN_PORT
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        const struct flag *flag = &options->flags[place_of(options, list[i].name)];
        const char *text = flag->kind == FLAG_BOOL ? "" : *(const char *const *)flag->target;
        bool is_said = flag->kind == FLAG_BOOL ? *(const bool *)flag->target : text[0] != '\0' && strcmp(text, list[i].allowed) != 0;
        char message[256];
        snprintf(message, sizeof(message), "--%s%s%.32s is not supported by this version: %s", list[i].name,
                 list[i].allowed[0] == '\0' ? "" : "=", list[i].allowed[0] == '\0' ? "" : text, list[i].why);
        if (is_said) complain_of(options, list[i].name, message);
    }
}

static void check_certificate(struct options *options)
{
    static const char *const flags[] = {"", "cert-file", "key-file", "trusted-ca-file"};
    const struct config *config = &options->config;
    const struct rpc_tls_files files = {.certificate = config->cert_file, .key = config->key_file, .trusted_ca = config->trusted_ca_file};
    char why[1792], message[1900];
    if (files.certificate[0] == '\0' || files.key[0] == '\0') return; /* one without the other is told already */
    enum rpc_tls_file file = rpc_tls_check(&files, why, sizeof(why));
    snprintf(message, sizeof(message), "--%s: %s", flags[file], why);
    if (file != RPC_TLS_NONE) complain_of(options, flags[file], message);
}

/* Only a first start reads it, and then beside the member's own name and URLs. */
static void check_initial_cluster(struct options *options)
{
    const struct config *config = &options->config;
    char why[1024];
    if (!options->is_check || config->initial_cluster[0] == '\0') return;
    struct cluster *cluster = cluster_from_initial(config->initial_cluster, config->initial_cluster_token, why, sizeof(why));
    if (cluster == NULL) complain_of(options, "initial-cluster", why);
    cluster_unref(cluster);
}

void options_check_values(struct options *options)
{
    char text[512];
    bool is_console = strcmp(options->log_format_text, "console") == 0;
    options->log_format = is_console ? LOG_FORMAT_CONSOLE : LOG_FORMAT_JSON;
    check_refused(options);
    check_refused_tls(options);
    if (!log_level_from_text(options->log_level_text, &options->log_level)) {
        snprintf(text, sizeof(text), "unknown --log-level \"%.200s\"", options->log_level_text);
        complain_of(options, "log-level", text);
    }
    if (!is_console && strcmp(options->log_format_text, "json") != 0) {
        snprintf(text, sizeof(text), "unknown --log-format \"%.200s\"", options->log_format_text);
        complain_of(options, "log-format", text);
    }
    (void)config_check_all(&options->config, on_config, options); /* it has complained of what is wrong */
    check_certificate(options);
    check_initial_cluster(options);
    if (is_advertise_missing(options))
        complain_of(options, "advertise-client-urls", "--advertise-client-urls is required when --listen-client-urls is set explicitly");
}

/* --- flags and variables --------------------------------------------------------------------------------------------------- */

static void on_flag(void *context, const char *word, const char *error)
{
    struct options *options = context;
    const char *name = word + strspn(word, "-"), *near = NULL;
    char plain[NEAREST_BYTES_MAX + 1], hint[FLAGS_VARIABLE_MAX];
    size_t length = strcspn(name, "="), least = 3;
    if (strncmp(error, "unknown flag", 12) == 0 && length < sizeof(plain)) {
        snprintf(plain, sizeof(plain), "%.*s", (int)length, name);
        for (int i = 0; i < options->flag_count; i++) {
            size_t distance = is_flag(options, i) ? nearest_distance(plain, options->flags[i].name) : SIZE_MAX;
            if (distance >= least || distance >= length) continue;
            least = distance;
            near = options->flags[i].name;
        }
    }
    snprintf(hint, sizeof(hint), "--%s", near == NULL ? "" : near);
    mistakes_add(&options->mistakes, "", 0, near == NULL ? NULL : hint, "%s", error);
}

static void take_variable(struct options *options, int place, const char *prefix)
{
    struct flag *flag = &options->flags[place];
    struct options_origin *origin = &options->origins[place];
    char variable[FLAGS_VARIABLE_MAX];
    flags_variable_name(prefix, flag->name, variable);
    const char *text = getenv(variable);
    if (text == NULL || text[0] == '\0') return;
    if (origin->from == OPTIONS_FLAG) {
        mistakes_add(&options->mistakes, "", 0, NULL,
                     "conflicting environment variable \"%s\" is shadowed by corresponding command-line flag "
                     "(either unset environment variable or disable flag)", variable);
    } else if (origin->from == OPTIONS_VARIABLE) {
        mistakes_add(&options->mistakes, "", 0, NULL, "conflicting environment variables %s and %s_%s: unset one of them", variable,
                     origin->variable, variable + strlen(prefix) + 1);
    } else if (!flags_set(flag, text)) {
        mistakes_add(&options->mistakes, "", 0, NULL, "invalid value \"%.100s\" for %s: expected %s", text, variable, flags_kind_text(flag->kind));
    } else {
        *origin = (struct options_origin){.from = OPTIONS_VARIABLE, .variable = prefix};
        if (flags_is_ignored(flag->kind) && options->result.ignored_count < FLAGS_IGNORED_MAX)
            options->result.ignored[options->result.ignored_count++] = flag->name;
    }
}

/* Flags without a meaning are etcd's: KVD_CONFIG and the like are no settings. What is asked of the program once is no matter of variables:
 * KVD_VERSION is somebody's note of a version. */
static void take_variables(struct options *options, bool is_program)
{
    const void *const asked[] = {&options->is_check, &options->print, &options->write_out, &options->is_version, &options->is_help};
    for (int i = 0; i < options->flag_count; i++) {
        bool is_asked = false;
        for (size_t k = 0; k < sizeof(asked) / sizeof(asked[0]); k++) is_asked = is_asked || options->flags[i].target == asked[k];
        if (!is_flag(options, i) || is_asked || is_of_program(options, i) != is_program) continue;
        for (int k = flags_is_ignored(options->flags[i].kind) ? 1 : 0; k < PREFIX_COUNT; k++) take_variable(options, i, prefixes[k]);
    }
}

static bool is_config_variable(const char *variable)
{
    return strncmp(variable, "ETCD_", 5) == 0 && strcmp(variable, "ETCD_UNSUPPORTED_ARCH") != 0;
}

/* Everything but what the program shall do is as it was before anybody said anything. */
static void forget(struct options *options)
{
    for (int i = 0; i < options->flag_count; i++) {
        if (is_of_program(options, i)) continue;
        options->is_overridden = options->is_overridden || options->flags[i].is_set;
        options->flags[i].is_set = false;
        options->origins[i] = (struct options_origin){.from = OPTIONS_DEFAULT};
    }
    options->result.ignored_count = 0;
    set_defaults(options);
    for (char **at = environ; at != NULL && *at != NULL; at++) {
        char variable[FLAGS_VARIABLE_MAX];
        snprintf(variable, sizeof(variable), "%.*s", (int)strcspn(*at, "="), *at);
        if (is_config_variable(variable) && strcmp(variable, "ETCD_CONFIG_FILE") != 0) options->is_overridden = true;
    }
}

/* --- one member of config.env ------------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static void make(struct options *options, const char *name, const char *format, ...)
{
    struct flag *flag = options_find(options, name);
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ASSERT(flag != NULL && flag->kind == FLAG_STRING && size > 0);
    bool is_good = flags_set(flag, options_keep(options, text, strlen(text)));
    ASSERT(is_good);
    options->origins[flag - options->flags] = (struct options_origin){.from = OPTIONS_NODE};
}

void options_make_node(struct options *options, uint64_t node)
{
    const struct options_cluster *cluster = &options->cluster;
    bool is_v6 = strchr(cluster->host, ':') != NULL;
    const char *open = is_v6 ? "[" : "", *shut = is_v6 ? "]" : "";
    char all[4096] = "";
    ASSERT(node >= 1);
    for (uint64_t i = 0; i < cluster->node_count && i < CONFIG_PEERS_MAX; i++) {
        size_t size = strlen(all);
        snprintf(all + size, sizeof(all) - size, "%skvd%" PRIu64 "=http://%s%.100s%s:%" PRIu64, i == 0 ? "" : ",", i + 1, open, cluster->host,
                 shut, cluster->peer_port_base + NODES_APART * i);
    }
    uint64_t client_port = cluster->client_port_base + NODES_APART * (node - 1), peer_port = cluster->peer_port_base + NODES_APART * (node - 1);
    make(options, "name", "kvd%" PRIu64, node);
    make(options, "data-dir", "%s/kvd%" PRIu64, cluster->data_base_path, node);
    make(options, "listen-client-urls", "http://%s%s%s:%" PRIu64, open, cluster->host, shut, client_port);
    make(options, "advertise-client-urls", "http://%s%s%s:%" PRIu64, open, cluster->host, shut, client_port);
    make(options, "listen-peer-urls", "http://%s%s%s:%" PRIu64, open, cluster->host, shut, peer_port);
    make(options, "initial-advertise-peer-urls", "http://%s%s%s:%" PRIu64, open, cluster->host, shut, peer_port);
    make(options, "initial-cluster", "%s", all);
    ASSERT(options->config.initial_cluster[0] != '\0');
}

/* --- all of it --------------------------------------------------------------------------------------------------------------- */

static void check_words(struct options *options)
{
    const char *form = options->write_out;
    int arguments_max = options->is_check ? 1 : 0;
    if (options->result.arguments_count > arguments_max)
        mistakes_add(&options->mistakes, "", 0, NULL, "'%.200s' is not a valid flag", options->result.arguments[arguments_max]);
    if (strcmp(form, "table") != 0 && strcmp(form, "json") != 0 && strcmp(form, "env") != 0)
        mistakes_add(&options->mistakes, "", 0, NULL, "unknown --write-out \"%.200s\": it is table, json or env", form);
    if (options->print[0] != '\0' && strcmp(options->print, "example") != 0 && strcmp(options->print, "man") != 0)
        mistakes_add(&options->mistakes, "", 0, NULL, "unknown --print \"%.200s\": it is example or man", options->print);
    if (options->node != 0 && options->config_file[0] == '\0')
        mistakes_add(&options->mistakes, "", 0, NULL, "--node is a member of a config.env: it needs --config-file");
}

/* The message of a refusal: the first mistake, and how to see the others. */
static enum options_verdict refuse(struct options *options, enum options_verdict verdict)
{
    struct buf text;
    buf_init(&text);
    ASSERT(options->mistakes.count > 0);
    mistakes_text(&options->mistakes.items[0], &text);
    int others = options->mistakes.count + options->mistakes.more - 1;
    if (others > 0) buf_printf(&text, " (and %d more: kvd --check-config lists them)", others);
    snprintf(options->message, sizeof(options->message), "%.*s", (int)text.size, (const char *)buf_slice(&text).data);
    buf_deinit(&text);
    return verdict;
}

static void read_everything(struct options *options)
{
    if (options->is_check && options->result.arguments_count == 1) options->config_file = options->result.arguments[0];
    take_variables(options, true);
    if (options->config_file[0] == '\0') {
        take_variables(options, false);
    } else {
        forget(options);
        options->file = options->config_file;
        config_file_read(options);
    }
    check_words(options);
    options_check_values(options);
    mistakes_sort(&options->mistakes);
}

enum options_verdict options_init(struct options *options, int argc, char **argv)
{
    ASSERT(argc >= 1);
    const struct flags_options rules = {.complain = on_flag, .context = options};
    options_begin(options);
    options->result.arguments = alloc_zero((size_t)argc, sizeof(char *));
    int flag_count = options->flag_count;
    bool is_parsed = flags_parse(options->flags, flag_count, argc, argv, &rules, &options->result);
    for (int i = 0; i < flag_count; i++) {
        if (!options->flags[i].is_set) continue;
        options->origins[i].from = OPTIONS_FLAG;
        if (!is_flag(options, i)) mistakes_add(&options->mistakes, "", 0, NULL, "unknown flag: --%s", options->flags[i].name);
    }
    is_parsed = is_parsed && options->mistakes.count == 0;
    if (is_parsed && options->is_help) return OPTIONS_HELP;
    if (is_parsed && options->is_version) return OPTIONS_VERSION;
    if (!is_parsed && !options->is_check) return refuse(options, OPTIONS_USAGE);
    read_everything(options);
    if (options->is_check) return OPTIONS_CHECK;
    if (options->mistakes.count > 0) return refuse(options, OPTIONS_INVALID);
    return options->print[0] != '\0' ? OPTIONS_PRINT : OPTIONS_RUN;
}

void options_difference(const struct options *options, const struct options *others, const char *except, struct buf *out_text)
{
    struct buf mine, other;
    buf_init(&mine);
    buf_init(&other);
    ASSERT(options->setting_count == others->setting_count);
    for (int i = 0; i < options->setting_count; i++) {
        buf_clear(&mine);
        buf_clear(&other);
        flags_value_text(&options->flags[i], true, &mine);
        flags_value_text(&others->flags[i], true, &other);
        if (slice_equal(buf_slice(&mine), buf_slice(&other)) || strcmp(options->flags[i].name, except) == 0) continue;
        buf_printf(out_text, "%s%s", out_text->size == 0 ? "" : ",", options->flags[i].name);
    }
    buf_deinit(&mine);
    buf_deinit(&other);
}

/* --- what people read -------------------------------------------------------------------------------------------------------- */

/* The names of what is accepted and has no effect, in lines of bounded width. */
static void print_accepted(void)
{
    const size_t width_max = 110;
    size_t width = width_max;
    int count;
    const struct setting_accepted *accepted = settings_accepted(&count);
    printf("\nAccepted for the sake of unit files and manifests that were written for etcd, without effect (one warning each):");
    for (int i = 0; i < count; i++) {
        size_t length = strlen(accepted[i].name) + 1;
        ASSERT(length < width_max);
        if (width + length > width_max) {
            printf("\n ");
            width = 1;
        }
        printf(" %s", accepted[i].name);
        width += length;
    }
    printf("\n");
}

void options_print_help(const struct options *options)
{
    ASSERT(options->flags != NULL);
    printf("Usage: kvd [flags]\n\n"
           "One member of a replicated key-value store that speaks etcd's v3 API and takes etcd's flags.\n\n"
           "Examples:\n"
           "  kvd                                        one member on localhost, data in ./default.etcd\n"
           "  kvd --name a --data-dir /var/lib/kvd \\\n"
           "      --listen-client-urls http://10.0.0.1:2379,http://127.0.0.1:2379 \\\n"
           "      --advertise-client-urls http://10.0.0.1:2379 \\\n"
           "      --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n"
           "      --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380\n"
           "                                             one of three members; b and c are started alike\n"
           "  ETCD_NAME=a ETCD_DATA_DIR=/var/lib/kvd kvd   the same names in the environment\n"
           "  kvd --listen-client-urls https://10.0.0.1:2379 --advertise-client-urls https://10.0.0.1:2379 \\\n"
           "      --cert-file a.pem --key-file a.key --trusted-ca-file ca.pem\n"
           "                                             TLS for clients, who must have a certificate\n"
           "  kvd --config-file /etc/etcd/etcd.conf.yml  etcd's own file\n"
           "  kvd --config-file config.env --node 2      the second member of a cluster on this machine\n"
           "  kvd --check-config config.env              what is in force and where it comes from, or all mistakes\n\n"
           "A flag is --name value or --name=value, a boolean --name or --name=false; of a repeated flag the last counts.\n"
           "--some-flag may also be KVD_SOME_FLAG or ETCD_SOME_FLAG in the environment; two of them at once are an error.\n"
           "--config-file makes all other flags and variables void.\n"
           "The initial-... flags count at the first start only: a data directory that has a member knows its cluster.\n\n");
    flags_print_help(options->flags, options->flag_count);
    print_accepted();
    fflush(stdout);
}

/* Is it one of ours? For KVD_, which others use as well, only what is nearly one is a mistake: NULL, or what was meant. */
static bool is_known_variable(const struct options *options, const char *variable, size_t prefix_size, char out_near[FLAGS_VARIABLE_MAX])
{
    size_t least = 3;
    out_near[0] = '\0';
    for (int i = 0; i < options->flag_count; i++) {
        char name[FLAGS_VARIABLE_MAX];
        if (!is_flag(options, i)) continue;
        flags_variable_name(prefix_size == 4 ? "KVD" : "ETCD", options->flags[i].name, name);
        if (strcmp(name, variable) == 0) return true;
        size_t distance = nearest_distance(name + prefix_size, variable + prefix_size);
        if (distance >= least || distance * 3 > strlen(variable + prefix_size)) continue;
        least = distance;
        snprintf(out_near, FLAGS_VARIABLE_MAX, "%s", name);
    }
    return false;
}

static void warn_of_variable(const struct options *options, const char *variable)
{
    char near[FLAGS_VARIABLE_MAX];
    bool is_etcds = strncmp(variable, "ETCD_", 5) == 0, is_ours = strncmp(variable, "KVD_", 4) == 0;
    if ((!is_etcds && !is_ours) || (is_etcds && !is_config_variable(variable))) return;
    if (is_known_variable(options, variable, is_etcds ? 5 : 4, near) || (is_ours && near[0] == '\0')) return;
    LOG(WARN, "unrecognized environment variable", LOG_F_TEXT("environment-variable", variable),
        LOG_F_TEXT("nearest", near[0] == '\0' ? "none" : near));
}

void options_log_warnings(const struct options *options)
{
    ASSERT(options->flags != NULL);
    if (options->file != NULL) LOG(INFO, "configured by a file", LOG_F_TEXT("path", options->file));
    if (options->is_overridden)
        LOG0(WARN, "other flags and environment variables are ignored: the configuration file is the whole configuration");
    for (int i = 0; i < options->result.ignored_count; i++) {
        LOG(WARN, "flag is accepted and has no effect", LOG_F_TEXT("flag", options->result.ignored[i]));
    }
    for (char **at = environ; at != NULL && *at != NULL && options->file == NULL; at++) {
        char variable[256];
        size_t length = strcspn(*at, "=");
        snprintf(variable, sizeof(variable), "%.*s", (int)(length < 255 ? length : 255), *at);
        warn_of_variable(options, variable);
    }
}
