/* compare: see the header. */
#include "compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "plot.h"
#include "report.h"
#include "run.h"

struct side {
    struct settings settings; /* the workload's, with this cluster */
    const char *name;
};
struct compare {
    struct side sides[2];
    size_t rounds, rounds_done, figure_count;
    struct report_figure figures[REPORT_FIGURES_MAX];              /* names */
    double values[2][REPORT_FIGURES_MAX][COMPARE_ROUNDS_MAX];
};

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

double compare_median(double *values, size_t count, double *out_spread)
{
    ASSERT(count > 0);
    qsort(values, count, sizeof *values, by_value);
    double median = count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    *out_spread = median > 0 ? (values[count - 1] - values[0]) / median : 0;
    return median;
}

/* --- runs ------------------------------------------------------------------------------------------------------------------ */

static bool run_one(struct compare *compare, size_t number, size_t round, bool *out_was_interrupted)
{
    const struct side *side = &compare->sides[number];
    struct run_result result;
    struct report_figure figures[REPORT_FIGURES_MAX];
    if (side->settings.is_live) fprintf(stderr, "round %zu of %zu: %s\n", round + 1, compare->rounds, side->name);
    bool is_good = run_load(&side->settings, &result);
    *out_was_interrupted = result.was_interrupted;
    if (is_good && result.was_broken) {
        (void)snprintf(result.text, sizeof result.text, "a stream ended: %s", result.total.kinds[0].text);
        is_good = false;
    }
    if (is_good && result.total.counts.ops == 0 && result.total.counts.errors > 0) {
        (void)snprintf(result.text, sizeof result.text, "every operation failed: %s", result.total.kinds[0].text);
        is_good = false;
    }
    if (is_good) {
        compare->figure_count = 0;
        size_t count = report_figures(&side->settings, &result, figures);
        for (size_t i = 0; i < count; i++) {
            if (!figures[i].is_compared) continue;
            compare->figures[compare->figure_count] = figures[i];
            compare->values[number][compare->figure_count++][round] = figures[i].value;
        }
    } else {
        fprintf(stderr, "kvbench: %s: %s\n", side->name, result.text);
    }
    run_result_deinit(&result);
    return is_good;
}

/* --- what is told ------------------------------------------------------------------------------------------------------------ */

static double median_of(const struct compare *compare, size_t side, size_t figure, double *out_spread)
{
    double sorted[COMPARE_ROUNDS_MAX];
    memcpy(sorted, compare->values[side][figure], compare->rounds_done * sizeof *sorted);
    return compare_median(sorted, compare->rounds_done, out_spread);
}

/* A to B in each round; how many there are: a round in which B is 0 has none. */
static size_t ratios_of(const struct compare *compare, size_t figure, double *out_ratios)
{
    size_t count = 0;
    for (size_t i = 0; i < compare->rounds_done; i++) {
        double b = compare->values[1][figure][i];
        if (b > 0) out_ratios[count++] = compare->values[0][figure][i] / b;
    }
    return count;
}

static void put_table(const struct compare *compare)
{
    printf("%s, %zu rounds\n%-26s %14s %8s %14s %8s %8s   each round\n", settings_command(compare->sides[0].settings.command)->name,
           compare->rounds_done, "figure", compare->sides[0].name, "spread", compare->sides[1].name, "spread", "ratio");
    for (size_t i = 0; i < compare->figure_count; i++) {
        double spreads[2], ratio_spread, ratios[COMPARE_ROUNDS_MAX], sorted[COMPARE_ROUNDS_MAX];
        double a = median_of(compare, 0, i, &spreads[0]), b = median_of(compare, 1, i, &spreads[1]);
        size_t count = ratios_of(compare, i, ratios);
        memcpy(sorted, ratios, count * sizeof *sorted);
        printf("%-26s %14.*f %7.0f%% %14.*f %7.0f%%", compare->figures[i].name, compare->figures[i].decimals, a, 100 * spreads[0],
               compare->figures[i].decimals, b, 100 * spreads[1]);
        if (count > 0) printf(" %8.3f  ", compare_median(sorted, count, &ratio_spread));
        for (size_t k = 0; k < count; k++) printf(" %.3f", ratios[k]);
        putchar('\n');
    }
}

