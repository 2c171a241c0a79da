/* shell_watch: the terminal's thread asks by flags in the table of watches, under the mutex, and rings the client; messages come back packed. */
#include "shell_watch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "live.h"
#include "print.h"
#include "watcher.h"

struct entry {
    struct shell_watch *owner;
    int number;               /* 0 = free */
    char *label;
    struct buf request;
    int64_t revision;
    bool wants_start, wants_end;
    struct watcher *watcher;  /* the thread's only */
};

struct news {
    struct list node;
    int number;
    char *text;               /* what to say instead of a response; NULL = none */
    struct buf response;
};

struct shell_watch {
    struct ctl ctl;           /* the thread's, once it runs */
    struct live live;
    pthread_t thread;
    bool has_thread;
    int descriptor;
    pthread_mutex_t mutex;    /* all that follows */
    pthread_cond_t has_room;
    struct entry entries[SHELL_WATCH_MAX];
    int last_number;
    struct list news;
    size_t news_count;
    bool is_stopping;
};

/* --- the thread -------------------------------------------------------------------------------------------------------------- */

static void post(struct entry *entry, const Etcdserverpb__WatchResponse *response, const char *text)
{
    struct shell_watch *watch = entry->owner;
    struct news *news = ALLOC(struct news);
    uint64_t one = 1;
    news->text = text == NULL ? NULL : alloc_string(text);
    buf_init(&news->response);
    if (response != NULL)
        etcdserverpb__watch_response__pack(response, buf_extend(&news->response, etcdserverpb__watch_response__get_packed_size(response)));
    pthread_mutex_lock(&watch->mutex);
    while (watch->news_count >= SHELL_WATCH_QUEUE && !watch->is_stopping) pthread_cond_wait(&watch->has_room, &watch->mutex);
    news->number = entry->number;
    list_push_back(&watch->news, &news->node);
    watch->news_count++;
    pthread_mutex_unlock(&watch->mutex);
    ssize_t wrote = write(watch->descriptor, &one, sizeof one);
    ASSERT(wrote == (ssize_t)sizeof one);
}

static bool on_response(void *context, const Etcdserverpb__WatchResponse *response)
{
    struct entry *entry = context;
    const char *why = response->cancel_reason[0] != '\0' ? response->cancel_reason : "the server canceled it";
    if (response->compact_revision != 0) why = "required revision has been compacted";
    post(entry, response->canceled ? NULL : response, response->canceled ? why : NULL);
    return true;
}

static void free_entry(struct entry *entry)
{
    watcher_free(entry->watcher);
    alloc_free(entry->label);
    buf_deinit(&entry->request);
    *entry = (struct entry){.owner = entry->owner};
}

/* What was asked of the thread; and watches that are over go. */
static void look_at(struct entry *entry)
{
    struct shell_watch *watch = entry->owner;
    if (entry->number == 0) return;
    if (entry->wants_start) {
        entry->wants_start = false;
        entry->watcher = watcher_new(&watch->live, buf_slice(&entry->request), entry->revision, on_response, entry);
    }
    bool is_over = entry->watcher != NULL && watcher_is_over(entry->watcher);
    const char *refusal = is_over && watcher_refusal(entry->watcher)->code != ERR_CODE_OK ? ctl_error_text(watcher_refusal(entry->watcher)) : NULL;
    if (refusal != NULL && !entry->wants_end) {
        pthread_mutex_unlock(&watch->mutex); /* a refusal may wait for room */
        post(entry, NULL, refusal);
        pthread_mutex_lock(&watch->mutex);
    }
    if (is_over || entry->wants_end) free_entry(entry);
}

static void *keep(void *context)
{
    struct shell_watch *watch = context;
    for (;;) {
        pthread_mutex_lock(&watch->mutex);
        bool is_stopping = watch->is_stopping;
        for (size_t i = 0; i < SHELL_WATCH_MAX && !is_stopping; i++) look_at(&watch->entries[i]);
        pthread_mutex_unlock(&watch->mutex);
        if (is_stopping) break;
        live_step(&watch->live);
    }
    return NULL;
}

/* --- the terminal's thread --------------------------------------------------------------------------------------------------- */

struct shell_watch *shell_watch_new(const struct ctl_globals *globals)
{
    struct shell_watch *watch = ALLOC(struct shell_watch);
    watch->ctl = (struct ctl){.globals = *globals};
    watch->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(watch->descriptor >= 0);
    pthread_mutex_init(&watch->mutex, NULL);
    pthread_cond_init(&watch->has_room, NULL);
    list_init(&watch->news);
    for (size_t i = 0; i < SHELL_WATCH_MAX; i++) watch->entries[i].owner = watch;
    return watch;
}

