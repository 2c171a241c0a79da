/* workload: see the header. */
#include "workload.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define SCAN_KEYS_MAX 100 /* YCSB e */

void workload_init(struct workload *workload, const struct settings *settings)
{
    struct rng rng;
    uint64_t size = 2 * settings->value_sizes.most + 8;
    workload->settings = settings;
    distribution_keys_init(&workload->keys, settings->dist, settings->keys);
    workload->bytes = alloc_new(size);
    rng_init(&rng, settings->seed);
    for (uint64_t i = 0; i < size; i++) workload->bytes[i] = (uint8_t)('a' + rng_below(&rng, 26));
    atomic_init(&workload->turn, 0);
    atomic_init(&workload->next_key, settings->keys);
    atomic_init(&workload->key_count, settings->keys);
}

void workload_deinit(struct workload *workload) { alloc_free(workload->bytes); }

void workload_key(const struct workload *workload, uint64_t number, char *out_key)
{
    size_t size = workload->settings->key_size, prefix = strlen(workload->settings->key_prefix);
    ASSERT(prefix < size);
    memcpy(out_key, workload->settings->key_prefix, prefix);
    for (size_t i = size; i > prefix; i--) {
        out_key[i - 1] = "0123456789abcdef"[number & 15];
        number >>= 4;
    }
}

struct kvd_bytes workload_value(struct workload *workload, struct rng *rng)
{
    const struct distribution_sizes *sizes = &workload->settings->value_sizes;
    uint64_t size = distribution_sizes_next(sizes, rng);
    return kvd_bytes_of(workload->bytes + rng_below(rng, sizes->most + 1), size);
}

static struct kvd_bytes key_of(const struct workload *workload, uint64_t number, char *scratch)
{
    workload_key(workload, number, scratch);
    return kvd_bytes_of(scratch, workload->settings->key_size);
}

static struct kvd_request *put(struct workload *workload, struct rng *rng, struct workload_call *call)
{
    char key[SETTINGS_KEY_BYTES_MAX];
    struct kvd_bytes value = workload_value(workload, rng);
    call->bytes_written += workload->settings->key_size + value.size;
    return kvd_put(key_of(workload, call->key, key), value, NULL);
}

static struct kvd_request *get(const struct workload *workload, const struct workload_call *call)
{
    char key[SETTINGS_KEY_BYTES_MAX];
    const struct kvd_range_options options = {.serializable = workload->settings->serializable};
    return kvd_range(key_of(workload, call->key, key), &options);
}

/* From a key to behind the last one of the beginning. */
static struct kvd_request *range(const struct workload *workload, uint64_t first, int64_t limit)
{
    const struct settings *settings = workload->settings;
    char key[SETTINGS_KEY_BYTES_MAX], end[SETTINGS_KEY_BYTES_MAX + 1];
    uint64_t last = atomic_load_explicit(&workload->next_key, memory_order_relaxed) - 1;
    workload_key(workload, last, end);
    end[settings->key_size] = '\0'; /* the first key behind it */
    const struct kvd_range_options options = {.range_end = kvd_bytes_of(end, settings->key_size + 1),
                                              .limit = limit,
                                              .serializable = settings->serializable,
                                              .count_only = settings->count_only,
                                              .keys_only = settings->keys_only};
    return kvd_range(key_of(workload, first, key), &options);
}

static struct kvd_request *txn_put(struct workload *workload, struct rng *rng, struct workload_call *call)
{
    struct kvd_request *txn = kvd_txn();
    uint64_t first = call->key;
    for (uint64_t i = 0; i < workload->settings->txn_ops; i++) { /* a key may be put once in a transaction */
        call->key = (first + i) % workload->settings->keys;
        kvd_txn_then(txn, put(workload, rng, call));
    }
    return txn;
}

