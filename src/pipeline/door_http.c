/* door_http: see door_http.h. */
#include "pipeline/door_http.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "pipeline/door_metrics.h"
#include "rpc/http_front.h"
#include "rpc/service.h"

#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"

enum { OK = 200, NOT_FOUND = 404, NOT_ALLOWED = 405, UNAVAILABLE = 503 };
/* What must be known before a page can be answered. */
enum need { NEED_NOTHING, NEED_LOCAL, NEED_READ };

struct front {
    struct door_http *http;
    struct http_front *front; /* NULL = the place is not there */
    enum door_http_place place;
};
struct page;
struct visit { /* an exchange that waits for net */
    struct list node;
    struct http_exchange *exchange;
    const struct page *page;
};
#define PROBE_KINDS 2 /* readyz, livez */
#define CHECK_COUNT 4
struct probe_count {
    uint64_t good, bad; /* answers */
    bool was_good;      /* the last */
};
struct door_http {
    const struct config *config;
    struct shared *shared;
    uint64_t self;
    uint64_t now_ns, deadline_ns;
    struct lane *to_net, *from_net;
    struct front fronts[DOOR_HTTP_PLACES];
    struct list waiting[2]; /* visits, by is_linearizable: for the next question */
    struct list asked[2];   /* for the one under way */
    uint64_t healthy, unhealthy, scrapes;
    struct probe_count probes[PROBE_KINDS][CHECK_COUNT];
    struct buf out;
};
struct page {
    const char *path;
    bool is_on_metrics;
    bool is_prefix; /* of a path with the name of one check behind */
    enum need (*need)(const struct http_exchange *exchange);
    void (*answer)(struct door_http *http, struct http_exchange *exchange, const struct mail *checked); /* NULL with NEED_NOTHING */
};

static void reply(struct door_http *http, struct http_exchange *exchange, unsigned status, const char *type)
{
    http_exchange_answer(exchange, status, type, buf_slice(&http->out));
    http->deadline_ns = http->now_ns; /* what was resumed is due */
}

/* --- /health --- */

static enum need need_of_health(const struct http_exchange *exchange)
{
    return http_exchange_has(exchange, "serializable", "true") ? NEED_LOCAL : NEED_READ;
}

static void answer_health(struct door_http *http, struct http_exchange *exchange, const struct mail *mail)
{
    const char *reason = "", *detail = "";
    bool is_local = need_of_health(exchange) == NEED_LOCAL;
    if (mail->checked.has_no_space && !http_exchange_has(exchange, "exclude", "NOSPACE")) {
        reason = "ALARM NOSPACE";
    } else if (mail->checked.has_corrupt && !http_exchange_has(exchange, "exclude", "CORRUPT")) {
        reason = "ALARM CORRUPT";
    } else if (!is_local && !mail->checked.has_leader) {
        reason = "RAFT NO LEADER";
    } else if (mail->checked.err != ERR_OK) {
        reason = "RANGE ERROR:";
        detail = err_text((enum err)mail->checked.err);
    }
    bool is_healthy = reason[0] == '\0';
    if (is_healthy) http->healthy++;
    else http->unhealthy++;
    buf_printf(&http->out, "{\"health\":\"%s\",\"reason\":\"%s%s\"}", is_healthy ? "true" : "false", reason, detail);
    reply(http, exchange, is_healthy ? OK : UNAVAILABLE, JSON);
}

/* --- /livez, /readyz --- */

static const char *failure_of_corruption(const struct mail *mail) { return mail->checked.has_corrupt ? "alarm activated: CORRUPT" : NULL; }

/* A read of the member's own view fails only where every read does. */
static const char *failure_of_local_read(const struct mail *mail)
{
    enum err err = (enum err)mail->checked.err;
    bool is_own = !mail->checked.is_linearizable || err == ERR_CORRUPT || err == ERR_STOPPED;
    return err != ERR_OK && is_own ? err_text(err) : NULL;
}

static const char *failure_of_read(const struct mail *mail)
{
    return mail->checked.err != ERR_OK ? err_text((enum err)mail->checked.err) : NULL;
}

static const char *failure_of_learner(const struct mail *mail) { return mail->checked.is_learner ? "this member is a learner" : NULL; }

static const struct probe_check {
    const char *name;
    bool is_of_live, needs_read;
    const char *(*failure)(const struct mail *checked); /* NULL = good */
} CHECKS[CHECK_COUNT] = {
    {"data_corruption", false, false, failure_of_corruption},
    {"serializable_read", true, false, failure_of_local_read},
    {"linearizable_read", false, true, failure_of_read},
    {"non_learner", false, false, failure_of_learner},
};

