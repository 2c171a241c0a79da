/* compactor: auto compaction as a pure step: `periodic` samples the revision and compacts to that of `retention` ago; `revision`
 * keeps the newest N. Only the leader acts; the caller proposes what it is told. Source: API §8. Thread: one at a time. */
#ifndef STORAGE_COMPACTOR_H
#define STORAGE_COMPACTOR_H
#include <stdbool.h>
#include <stdint.h>

enum compactor_mode { COMPACTOR_OFF, COMPACTOR_PERIODIC, COMPACTOR_REVISION };
#define COMPACTOR_SAMPLES 128
struct compactor {
    enum compactor_mode mode;
    uint64_t retention;       /* ns, or revisions */
    uint64_t next_ns;         /* the next sample or look */
    uint64_t due_ns;          /* the next compaction (periodic) */
    uint64_t sample_count;
    struct { uint64_t at_ns; int64_t revision; } samples[COMPACTOR_SAMPLES];
    int64_t last_revision;
};
/* Mode "periodic"/"revision", retention as the flag says ("0" = off, "1h", "30m", bare number = hours / revisions). */
bool compactor_init(struct compactor *compactor, const char *mode, const char *retention, uint64_t now_ns);
/* The revision to compact now, or 0. */
int64_t compactor_step(struct compactor *compactor, uint64_t now_ns, int64_t revision, int64_t compact_revision, bool is_leader);
uint64_t compactor_deadline_ns(const struct compactor *compactor); /* CLOCK_NEVER when off */

#endif