static void put_values(const char *name, const double *values, size_t count, int decimals)
{
    printf("\"%s\":[", name);
    for (size_t i = 0; i < count; i++) printf("%s%.*f", i > 0 ? "," : "", decimals, values[i]);
    putchar(']');
}

static void put_side_json(const struct compare *compare, size_t side, size_t figure)
{
    double spread, median = median_of(compare, side, figure, &spread);
    int decimals = compare->figures[figure].decimals;
    printf("\"%s\":{\"median\":%.*f,\"spread\":%.3f,", side == 0 ? "a" : "b", decimals + 1, median, spread);
    put_values("rounds", compare->values[side][figure], compare->rounds_done, decimals);
    printf("},");
}

static void put_json(const struct compare *compare)
{
    printf("{\"workload\":\"%s\",\"rounds\":%zu,\"a\":", settings_command(compare->sides[0].settings.command)->name, compare->rounds_done);
    report_json_text(compare->sides[0].name);
    printf(",\"b\":");
    report_json_text(compare->sides[1].name);
    printf(",\"figures\":{");
    for (size_t i = 0; i < compare->figure_count; i++) {
        double spread, ratios[COMPARE_ROUNDS_MAX], sorted[COMPARE_ROUNDS_MAX];
        size_t count = ratios_of(compare, i, ratios);
        memcpy(sorted, ratios, count * sizeof *sorted);
        printf("%s\"%s\":{", i > 0 ? "," : "", compare->figures[i].name);
        put_side_json(compare, 0, i);
        put_side_json(compare, 1, i);
        if (count > 0) printf("\"ratio\":%.4f,", compare_median(sorted, count, &spread));
        else printf("\"ratio\":null,");
        put_values("ratios", ratios, count, 4);
        putchar('}');
    }
    printf("}}\n");
}

static bool put_plot(const struct compare *compare)
{
    struct plot_bar bars[REPORT_FIGURES_MAX];
    size_t count = 0;
    double spread;
    for (size_t i = 0; i < compare->figure_count; i++) {
        double a = median_of(compare, 0, i, &spread), b = median_of(compare, 1, i, &spread);
        if (b > 0) bars[count++] = (struct plot_bar){.name = compare->figures[i].name, .ratio = a / b};
    }
    return plot_bars(&compare->sides[0].settings, compare->sides[0].name, compare->sides[1].name, bars, count);
}

bool compare_run(const struct settings *settings, bool *out_is_written)
{
    struct compare *compare = ALLOC(struct compare);
    bool is_good = true, was_interrupted = false;
    compare->rounds = settings->rounds;
    for (size_t i = 0; i < 2; i++) {
        compare->sides[i].settings = *settings;
        compare->sides[i].name = settings->sides[i].name;
        settings_take_side(&compare->sides[i].settings, i);
    }
    while (is_good && !was_interrupted && compare->rounds_done < compare->rounds) {
        bool was_first_interrupted = false;
        is_good = run_one(compare, 0, compare->rounds_done, &was_first_interrupted);
        if (is_good && !was_first_interrupted) is_good = run_one(compare, 1, compare->rounds_done, &was_interrupted);
        was_interrupted = was_interrupted || was_first_interrupted;
        if (is_good && !was_interrupted) compare->rounds_done++; /* a round that was cut says nothing */
    }
    if (is_good && compare->rounds_done == 0) {
        fprintf(stderr, "kvbench: interrupted before the first round had ended\n");
        is_good = false;
    }
    *out_is_written = true;
    if (compare->rounds_done > 0) {
        if (settings->is_json) put_json(compare);
        else put_table(compare);
        *out_is_written = put_plot(compare);
    }
    alloc_free(compare);
    return is_good;
}
