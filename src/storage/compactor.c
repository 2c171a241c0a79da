/* compactor: periodic mode keeps a ring of samples, oldest first. A sample is taken every min(p, 1 h) / 10 as the API says, but no
 * more often than lets the ring reach back over the retention p; a compaction is due every min(p, 1 h), to the newest sample that is
 * at least p old. What was told but did not happen (no leader any more, a refused proposal) is told again with the next sample. */
#include "storage/compactor.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

#define PERIOD_MAX_NS (UINT64_C(3600) * NS_PER_S)      /* between two compactions */
#define REVISION_PERIOD_NS (UINT64_C(300) * NS_PER_S)  /* between two looks in revision mode */
#define SAMPLES_PER_PERIOD 10
#define RETENTION_MAX_NS (UINT64_C(100) * 365 * 24 * 3600 * NS_PER_S)

STATIC_ASSERT(COMPACTOR_SAMPLES > SAMPLES_PER_PERIOD + 2, "the ring reaches back over the retention");

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t unit_ns(const char *unit, size_t *out_length)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } UNITS[] = {{"ns", 1},        {"us", NS_PER_US},     {"\xc2\xb5s", NS_PER_US}, {"ms", NS_PER_MS},
                 {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}};
    ASSERT(unit != NULL);
    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        size_t length = strlen(UNITS[i].name);
        if (strncmp(unit, UNITS[i].name, length) != 0) continue;
        *out_length = length;
        return UNITS[i].ns;
    }
    return 0;
}

/* Digits; false if there are none or the number is above `max`. */
static bool parse_digits(const char **at, uint64_t max, uint64_t *out_number)
{
    uint64_t number = 0;
    const char *start = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (number > (max - digit) / 10) return false;
        number = number * 10 + digit;
    }
    if (*at == start) return false;
    *out_number = number;
    return true;
}

/* "1h30m", "1.5h", "300ms". */
static bool parse_duration(const char *text, uint64_t *out_ns)
{
    uint64_t total = 0;
    ASSERT(text != NULL);
    if (*text == '\0') return false;
    for (const char *at = text; *at != '\0';) {
        uint64_t whole = 0;
        if (!parse_digits(&at, RETENTION_MAX_NS, &whole)) return false;
        const char *fraction = *at == '.' ? ++at : NULL;
        while (fraction != NULL && *at >= '0' && *at <= '9') at++;
        size_t length = 0;
        uint64_t unit = unit_ns(at, &length);
        if (unit == 0 || whole > RETENTION_MAX_NS / unit) return false;
        total += whole * unit;
        for (uint64_t part = unit / 10; fraction != NULL && *fraction >= '0' && *fraction <= '9'; fraction++, part /= 10)
            total += (uint64_t)(*fraction - '0') * part;
        if (total > RETENTION_MAX_NS) return false;
        at += length;
    }
    *out_ns = total;
    return true;
}

/* A bare number is hours in periodic mode, revisions in the other; a duration makes sense in periodic mode only. */
static bool parse_retention(enum compactor_mode mode, const char *text, uint64_t *out_retention)
{
    const char *at = text;
    uint64_t number = 0, hour = 3600 * NS_PER_S;
    bool is_bare = parse_digits(&at, INT64_MAX, &number) && *at == '\0';
    ASSERT(mode == COMPACTOR_PERIODIC || mode == COMPACTOR_REVISION);
    if (!is_bare) return mode == COMPACTOR_PERIODIC && parse_duration(text, out_retention);
    if (mode == COMPACTOR_PERIODIC && number > RETENTION_MAX_NS / hour) return false;
    *out_retention = mode == COMPACTOR_PERIODIC ? number * hour : number;
    return true;
}

static uint64_t step_ns(const struct compactor *compactor)
{
    ASSERT(compactor->mode != COMPACTOR_OFF && compactor->retention > 0);
    if (compactor->mode == COMPACTOR_REVISION) return REVISION_PERIOD_NS;
    uint64_t often = min_u64(compactor->retention, PERIOD_MAX_NS) / SAMPLES_PER_PERIOD;
    return max_u64(max_u64(often, compactor->retention / (COMPACTOR_SAMPLES - 8)), 1);
}

bool compactor_init(struct compactor *compactor, const char *mode, const char *retention, uint64_t now_ns)
{
    ASSERT(compactor != NULL && mode != NULL && retention != NULL);
    bool is_periodic = strcmp(mode, "periodic") == 0;
    if (!is_periodic && strcmp(mode, "revision") != 0) return false;
    struct compactor made = {.mode = is_periodic ? COMPACTOR_PERIODIC : COMPACTOR_REVISION};
    if (!parse_retention(made.mode, retention, &made.retention)) return false;
    if (made.retention == 0) {
        made.mode = COMPACTOR_OFF;
    } else {
        made.next_ns = made.mode == COMPACTOR_REVISION ? now_ns + REVISION_PERIOD_NS : now_ns;
        made.due_ns = now_ns;
    }
    *compactor = made;
    return true;
}

uint64_t compactor_deadline_ns(const struct compactor *compactor)
{
    ASSERT(compactor->sample_count <= COMPACTOR_SAMPLES);
    return compactor->mode == COMPACTOR_OFF ? CLOCK_NEVER : compactor->next_ns;
}

/* Keeps the newest sample that is old enough, and all younger ones. */
static void forget_samples(struct compactor *compactor, uint64_t now_ns)
{
    uint64_t gone = 0;
    while (gone + 1 < compactor->sample_count && now_ns - compactor->samples[gone + 1].at_ns >= compactor->retention) gone++;
    if (gone == 0 && compactor->sample_count == COMPACTOR_SAMPLES) gone = 1;
    ASSERT(gone <= compactor->sample_count);
    compactor->sample_count -= gone;
    memmove(&compactor->samples[0], &compactor->samples[gone], compactor->sample_count * sizeof compactor->samples[0]);
}

static int64_t periodic_candidate(struct compactor *compactor, uint64_t now_ns, int64_t revision)
{
    forget_samples(compactor, now_ns);
    ASSERT(compactor->sample_count < COMPACTOR_SAMPLES);
    compactor->samples[compactor->sample_count].at_ns = now_ns;
    compactor->samples[compactor->sample_count++].revision = revision;
    bool is_old = now_ns - compactor->samples[0].at_ns >= compactor->retention;
    return is_old ? compactor->samples[0].revision : 0;
}

int64_t compactor_step(struct compactor *compactor, uint64_t now_ns, int64_t revision, int64_t compact_revision, bool is_leader)
{
    ASSERT(revision > 0 && compact_revision <= revision);
    if (compactor->mode == COMPACTOR_OFF || now_ns < compactor->next_ns) return 0;
    compactor->next_ns = now_ns + step_ns(compactor);
    int64_t candidate = 0;
    if (compactor->mode == COMPACTOR_PERIODIC) candidate = periodic_candidate(compactor, now_ns, revision);
    else if ((uint64_t)revision > compactor->retention) candidate = revision - (int64_t)compactor->retention;
    bool is_owed = compactor->last_revision > compact_revision;
    bool is_due = compactor->mode == COMPACTOR_REVISION || is_owed || now_ns >= compactor->due_ns;
    if (!is_leader || !is_due || candidate <= compact_revision) return 0;
    compactor->last_revision = candidate;
    compactor->due_ns = now_ns + min_u64(compactor->retention, PERIOD_MAX_NS);
    return candidate;
}