/* "livez" or "readyz", and the one check that the path names, or NULL for all. */
static bool is_of_live(const struct http_exchange *exchange) { return http_exchange_path(exchange)[1] == 'l'; }

static bool is_asked(const struct http_exchange *exchange, const struct probe_check *check)
{
    if (is_of_live(exchange) && !check->is_of_live) return false;
    const char *one = strchr(http_exchange_path(exchange) + 1, '/');
    if (one != NULL) return strcmp(one + 1, check->name) == 0;
    return !http_exchange_has(exchange, "exclude", check->name);
}

static enum need need_of_probe(const struct http_exchange *exchange)
{
    bool needs_read = false;
    for (size_t i = 0; i < CHECK_COUNT; i++) needs_read = needs_read || (CHECKS[i].needs_read && is_asked(exchange, &CHECKS[i]));
    return needs_read ? NEED_READ : NEED_LOCAL;
}

static void note_probe(struct probe_count *count, bool is_good)
{
    count->was_good = is_good;
    if (is_good) count->good++;
    else count->bad++;
}

/* Of those that were asked for. */
static void put_probes(const struct door_http *http, struct buf *out)
{
    static const char *const kinds[PROBE_KINDS] = {"readyz", "livez"};
    static const char last[] = "etcd_server_healthcheck", total[] = "etcd_server_healthchecks_total";
    char labels[128];
    metrics_put_family(out, METRICS_GAUGE, last, "How each check of a probe went the last time.");
    for (size_t n = 0; n < PROBE_KINDS * CHECK_COUNT; n++) {
        const struct probe_count *count = &http->probes[n / CHECK_COUNT][n % CHECK_COUNT];
        if (count->good + count->bad == 0) continue;
        snprintf(labels, sizeof(labels), "name=\"%s\",type=\"%s\"", CHECKS[n % CHECK_COUNT].name, kinds[n / CHECK_COUNT]);
        metrics_put_u64(out, last, labels, count->was_good);
    }
    metrics_put_family(out, METRICS_COUNTER, total, "Checks of probes, by how they went.");
    for (size_t n = 0; n < PROBE_KINDS * CHECK_COUNT * 2; n++) {
        const struct probe_count *count = &http->probes[n / 2 / CHECK_COUNT][n / 2 % CHECK_COUNT];
        if (count->good + count->bad == 0) continue;
        snprintf(labels, sizeof(labels), "name=\"%s\",status=\"%s\",type=\"%s\"", CHECKS[n / 2 % CHECK_COUNT].name,
                 n % 2 == 0 ? "success" : "error", kinds[n / 2 / CHECK_COUNT]);
        metrics_put_u64(out, total, labels, n % 2 == 0 ? count->good : count->bad);
    }
}

static void answer_probe(struct door_http *http, struct http_exchange *exchange, const struct mail *mail)
{
    bool is_failed = false;
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        if (!is_asked(exchange, &CHECKS[i])) continue;
        const char *failure = CHECKS[i].failure(mail);
        is_failed = is_failed || failure != NULL;
        note_probe(&http->probes[is_of_live(exchange)][i], failure == NULL);
        if (failure == NULL) buf_printf(&http->out, "[+]%s ok\n", CHECKS[i].name);
        else buf_printf(&http->out, "[-]%s failed: %s\n", CHECKS[i].name, failure);
    }
    if (!is_failed && !http_exchange_has(exchange, "verbose", NULL)) {
        buf_clear(&http->out);
        buf_printf(&http->out, "ok\n");
    } else {
        buf_printf(&http->out, "%s check %s\n", is_of_live(exchange) ? "livez" : "readyz", is_failed ? "failed" : "passed");
    }
    reply(http, exchange, is_failed ? UNAVAILABLE : OK, TEXT);
}

/* --- the others --- */

static enum need need_of_nothing(const struct http_exchange *exchange) { return (void)exchange, NEED_NOTHING; }
static enum need need_of_version(const struct http_exchange *exchange) { return (void)exchange, NEED_LOCAL; }

static void answer_version(struct door_http *http, struct http_exchange *exchange, const struct mail *mail)
{
    const char *cluster = mail->checked.version[0] == '\0' ? "not_decided" : mail->checked.version;
    buf_printf(&http->out, "{\"etcdserver\":\"%s\",\"etcdcluster\":\"%s\",\"storage\":\"%s\"}", SERVICE_API_VERSION, cluster, SERVICE_STORAGE_VERSION);
    reply(http, exchange, OK, JSON);
}

