/* tally: see the header. */
#include "tally.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void tally_init(struct tally *tally)
{
    memset(tally, 0, sizeof *tally);
    int error = pthread_mutex_init(&tally->mutex, NULL);
    ASSERT(error == 0);
}

void tally_deinit(struct tally *tally) { pthread_mutex_destroy(&tally->mutex); }

void tally_clear(struct tally *tally)
{
    histogram_clear(&tally->latencies);
    tally->counts = (struct tally_counts){.ops = 0};
    tally->kind_count = 0;
    tally->other_errors = 0;
}

static void write_raw(struct tally *tally, uint64_t now_ns, uint64_t took_ns)
{
    const uint64_t record[2] = {now_ns, took_ns};
    if (tally->raw != NULL) (void)fwrite(record, sizeof record, 1, tally->raw); /* an error is seen when it is closed */
}

void tally_done(struct tally *tally, uint64_t now_ns, uint64_t start_ns, uint64_t ops)
{
    tally->counts.ops += ops;
    histogram_add(&tally->latencies, now_ns - start_ns);
    write_raw(tally, now_ns, now_ns - start_ns);
}

static void add_kind(struct tally *tally, enum kvd_code code, const char *text, uint64_t count)
{
    for (size_t i = 0; i < tally->kind_count; i++) {
        struct tally_kind *kind = &tally->kinds[i];
        if (kind->code != code || strncmp(kind->text, text, TALLY_TEXT_BYTES - 1) != 0) continue;
        kind->count += count;
        return;
    }
    if (tally->kind_count == TALLY_KINDS_MAX) {
        tally->other_errors += count;
        return;
    }
    struct tally_kind *kind = &tally->kinds[tally->kind_count++];
    kind->code = code;
    kind->count = count;
    (void)snprintf(kind->text, sizeof kind->text, "%s", text);
}

/* Who fails at once would make the latencies look good; who ran out of time was as slow as can be. */
void tally_failed(struct tally *tally, uint64_t now_ns, uint64_t start_ns, enum kvd_code code, const char *text, bool is_unknown)
{
    tally->counts.errors++;
    tally->counts.unknown += is_unknown;
    if (code == KVD_DEADLINE_EXCEEDED) histogram_add(&tally->latencies, now_ns - start_ns);
    write_raw(tally, now_ns, UINT64_MAX);
    add_kind(tally, code, text[0] == '\0' ? kvd_code_text(code) : text, 1);
}

void tally_merge(struct tally *into, const struct tally *from)
{
    into->counts.ops += from->counts.ops;
    into->counts.errors += from->counts.errors;
    into->counts.unknown += from->counts.unknown;
    into->counts.retries += from->counts.retries;
    into->counts.bytes_read += from->counts.bytes_read;
    into->counts.bytes_written += from->counts.bytes_written;
    into->counts.found += from->counts.found;
    into->other_errors += from->other_errors;
    histogram_merge(&into->latencies, &from->latencies);
    for (size_t i = 0; i < from->kind_count; i++) add_kind(into, from->kinds[i].code, from->kinds[i].text, from->kinds[i].count);
}
