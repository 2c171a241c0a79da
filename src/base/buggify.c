/* buggify: see buggify.h. In a build without KVD_SIM this file is empty. */
#include "base/buggify.h"

#ifdef KVD_SIM

#include "base/assert.h"
#include "base/rng.h"

#define ENABLED_ONE_IN 4
#define PERCENT_MIN 5
#define PERCENT_MAX 25

struct site {
    struct rng rng;
    uint32_t percent; /* 0 = not enabled */
    uint64_t visited;
    uint64_t fired;
};

static struct site sites[BUGGIFY_SITE_COUNT];
static bool is_started;
static buggify_judge_fn judge;
static void *judge_context;

void buggify_start(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (int i = 0; i < BUGGIFY_SITE_COUNT; i++) {
        struct site *site = &sites[i];
        rng_init(&site->rng, rng_next(&rng));
        bool is_enabled = rng_below(&site->rng, ENABLED_ONE_IN) == 0;
        site->percent = is_enabled ? PERCENT_MIN + (uint32_t)rng_below(&site->rng, PERCENT_MAX - PERCENT_MIN + 1) : 0;
    }
    is_started = true;
}

void buggify_stop(void) { is_started = false; }

void buggify_judge(buggify_judge_fn fn, void *context)
{
    judge = fn;
    judge_context = context;
}

bool buggify_fires(enum buggify_site which)
{
    ASSERT(which < BUGGIFY_SITE_COUNT);
    struct site *site = &sites[which];
    if (!is_started || site->percent == 0) return false;
    site->visited++;
    bool does_fire = rng_below(&site->rng, 100) < site->percent;
    if (judge != NULL) does_fire = judge(judge_context, which, does_fire);
    site->fired += does_fire;
    return does_fire;
}

uint64_t buggify_visited(enum buggify_site site)
{
    ASSERT(site < BUGGIFY_SITE_COUNT);
    return sites[site].visited;
}

uint64_t buggify_fired(enum buggify_site site)
{
    ASSERT(site < BUGGIFY_SITE_COUNT);
    return sites[site].fired;
}

void buggify_report(struct buf *out_text)
{
    static const char *const NAMES[] = {
#define BUGGIFY_NAME(site, text) #site,
        BUGGIFY_SITES(BUGGIFY_NAME)
#undef BUGGIFY_NAME
    };
    for (int i = 0; i < BUGGIFY_SITE_COUNT; i++) {
        ASSERT(sites[i].fired <= sites[i].visited);
        buf_printf(out_text, "%-18s %10llu visits %10llu fired\n", NAMES[i], (unsigned long long)sites[i].visited,
                   (unsigned long long)sites[i].fired);
    }
}

#endif