static void answer_metrics(struct door_http *http, struct http_exchange *exchange, const struct mail *mail)
{
    static const char scrapes[] = "promhttp_metric_handler_requests_total";
    (void)mail;
    door_metrics_put(&http->out, &(struct door_metrics){.config = http->config, .shared = http->shared, .self = http->self,
                                                        .healthy = http->healthy, .unhealthy = http->unhealthy});
    put_probes(http, &http->out);
    metrics_put_family(&http->out, METRICS_COUNTER, scrapes, "Answers of /metrics before this one.");
    metrics_put_u64(&http->out, scrapes, "code=\"200\"", http->scrapes++);
    reply(http, exchange, OK, "text/plain; version=0.0.4; charset=utf-8");
}

static void answer_vars(struct door_http *http, struct http_exchange *exchange, const struct mail *mail)
{
    (void)mail;
    door_metrics_put_vars(&http->out, http->shared, http->self);
    reply(http, exchange, OK, JSON);
}

/* --- serving --- */

static const struct page PAGES[] = {
    {"/metrics", true, false, need_of_nothing, answer_metrics}, {"/health", true, false, need_of_health, answer_health},
    {"/livez", true, false, need_of_probe, answer_probe},       {"/readyz", true, false, need_of_probe, answer_probe},
    {"/livez/", true, true, need_of_probe, answer_probe},       {"/readyz/", true, true, need_of_probe, answer_probe},
    {"/version", false, false, need_of_version, answer_version}, {"/debug/vars", false, false, need_of_nothing, answer_vars},
};

static bool is_page_of(const struct page *page, const struct http_exchange *exchange)
{
    const char *path = http_exchange_path(exchange);
    if (!page->is_prefix) return strcmp(path, page->path) == 0;
    bool is_named = false;
    if (strncmp(path, page->path, strlen(page->path)) != 0) return false;
    for (size_t i = 0; i < CHECK_COUNT; i++) is_named = is_named || is_asked(exchange, &CHECKS[i]);
    return is_named;
}

static const struct page *find_page(const struct http_exchange *exchange, enum door_http_place place)
{
    for (size_t i = 0; i < sizeof(PAGES) / sizeof(PAGES[0]); i++) {
        bool is_here = place == DOOR_HTTP_CLIENT || place == DOOR_HTTP_CLIENT_TLS || PAGES[i].is_on_metrics;
        if (is_here && is_page_of(&PAGES[i], exchange)) return &PAGES[i];
    }
    return NULL;
}

/* The next question of this kind, if nobody waits for one already. */
static void ask(struct door_http *http, bool is_linearizable)
{
    struct list *waiting = &http->waiting[is_linearizable], *asked = &http->asked[is_linearizable];
    if (list_is_empty(waiting) || !list_is_empty(asked)) return;
    while (!list_is_empty(waiting)) list_push_back(asked, list_pop_front(waiting));
    struct mail mail = {.kind = MAIL_CHECK, .check.is_linearizable = is_linearizable};
    lane_must_post(http->to_net, &mail);
}

static void serve(void *context, struct http_exchange *exchange)
{
    const struct front *front = context;
    struct door_http *http = front->http;
    const struct page *page = find_page(exchange, front->place);
    const char *method = http_exchange_method(exchange);
    buf_clear(&http->out);
    if (page == NULL) {
        buf_printf(&http->out, "404 page not found\n");
        reply(http, exchange, NOT_FOUND, TEXT);
    } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        buf_printf(&http->out, "Method Not Allowed\n");
        reply(http, exchange, NOT_ALLOWED, TEXT);
    } else if (page->need(exchange) == NEED_NOTHING) {
        page->answer(http, exchange, NULL);
    } else {
        bool is_linearizable = page->need(exchange) == NEED_READ;
        struct visit *visit = ALLOC(struct visit);
        visit->exchange = exchange;
        visit->page = page;
        list_push_back(&http->waiting[is_linearizable], &visit->node);
        ask(http, is_linearizable);
    }
}

static struct visit *find_in(const struct list *visits, const struct http_exchange *exchange)
{
    for (const struct list *at = visits->next; at != visits; at = at->next)
        if (LIST_ENTRY(at, struct visit, node)->exchange == exchange) return LIST_ENTRY(at, struct visit, node);
    return NULL;
}

