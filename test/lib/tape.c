/* tape: see tape.h. */
#include "lib/tape.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

#define REEL_BYTES (sizeof(struct tape_reel) + (size_t)TAPE_TRACKS * TAPE_TRACK_MAX * sizeof(uint64_t))
#define PRINTED_LINE 140

void tape_init(struct tape *tape, uint64_t seed, struct tape_reel *reel, enum tape_track track)
{
    ASSERT((uint32_t)track < TAPE_FAULT_LANES || ((uint32_t)track >= TAPE_PAST && (uint32_t)track < TAPE_TRACKS));
    rng_init(&tape->rng, seed);
    tape->reel = reel;
    tape->track = (uint32_t)track;
}

/* The place is taken; 0 behind the end. */
static uint64_t play(struct tape_track_state *track)
{
    uint64_t at = track->at++;
    return at < track->count ? track->values[at] : 0;
}

static void record(struct tape_track_state *track, uint64_t value)
{
    track->at++;
    if (track->count < TAPE_TRACK_MAX) track->values[track->count++] = value;
}

uint64_t tape_reel_choice(struct tape_reel *reel, uint32_t track, uint64_t drawn, uint64_t limit, uint64_t dull)
{
    ASSERT(track < TAPE_TRACKS && dull < limit && drawn < limit);
    if (!reel->is_recording) return (play(&reel->tracks[track]) % limit + dull) % limit;
    record(&reel->tracks[track], drawn >= dull ? drawn - dull : drawn + (limit - dull));
    return drawn;
}

bool tape_reel_chance(struct tape_reel *reel, uint32_t track, bool drawn)
{
    ASSERT(track < TAPE_TRACKS);
    if (!reel->is_recording) return play(&reel->tracks[track]) != 0;
    record(&reel->tracks[track], drawn);
    return drawn;
}

uint64_t tape_reel_seed(struct tape_reel *reel, uint32_t track, uint64_t drawn)
{
    ASSERT(track < TAPE_TRACKS);
    if (reel->is_recording) {
        record(&reel->tracks[track], drawn);
        return drawn;
    }
    uint64_t value = play(&reel->tracks[track]);
    return value != 0 ? value : reel->tracks[track].at * UINT64_C(0x9e3779b97f4a7c15) + track;
}

/* --- reels --- */

struct tape_reel *tape_reel_new(void)
{
    void *memory = mmap(NULL, REEL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(memory != MAP_FAILED);
    struct tape_reel *reel = memory;
    uint64_t *values = (uint64_t *)(void *)(reel + 1);
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) reel->tracks[i].values = values + (size_t)i * TAPE_TRACK_MAX;
    return reel;
}

void tape_reel_free(struct tape_reel *reel)
{
    if (reel != NULL) munmap(reel, REEL_BYTES);
}

void tape_reel_rewind(struct tape_reel *reel, bool is_recording)
{
    reel->is_recording = is_recording;
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) {
        reel->tracks[i].at = 0;
        if (is_recording) reel->tracks[i].count = 0;
    }
}

void tape_reel_copy(struct tape_reel *to, const struct tape_reel *from)
{
    ASSERT(to != from);
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) {
        to->tracks[i].count = from->tracks[i].count;
        memcpy(to->tracks[i].values, from->tracks[i].values, from->tracks[i].count * sizeof(uint64_t));
    }
    tape_reel_rewind(to, false);
}

void tape_reel_trim(struct tape_reel *reel)
{
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) {
        struct tape_track_state *track = &reel->tracks[i];
        if (track->count > track->at) track->count = track->at;
        while (track->count > 0 && track->values[track->count - 1] == 0) track->count--;
    }
}

uint64_t tape_reel_count(const struct tape_reel *reel)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) count += reel->tracks[i].count;
    return count;
}

uint64_t tape_reel_lively(const struct tape_reel *reel)
{
    uint64_t lively = 0;
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) {
        for (uint64_t at = 0; at < reel->tracks[i].count; at++) lively += reel->tracks[i].values[at] != 0;
    }
    return lively;
}

void tape_reel_print(const struct tape_reel *reel, FILE *out)
{
    for (uint32_t i = 0; i < TAPE_TRACKS; i++) {
        const struct tape_track_state *track = &reel->tracks[i];
        int column = 0;
        for (uint64_t at = 0; at < track->count;) {
            uint64_t value = track->values[at], times = 1;
            while (at + times < track->count && track->values[at + times] == value) times++;
            if (column > PRINTED_LINE - 40) fputc('\n', out);
            if (column == 0 || column > PRINTED_LINE - 40) column = fprintf(out, "tape %" PRIu32, i);
            column += fprintf(out, " %" PRIu64, value);
            if (times > 1) column += fprintf(out, "*%" PRIu64, times);
            at += times;
        }
        if (column > 0) fputc('\n', out);
    }
}

bool tape_reel_read_line(struct tape_reel *reel, const char *line)
{
    uint32_t number;
    int used = 0;
    if (sscanf(line, "%" SCNu32 "%n", &number, &used) != 1 || number >= TAPE_TRACKS) return false;
    struct tape_track_state *track = &reel->tracks[number];
    for (const char *at = line + used; strspn(at, " \n") != strlen(at); at += used) {
        uint64_t value, times = 1;
        if (sscanf(at, " %" SCNu64 "%n", &value, &used) != 1) return false;
        if (at[used] == '*') {
            int more = 0;
            if (sscanf(at + used, "*%" SCNu64 "%n", &times, &more) != 1) return false;
            used += more;
        }
        if (times > TAPE_TRACK_MAX - track->count) return false;
        for (; times > 0; times--) track->values[track->count++] = value;
    }
    return true;
}
