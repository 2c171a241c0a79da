/* nearest: see nearest.h. */
#include "base/nearest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

size_t nearest_distance(const char *a, const char *b)
{
    ASSERT(a != NULL && b != NULL);
    size_t row[NEAREST_BYTES_MAX + 1], width = strlen(b);
    if (width > NEAREST_BYTES_MAX || strlen(a) > NEAREST_BYTES_MAX) return SIZE_MAX;
    for (size_t k = 0; k <= width; k++) row[k] = k;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < width; k++) {
            size_t best = corner + (tolower((unsigned char)a[i]) != tolower((unsigned char)b[k]));
            if (row[k] + 1 < best) best = row[k] + 1;
            if (row[k + 1] + 1 < best) best = row[k + 1] + 1;
            corner = row[k + 1];
            row[k + 1] = best;
        }
    }
    return row[width];
}
