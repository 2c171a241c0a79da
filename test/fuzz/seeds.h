/* seeds: the first inputs of the fuzz targets, made by the product's own encoders. Thread: one. */
#ifndef TEST_FUZZ_SEEDS_H
#define TEST_FUZZ_SEEDS_H
#include "base/buf.h"

/* The place'th seed of a target, appended to `out`; its name, or NULL beyond the last. */
const char *seeds_make(const char *target, size_t place, struct buf *out);

#endif
