/* first_start: see first_start.h. */
#include "pipeline/first_start.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static bool complain(char *out_message, size_t size, const char *format, ...)
{
    ASSERT(out_message != NULL && size > 0);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out_message, size, format, arguments);
    va_end(arguments);
    return false;
}

/* A log that is empty has promised nothing, but the others of a running cluster may remember what this member promised with the one that
 * it had. */
static bool check_state(const struct config *config, char *out_message, size_t size)
{
    ASSERT(config->data_dir_path[0] != '\0');
    if (strcmp(config->initial_cluster_state, "new") == 0) return true;
    return complain(out_message, size,
                    "--initial-cluster-state=existing, but %.256s has no member: joining a running cluster is not possible with this "
                    "version. Start all members of a new cluster with --initial-cluster-state=new; a member that lost its data "
                    "directory must not come back under the same identity",
                    config->data_dir_path);
}

/* --- URLs of members -------------------------------------------------------------------------------------------------------- */

/* "localhost" is what the defaults say for the address that it always has. */
static const char *host_of(const struct config_url *url)
{
    bool is_local = !url->is_unix && strcmp(url->host, "localhost") == 0;
    return is_local ? "127.0.0.1" : url->host;
}

static bool is_same_url(const struct config_url *a, const struct config_url *b)
{
    return a->is_unix == b->is_unix && a->is_tls == b->is_tls && a->port == b->port && strcmp(host_of(a), host_of(b)) == 0;
}

static bool is_among(const struct config_url *url, const struct config_url *urls, int count)
{
    ASSERT(count >= 0);
    for (int i = 0; i < count; i++)
        if (is_same_url(url, &urls[i])) return true;
    return false;
}

/* The place'th text of a list, as config_parse_urls counts. */
static struct slice url_of(const char *urls, int place)
{
    for (; place > 0; place--) urls += strcspn(urls, ",") + 1;
    urls += strspn(urls, " ");
    return slice_make(urls, strcspn(urls, ", "));
}

/* Every member's URLs have the form that a member can dial. */
static bool check_urls(const struct cluster *cluster, char *out_message, size_t size)
{
    struct config_url url;
    char why[512];
    for (size_t i = 0; i < cluster->member_count; i++) {
        const struct cluster_member *member = &cluster->members[i];
        if (member->peer_url_count > CONFIG_URLS_MAX) {
            return complain(out_message, size, "--initial-cluster: a member with more than %d URLs", CONFIG_URLS_MAX);
        }
        for (size_t n = 0; n < member->peer_url_count; n++) {
            int count = config_parse_urls(member->peer_urls[n], &url, 1, why, sizeof(why));
            if (count != 1) return complain(out_message, size, "--initial-cluster: %s", why);
            if (!url.is_tls) continue;
            return complain(out_message, size, "--initial-cluster: %.256s: https and unixs (TLS) are not supported by this version; "
                            "use http or unix", member->peer_urls[n]);
        }
    }
    return true;
}

/* Each URL of --initial-advertise-peer-urls is one of this member's in --initial-cluster, and the other way round: the first are what it
 * believes to be reached by, the second make its id and are what the others dial. */
static bool check_own_urls(const struct config *config, const struct cluster_member *self, char *out_message, size_t size)
{
    struct config_url advertised[CONFIG_URLS_MAX], initial[CONFIG_URLS_MAX];
    char why[256];
    const char *urls = config->initial_advertise_peer_urls;
    int advertised_count = config_parse_urls(urls, advertised, CONFIG_URLS_MAX, why, sizeof(why));
    int initial_count = (int)self->peer_url_count;
    ASSERT(advertised_count > 0 && initial_count <= CONFIG_URLS_MAX);
    for (int i = 0; i < initial_count; i++) {
        int count = config_parse_urls(self->peer_urls[i], &initial[i], 1, why, sizeof(why));
        ASSERT(count == 1);
        if (is_among(&initial[i], advertised, advertised_count)) continue;
        return complain(out_message, size, "--initial-cluster has %s=%s but missing from --initial-advertise-peer-urls=%s",
                        config->name, self->peer_urls[i], urls);
    }
    for (int i = 0; i < advertised_count; i++) {
        if (is_among(&advertised[i], initial, initial_count)) continue;
        struct slice url = url_of(urls, i);
        return complain(out_message, size, "--initial-advertise-peer-urls has %.*s but missing from --initial-cluster=%s", (int)url.size,
                        (const char *)url.data, config->initial_cluster);
    }
    return true;
}

void first_start_conf(const struct cluster *cluster, struct raft_conf *out_conf)
{
    memset(out_conf, 0, sizeof(*out_conf));
    for (size_t i = 0; i < cluster->member_count; i++) {
        ASSERT(!cluster->members[i].is_learner);
        out_conf->voters[out_conf->voter_count++] = cluster->members[i].id;
    }
    out_conf->members = cluster_encode_members(cluster);
    ASSERT(raft_conf_is_valid(out_conf));
}

struct cluster *first_start_cluster(const struct config *config, uint64_t *out_self, char *out_message, size_t message_size)
{
    if (!check_state(config, out_message, message_size)) return NULL;
    struct buf text;
    buf_init(&text);
    config_initial_cluster(config, &text);
    buf_put_u8(&text, '\0');
    const char *initial = (const char *)buf_slice(&text).data;
    struct cluster *cluster = cluster_from_initial(initial, config->initial_cluster_token, out_message, message_size);
    const struct cluster_member *self = cluster == NULL ? NULL : cluster_find_initial_name(cluster, config->name);
    bool is_good = self != NULL;
    if (cluster != NULL && self == NULL) {
        is_good = complain(out_message, message_size, "couldn't find local name \"%s\" in the initial cluster configuration \"%s\"; "
                           "set --name to one of its names", config->name, initial);
    }
    is_good = is_good && check_urls(cluster, out_message, message_size) &&
              check_own_urls(config, self, out_message, message_size);
    buf_deinit(&text);
    if (is_good) {
        *out_self = self->id;
        return cluster;
    }
    cluster_unref(cluster);
    return NULL;
}
