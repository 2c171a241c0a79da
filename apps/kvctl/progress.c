/* progress: see progress.h. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "print.h"

#define DRAW_EVERY_NS (100 * NS_PER_MS)
#define BAR_CELLS 30

void progress_init(struct progress *progress)
{
    ASSERT(progress != NULL);
    *progress = (struct progress){.is_terminal = isatty(STDERR_FILENO) == 1};
}

void progress_show(struct progress *progress, uint64_t done, uint64_t total)
{
    ASSERT(done <= total);
    if (!progress->is_terminal || total == 0) return;
    uint64_t now_ns = clock_mono_ns();
    if (progress->start_ns == 0) {
        progress->start_ns = now_ns;
        progress->start_done = done;
    }
    uint64_t last_ns = progress->drawn_ns == 0 ? progress->start_ns : progress->drawn_ns;
    if (now_ns < last_ns + DRAW_EVERY_NS || done <= progress->start_done) return;
    char bar[BAR_CELLS + 1], size[PRINT_TIME_BYTES], rate[PRINT_TIME_BYTES];
    double part = (double)done / (double)total, seconds = (double)(now_ns - progress->start_ns) / (double)NS_PER_S;
    double per_second = (double)(done - progress->start_done) / seconds;
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < (int)(part * BAR_CELLS) ? '=' : ' ';
    bar[BAR_CELLS] = '\0';
    print_format_size(total, size);
    print_format_size((uint64_t)per_second, rate);
    (void)fprintf(stderr, "\r[%s] %3d%% of %s, %s/s, %.0f s left\033[K", bar, (int)(part * 100), size, rate, (double)(total - done) / per_second);
    (void)fflush(stderr);
    progress->drawn_ns = now_ns;
}

void progress_show_lines(struct progress *progress, uint64_t lines, uint64_t done, uint64_t total)
{
    if (!progress->is_terminal) return;
    uint64_t now_ns = clock_mono_ns();
    if (progress->start_ns == 0) progress->start_ns = now_ns;
    uint64_t last_ns = progress->drawn_ns == 0 ? progress->start_ns : progress->drawn_ns;
    if (now_ns < last_ns + DRAW_EVERY_NS || lines == 0) return;
    double seconds = (double)(now_ns - progress->start_ns) / (double)NS_PER_S;
    if (total == 0) {
        (void)fprintf(stderr, "\r%" PRIu64 " lines, %.0f/s\033[K", lines, (double)lines / seconds);
    } else {
        char bar[BAR_CELLS + 1];
        double part = (double)done / (double)total;
        for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < (int)(part * BAR_CELLS) ? '=' : ' ';
        bar[BAR_CELLS] = '\0';
        (void)fprintf(stderr, "\r[%s] %3d%%, %" PRIu64 " lines, %.0f/s, %.0f s left\033[K", bar, (int)(part * 100), lines, (double)lines / seconds,
                      done == 0 ? 0.0 : seconds * (1 - part) / part);
    }
    (void)fflush(stderr);
    progress->drawn_ns = now_ns;
}

void progress_end(struct progress *progress)
{
    ASSERT(progress != NULL);
    if (progress->drawn_ns != 0) (void)fprintf(stderr, "\r\033[K");
    progress->drawn_ns = 0;
}