static bool start(struct shell_watch *watch)
{
    if (watch->has_thread) return true;
    if (ctl_connect(&watch->ctl, &watch->ctl.globals.endpoints) != CTL_OK) return false;
    live_init_deaf(&watch->live, &watch->ctl);
    int error = pthread_create(&watch->thread, NULL, keep, watch);
    ASSERT(error == 0);
    watch->has_thread = true;
    return true;
}

static void free_news(struct news *news)
{
    alloc_free(news->text);
    buf_deinit(&news->response);
    alloc_free(news);
}

/* The next of the queue, which is the caller's; NULL = none. */
static struct news *take_news(struct shell_watch *watch)
{
    struct news *news = NULL;
    pthread_mutex_lock(&watch->mutex);
    if (watch->news_count > 0) {
        news = LIST_ENTRY(watch->news.next, struct news, node);
        list_remove(&news->node);
        watch->news_count--;
        pthread_cond_signal(&watch->has_room);
    }
    pthread_mutex_unlock(&watch->mutex);
    return news;
}

void shell_watch_free(struct shell_watch *watch)
{
    if (watch == NULL) return;
    if (watch->has_thread) {
        pthread_mutex_lock(&watch->mutex);
        watch->is_stopping = true;
        pthread_cond_signal(&watch->has_room);
        pthread_mutex_unlock(&watch->mutex);
        calls_ring(watch->ctl.client);
        pthread_join(watch->thread, NULL);
        for (size_t i = 0; i < SHELL_WATCH_MAX; i++)
            if (watch->entries[i].number != 0) free_entry(&watch->entries[i]);
        live_deinit(&watch->live);
    }
    ctl_disconnect(&watch->ctl);
    for (struct news *news; (news = take_news(watch)) != NULL;) free_news(news);
    pthread_cond_destroy(&watch->has_room);
    pthread_mutex_destroy(&watch->mutex);
    close(watch->descriptor);
    alloc_free(watch);
}

int shell_watch_add(struct shell_watch *watch, struct slice request, int64_t revision, const char *label)
{
    int number = 0;
    if (!start(watch)) return -1;
    pthread_mutex_lock(&watch->mutex);
    for (size_t i = 0; i < SHELL_WATCH_MAX && number == 0; i++) {
        struct entry *entry = &watch->entries[i];
        if (entry->number != 0) continue;
        number = entry->number = ++watch->last_number;
        entry->label = alloc_string(label);
        entry->revision = revision;
        buf_init(&entry->request);
        buf_put_slice(&entry->request, request);
        entry->wants_start = true;
    }
    pthread_mutex_unlock(&watch->mutex);
    calls_ring(watch->ctl.client);
    return number;
}

bool shell_watch_drop(struct shell_watch *watch, int number)
{
    struct entry *found = NULL;
    pthread_mutex_lock(&watch->mutex);
    for (size_t i = 0; i < SHELL_WATCH_MAX; i++) {
        struct entry *entry = &watch->entries[i];
        if (entry->number == 0 || entry->wants_end || (number != 0 && entry->number != number)) continue;
        if (found == NULL || entry->number > found->number) found = entry;
    }
    if (found != NULL) found->wants_end = true;
    if (found != NULL) printf("watch %d of %s ended\n", found->number, found->label);
    pthread_mutex_unlock(&watch->mutex);
    if (watch->has_thread) calls_ring(watch->ctl.client);
    return found != NULL;
}

void shell_watch_list(struct shell_watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    for (size_t i = 0; i < SHELL_WATCH_MAX; i++)
        if (watch->entries[i].number != 0 && !watch->entries[i].wants_end)
            printf("%d  %s\n", watch->entries[i].number, watch->entries[i].label);
    pthread_mutex_unlock(&watch->mutex);
}

int shell_watch_descriptor(const struct shell_watch *watch) { return watch->descriptor; }

bool shell_watch_has_news(struct shell_watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    bool has_news = watch->news_count > 0;
    pthread_mutex_unlock(&watch->mutex);
    return has_news;
}

bool shell_watch_print(struct shell_watch *watch, const struct ctl *ctl)
{
    uint64_t rings;
    ssize_t got = read(watch->descriptor, &rings, sizeof rings); /* all of them; what came meanwhile is looked for below */
    ASSERT(got == (ssize_t)sizeof rings || got < 0);
    struct news *news = take_news(watch);
    if (news == NULL) return false;
    Etcdserverpb__WatchResponse *response =
        news->text != NULL ? NULL : (Etcdserverpb__WatchResponse *)ctl_unpack(&etcdserverpb__watch_response__descriptor, buf_slice(&news->response));
    if (news->text != NULL) {
        printf("watch %d was canceled (%s)\n", news->number, news->text);
    } else if (response != NULL && response->n_events == 0) {
        printf("progress notify: %" PRId64 "\n", response->header == NULL ? 0 : response->header->revision);
    } else if (response != NULL) {
        print_watch(ctl, response);
    }
    if (response != NULL) protobuf_c_message_free_unpacked(&response->base, NULL);
    free_news(news);
    return true;
}
