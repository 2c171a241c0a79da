/* fuzz_start_flags: the command line of a member: words between newlines, behind the program's name. What may run is a member that knows its
 * own URLs; whatever may not says why. Thread: one. */
#include <string.h>

#include "base/alloc.h"
#include "fuzz/fuzz.h"
#include "options.h"
#include "pipeline/first_start.h"

#define WORDS_MAX 64

static void check_urls(const char *urls, bool is_checked)
{
    struct config_url parsed[CONFIG_URLS_MAX];
    char message[1024] = "";
    int count = config_parse_urls(urls, parsed, CONFIG_URLS_MAX, message, sizeof(message));
    ASSERT(count > 0 || message[0] != '\0');
    ASSERT(count > 0 || !is_checked);
    for (int i = 0; i < count; i++) ASSERT(parsed[i].host[0] != '\0' && strlen(parsed[i].host) < sizeof(parsed[i].host));
}

static void check_config(const struct config *config)
{
    char message[1024] = "";
    uint64_t self = 0;
    ASSERT(config->name[0] != '\0' && config->data_dir_path[0] != '\0' && config->calls_max > 0);
    check_urls(config->listen_client_urls, true);
    check_urls(config->listen_peer_urls, true);
    check_urls(config->advertise_client_urls, true);
    check_urls(config->initial_advertise_peer_urls, true);
    struct cluster *cluster = first_start_cluster(config, &self, message, sizeof(message));
    ASSERT((cluster == NULL) == (message[0] != '\0'));
    if (cluster == NULL) return;
    ASSERT(cluster->id != 0 && cluster_find(cluster, self) != NULL);
    struct blob *members = cluster_encode_members(cluster);
    struct cluster *back = cluster_decode_members(cluster->id, blob_slice(members));
    ASSERT(back != NULL && back->member_count == cluster->member_count);
    blob_unref(members);
    cluster_unref(back);
    cluster_unref(cluster);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = alloc_new(size + 1), *words[WORDS_MAX + 1] = {(char[]){"kvd"}};
    int count = 1;
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; at < text + size && count < WORDS_MAX; count++) {
        words[count] = at;
        at += strcspn(at, "\n");
        *at++ = '\0';
    }
    struct options *options = ALLOC(struct options);
    enum options_verdict verdict = options_init(options, count, words);
    bool is_refused = verdict == OPTIONS_USAGE || verdict == OPTIONS_INVALID;
    ASSERT(is_refused == (options->message[0] != '\0'));
    if (verdict == OPTIONS_RUN) check_config(&options->config);
    if (count > 1) check_urls(words[1], false);
    options_deinit(options);
    alloc_free(options);
    alloc_free(text);
    return 0;
}
