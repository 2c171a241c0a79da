/* globals: see the header. */
#include "globals.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

#define GLOBALS "Global options"

int globals_flags(struct ctl_globals *g, struct flag *out_flags)
{
    *g = (struct ctl_globals){.endpoints = {.words = {"127.0.0.1:2379"}, .count = 1}, .write_out = "simple", .cert = "", .key = "", .cacert = "",
                              .user = "", .password = "", .auth_jwt_token = "", .discovery_srv = "", .discovery_srv_name = "",
                              .dial_timeout_ns = 2 * NS_PER_S, .command_timeout_ns = 5 * NS_PER_S,
                              .keepalive_time_ns = 2 * NS_PER_S, .keepalive_timeout_ns = 6 * NS_PER_S,
                              .insecure_transport = true};
    const struct flag flags[] = {
        {"endpoints", 0, FLAG_LIST, &g->endpoints, "<list>", "members to talk to, host:port or URL, with commas; may be repeated", GLOBALS, false},
        {"write-out", 'w', FLAG_STRING, &g->write_out, "<format>", "simple, fields, json, protobuf or table", GLOBALS, false},
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
        {"user", 0, FLAG_STRING, &g->user, "<name[:password]>", "who we are; a missing password is asked for", GLOBALS, false},
        {"password", 0, FLAG_STRING, &g->password, "<password>", "of --user, for all to see on this machine", GLOBALS, false},
        {"auth-jwt-token", 0, FLAG_STRING, &g->auth_jwt_token, "<token>", "a token that we have, without --user and --password", GLOBALS, false},
        {"discovery-srv", 'd', FLAG_STRING, &g->discovery_srv, NULL, NULL, GLOBALS, false},
        {"discovery-srv-name", 0, FLAG_STRING, &g->discovery_srv_name, NULL, NULL, GLOBALS, false},
        {"debug", 0, FLAG_IGNORED_BOOL, NULL, NULL, NULL, GLOBALS, false},
        {"max-request-bytes", 0, FLAG_IGNORED, NULL, NULL, NULL, GLOBALS, false},
        {"max-recv-bytes", 0, FLAG_IGNORED, NULL, NULL, NULL, GLOBALS, false},
        {"insecure-discovery", 0, FLAG_IGNORED_BOOL, NULL, NULL, NULL, GLOBALS, false},
    };
    ASSERT(sizeof flags / sizeof flags[0] <= GLOBALS_FLAGS_MAX);
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

static enum ctl_exit set_format(struct ctl *ctl)
{
    static const char *const names[] = {"simple", "fields", "json", "protobuf", "table"};
    ASSERT(ctl->globals.write_out != NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(ctl->globals.write_out, names[i]) != 0) continue;
        ctl->format = (enum ctl_format)i;
        return CTL_OK;
    }
    return ctl_fail(CTL_BAD_FEATURE, "unsupported output format \"%s\": it is simple, fields, json, protobuf or table", ctl->globals.write_out);
}

bool globals_parse(struct ctl *ctl, struct flag *flags, int flag_count, int argc, char **argv, const struct flags_options *options,
                   struct flags_result *result)
{
    bool is_good = flags_parse(flags, flag_count, argc, argv, options, result);
    for (int i = 0; i < flag_count; i++)
        if (flags[i].is_set && flags[i].target == &ctl->globals.command_timeout_ns) ctl->has_timeout = true;
    return is_good;
}

bool globals_parse_environment(struct ctl *ctl, struct flag *flags, int flag_count, struct flags_result *result)
{
    static const char *const prefixes[] = {"ETCDCTL", "KVCTL"};
    char name[] = "kvctl", *argv[] = {name, NULL};
    for (size_t i = 0; i < 2; i++) {
        const struct flags_options options = {.environment_prefix = prefixes[i]};
        if (!globals_parse(ctl, flags, flag_count, 1, argv, &options, result)) return false;
        ASSERT(result->arguments_count == 0);
    }
    return true;
}

/* Flags that would change what a command does, were they built: not to be passed over in silence. */
static enum ctl_exit check_unbuilt(const struct ctl_globals *globals)
{
    const struct {
        const char *value, *flag, *feature;
    } unbuilt[] = {{globals->discovery_srv, "discovery-srv", "discovery by DNS"},
                   {globals->discovery_srv_name, "discovery-srv-name", "discovery by DNS"}};
    for (size_t i = 0; i < sizeof unbuilt / sizeof unbuilt[0]; i++) {
        ASSERT(unbuilt[i].value != NULL);
        if (unbuilt[i].value[0] == '\0') continue;
        return ctl_fail(CTL_BAD_FEATURE, "--%s: %s is not supported by this version", unbuilt[i].flag, unbuilt[i].feature);
    }
    return CTL_OK;
}

enum ctl_exit globals_check(struct ctl *ctl)
{
    enum ctl_exit code = set_format(ctl);
    return code == CTL_OK ? check_unbuilt(&ctl->globals) : code;
}