/* A question that is under way stays so, though nobody wants its answer any more: the visit stands in for it. */
static void forget(void *context, struct http_exchange *exchange)
{
    struct door_http *http = ((const struct front *)context)->http;
    for (int i = 0; i < 2; i++) {
        struct visit *visit = find_in(&http->waiting[i], exchange);
        if (visit != NULL) {
            list_remove(&visit->node);
            alloc_free(visit);
        }
        visit = find_in(&http->asked[i], exchange);
        if (visit != NULL) visit->exchange = NULL;
    }
}

static void take_checked(struct door_http *http, const struct mail *mail)
{
    bool is_linearizable = mail->checked.is_linearizable;
    struct list *asked = &http->asked[is_linearizable];
    ASSERT(mail->kind == MAIL_CHECKED && !list_is_empty(asked));
    while (!list_is_empty(asked)) {
        struct visit *visit = LIST_ENTRY(list_pop_front(asked), struct visit, node);
        buf_clear(&http->out);
        if (visit->exchange != NULL) visit->page->answer(http, visit->exchange, mail);
        alloc_free(visit);
    }
    ask(http, is_linearizable);
}

/* --- the door's --- */

struct door_http *door_http_new(const struct door_http_options *options)
{
    struct door_http *http = ALLOC(struct door_http);
    http->config = options->config;
    http->shared = options->shared;
    http->self = options->self;
    http->deadline_ns = CLOCK_NEVER;
    buf_init(&http->out);
    bool is_open = true;
    for (int i = 0; i < 2; i++) {
        list_init(&http->waiting[i]);
        list_init(&http->asked[i]);
    }
    for (int i = 0; i < DOOR_HTTP_PLACES; i++) {
        struct front *front = &http->fronts[i];
        front->http = http;
        front->place = (enum door_http_place)i;
        struct rpc_tls *tls = i == DOOR_HTTP_CLIENT_TLS || i == DOOR_HTTP_METRICS_TLS ? options->tls : NULL;
        if (tls == NULL && i != DOOR_HTTP_CLIENT && i != DOOR_HTTP_METRICS) continue;
        front->front = http_front_new(&(struct http_front_owner){.serve = serve, .forget = forget, .context = front}, tls);
        is_open = is_open && front->front != NULL;
    }
    if (is_open) return http;
    door_http_free(http);
    return NULL;
}

static void drop(struct list *visits)
{
    while (!list_is_empty(visits)) alloc_free(LIST_ENTRY(list_pop_front(visits), struct visit, node));
}

void door_http_free(struct door_http *http)
{
    if (http == NULL) return;
    for (int i = 0; i < DOOR_HTTP_PLACES; i++) http_front_free(http->fronts[i].front);
    for (int i = 0; i < 2; i++) {
        drop(&http->waiting[i]);
        drop(&http->asked[i]);
    }
    buf_deinit(&http->out);
    alloc_free(http);
}

void door_http_set_lanes(struct door_http *http, struct lane *to_net, struct lane *from_net)
{
    ASSERT(to_net != NULL && from_net != NULL);
    http->to_net = to_net;
    http->from_net = from_net;
}

bool door_http_has(const struct door_http *http, enum door_http_place place) { return http->fronts[place].front != NULL; }

void door_http_adopt(struct door_http *http, enum door_http_place place, int descriptor, uint64_t now_ns)
{
    http->now_ns = now_ns;
    http_front_adopt(http->fronts[place].front, descriptor, now_ns);
    http->deadline_ns = now_ns;
}

int door_http_descriptor(const struct door_http *http, enum door_http_place place) { return http_front_descriptor(http->fronts[place].front); }

void door_http_step(struct door_http *http, uint64_t now_ns)
{
    struct mail mail;
    http->now_ns = now_ns;
    while (http->from_net != NULL && lane_take(http->from_net, &mail)) take_checked(http, &mail);
    http->deadline_ns = CLOCK_NEVER;
    for (int i = 0; i < DOOR_HTTP_PLACES; i++) {
        if (!door_http_has(http, (enum door_http_place)i)) continue;
        http_front_step(http->fronts[i].front, now_ns);
        uint64_t due_ns = http_front_deadline_ns(http->fronts[i].front);
        if (due_ns < http->deadline_ns) http->deadline_ns = due_ns;
    }
}

uint64_t door_http_deadline_ns(const struct door_http *http) { return http->deadline_ns; }
