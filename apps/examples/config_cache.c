/* config_cache: the settings below a prefix, held in memory and always fresh. Each name that comes on standard input is answered from the
 * cache, without a call.
 *
 *     cc config_cache.c $(pkg-config --cflags --libs kvd-client) -pthread -o config_cache
 *     echo port | ./config_cache 127.0.0.1:2379,127.0.0.1:2389 service/
 *
 * How: the keys are read page by page, all at one revision; a watch tells what changes behind it. When so much has happened that the watch
 * cannot go on (compaction), all is read again. */
#include <kvd/client.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_MAX 1024
#define NAME_BYTES 128
#define VALUE_BYTES 512

struct setting {
    char name[NAME_BYTES], value[VALUE_BYTES];
};
struct cache {
    struct kvd_client *client;
    const char *prefix;
    int64_t revision;       /* all changes up to it are in */
    struct kvd_watch *watch;
    pthread_mutex_t mutex;  /* the client's thread writes, main reads */
    struct setting settings[SETTINGS_MAX];
    size_t count;
    bool is_stale;          /* the watch has ended: read again */
};

static struct setting *find(struct cache *cache, const char *name)
{
    for (size_t i = 0; i < cache->count; i++)
        if (strcmp(cache->settings[i].name, name) == 0) return &cache->settings[i];
    return NULL;
}

static void store(struct cache *cache, const struct kvd_pair *pair, bool is_deleted)
{
    char name[NAME_BYTES];
    size_t skip = strlen(cache->prefix);
    snprintf(name, sizeof name, "%.*s", (int)(pair->key.size - skip), (const char *)pair->key.data + skip);
    struct setting *setting = find(cache, name);
    if (is_deleted) {
        if (setting != NULL) *setting = cache->settings[--cache->count];
        return;
    }
    if (setting == NULL && cache->count == SETTINGS_MAX) return; /* a real one would say so */
    if (setting == NULL) setting = &cache->settings[cache->count++];
    snprintf(setting->name, sizeof setting->name, "%s", name);
    snprintf(setting->value, sizeof setting->value, "%.*s", (int)pair->value.size, (const char *)pair->value.data);
}

static bool load(struct cache *cache)
{
    struct kvd_range_options all = {.is_prefix = true};
    struct kvd_pages *pages = kvd_pages_new(kvd_text(cache->prefix), &all);
    bool is_good = true;
    pthread_mutex_lock(&cache->mutex);
    cache->count = 0;
    cache->revision = 0;
    for (struct kvd_result *page; (page = kvd_pages_next(cache->client, pages, NULL)) != NULL; kvd_result_free(page)) {
        if (page->code != KVD_OK) fprintf(stderr, "config_cache: %s\n", page->text);
        is_good = is_good && page->code == KVD_OK;
        for (size_t i = 0; i < page->pair_count; i++) store(cache, &page->pairs[i], false);
        if (cache->revision == 0) cache->revision = page->header.revision; /* the first page's is that of all */
    }
    pthread_mutex_unlock(&cache->mutex);
    kvd_pages_free(pages);
    return is_good;
}

static enum kvd_more on_news(void *context, const struct kvd_news *news)
{
    struct cache *cache = context;
    pthread_mutex_lock(&cache->mutex);
    cache->is_stale = news->code != KVD_OK;
    for (size_t i = 0; i < news->event_count; i++) store(cache, &news->events[i].pair, news->events[i].type == KVD_EVENT_DELETE);
    pthread_mutex_unlock(&cache->mutex);
    return KVD_MORE;
}

static bool begin(struct cache *cache)
{
    kvd_watch_close(cache->watch);
    cache->watch = NULL;
    cache->is_stale = false;
    if (!load(cache)) return false;
    struct kvd_watch_options options = {.is_prefix = true, .start_revision = cache->revision + 1};
    return kvd_watch_open(cache->client, kvd_text(cache->prefix), &options, on_news, cache, &cache->watch) == KVD_OK;
}

static void answer(struct cache *cache, const char *name)
{
    pthread_mutex_lock(&cache->mutex);
    const struct setting *setting = find(cache, name);
    printf("%s = %s\n", name, setting == NULL ? "(not set)" : setting->value);
    pthread_mutex_unlock(&cache->mutex);
    fflush(stdout);
}

int main(int count, char **arguments)
{
    static struct cache cache = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    const char *endpoints[KVD_ENDPOINTS_MAX];
    struct kvd_client_options options = {.endpoints = endpoints};
    char text[256], line[NAME_BYTES];
    if (count != 3) {
        fprintf(stderr, "usage: config_cache ENDPOINT[,ENDPOINT…] PREFIX\n");
        return 2;
    }
    for (char *one; (one = strsep(&arguments[1], ",")) != NULL && options.endpoint_count < KVD_ENDPOINTS_MAX;)
        endpoints[options.endpoint_count++] = one;
    cache.prefix = arguments[2];
    cache.client = kvd_client_new(&options, text, sizeof text);
    if (cache.client == NULL) {
        fprintf(stderr, "config_cache: %s\n", text);
        return 1;
    }
    bool is_good = begin(&cache);
    while (is_good && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        pthread_mutex_lock(&cache.mutex);
        bool is_stale = cache.is_stale;
        pthread_mutex_unlock(&cache.mutex);
        if (is_stale) is_good = begin(&cache);
        if (is_good) answer(&cache, line);
    }
    kvd_watch_close(cache.watch);
    kvd_client_free(cache.client);
    return is_good ? 0 : 1;
}