static struct kvd_request *txn_mixed(struct workload *workload, struct rng *rng, struct workload_call *call)
{
    char key[SETTINGS_KEY_BYTES_MAX];
    struct kvd_request *txn = kvd_txn();
    kvd_txn_if(txn, kvd_if_mod(key_of(workload, call->key, key), KVD_GREATER, 0));
    if (rng_below(rng, 100) < workload->settings->write_percent) {
        kvd_txn_then(txn, put(workload, rng, call));
        kvd_txn_else(txn, put(workload, rng, call));
        call->bytes_written /= 2;
    } else {
        kvd_txn_then(txn, get(workload, call));
    }
    return txn;
}

static struct kvd_request *insert(struct workload *workload, struct rng *rng, struct workload_call *call)
{
    call->key = atomic_fetch_add_explicit(&workload->next_key, 1, memory_order_relaxed);
    call->is_insert = true;
    return put(workload, rng, call);
}

static struct kvd_request *mixed(struct workload *workload, struct rng *rng, struct workload_call *call)
{
    uint64_t chance = rng_below(rng, 100);
    switch (workload->settings->ycsb[0]) {
    case 'a': return chance < 50 ? get(workload, call) : put(workload, rng, call);
    case 'b': return chance < 95 ? get(workload, call) : put(workload, rng, call);
    case 'd': return chance < 95 ? get(workload, call) : insert(workload, rng, call);
    case 'e':
        if (chance >= 95) return insert(workload, rng, call);
        return range(workload, call->key, (int64_t)(1 + rng_below(rng, SCAN_KEYS_MAX)));
    case 'f': call->owes_put = chance >= 50; break;
    default: break;
    }
    return get(workload, call);
}

struct kvd_request *workload_next(struct workload *workload, struct rng *rng, struct workload_call *out_call)
{
    char key[SETTINGS_KEY_BYTES_MAX];
    const struct settings *settings = workload->settings;
    *out_call = (struct workload_call){.ops = 1};
    if (settings->command == COMMAND_DELETE)
        out_call->key = atomic_fetch_add_explicit(&workload->turn, 1, memory_order_relaxed) % settings->keys;
    else if (settings->command != COMMAND_RANGE)
        out_call->key = distribution_keys_next(&workload->keys, rng, atomic_load_explicit(&workload->key_count, memory_order_relaxed));
    switch (settings->command) {
    case COMMAND_PUT: return put(workload, rng, out_call);
    case COMMAND_GET: return get(workload, out_call);
    case COMMAND_RANGE: return range(workload, 0, (int64_t)settings->limit);
    case COMMAND_TXN_PUT: return txn_put(workload, rng, out_call);
    case COMMAND_TXN_MIXED: return txn_mixed(workload, rng, out_call);
    case COMMAND_MIXED: return mixed(workload, rng, out_call);
    default: break; /* the others have calls of their own */
    }
    return kvd_delete(key_of(workload, out_call->key, key), NULL);
}

struct kvd_request *workload_then(struct workload *workload, struct rng *rng, struct workload_call *call)
{
    ASSERT(call->owes_put);
    call->owes_put = false;
    return put(workload, rng, call);
}

struct kvd_request *workload_fill(struct workload *workload, struct rng *rng, uint64_t first, uint64_t count, struct workload_call *out_call)
{
    *out_call = (struct workload_call){.key = first, .ops = count};
    if (count == 1) return put(workload, rng, out_call);
    struct kvd_request *txn = kvd_txn();
    for (; out_call->key < first + count; out_call->key++) kvd_txn_then(txn, put(workload, rng, out_call));
    return txn;
}

static void count_pairs(const struct kvd_result *result, struct tally_counts *counts)
{
    for (size_t i = 0; i < result->pair_count; i++) counts->bytes_read += result->pairs[i].key.size + result->pairs[i].value.size;
    counts->found += result->pair_count > 0 ? result->pair_count : (uint64_t)(result->count > 0 ? result->count : 0);
}

void workload_answered(struct workload *workload, const struct workload_call *call, const struct kvd_result *result, struct tally_counts *counts)
{
    counts->bytes_written += call->bytes_written;
    if (call->is_insert) atomic_fetch_add_explicit(&workload->key_count, 1, memory_order_relaxed);
    count_pairs(result, counts);
    for (size_t i = 0; i < result->result_count; i++) count_pairs(&result->results[i], counts);
}
