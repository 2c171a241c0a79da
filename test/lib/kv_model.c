/* kv_model: see kv_model.h. */
#include "lib/kv_model.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

void kv_model_init(struct kv_model *model)
{
    memset(model, 0, sizeof(*model));
    model->revision = 1; /* K1 */
}

void kv_model_deinit(struct kv_model *model)
{
    for (uint32_t i = 0; i < KV_HISTORY_KEYS; i++) alloc_free(model->keys[i].versions);
    alloc_free(model->changes);
    alloc_free(model->leases);
}

const struct kv_model_version *kv_model_get(const struct kv_model *model, uint32_t key, int64_t revision)
{
    ASSERT(key < KV_HISTORY_KEYS);
    const struct kv_model_key *all = &model->keys[key];
    for (size_t i = all->count; i > 0; i--) {
        const struct kv_model_version *version = &all->versions[i - 1];
        if (revision != 0 && version->mod_revision > revision) continue;
        return version->version == 0 ? NULL : version;
    }
    return NULL;
}

static void push(struct kv_model *model, uint32_t key, const struct kv_model_version *version)
{
    struct kv_model_key *all = &model->keys[key];
    if (all->count == all->capacity) {
        all->capacity = all->capacity == 0 ? 16 : all->capacity * 2;
        all->versions = alloc_resize(all->versions, all->capacity * sizeof(*all->versions));
    }
    if (model->change_count == model->change_capacity) {
        model->change_capacity = model->change_capacity == 0 ? 256 : model->change_capacity * 2;
        model->changes = alloc_resize(model->changes, model->change_capacity * sizeof(*model->changes));
    }
    model->changes[model->change_count++] = (struct kv_model_change){.key = key, .place = all->count};
    all->versions[all->count++] = *version;
    model->is_changed = true;
}

void kv_model_put(struct kv_model *model, uint32_t key, uint64_t token, int64_t lease)
{
    const struct kv_model_version *before = kv_model_get(model, key, 0);
    int64_t revision = model->revision + 1;
    struct kv_model_version version = {.token = token, .mod_revision = revision, .lease = lease,
                                       .create_revision = before == NULL ? revision : before->create_revision,
                                       .version = before == NULL ? 1 : before->version + 1};
    push(model, key, &version);
}

int64_t kv_model_delete(struct kv_model *model, uint32_t first, uint32_t end)
{
    int64_t count = 0;
    for (uint32_t key = first; key < end; key++) {
        if (kv_model_get(model, key, 0) == NULL) continue;
        push(model, key, &(struct kv_model_version){.mod_revision = model->revision + 1});
        count++;
    }
    return count;
}

struct kv_model_lease *kv_model_lease(const struct kv_model *model, int64_t id)
{
    for (size_t i = model->lease_count; i > 0; i--) {
        if (model->leases[i - 1].id == id) return model->leases[i - 1].ended_by == SIZE_MAX ? &model->leases[i - 1] : NULL;
    }
    return NULL;
}

void kv_model_grant(struct kv_model *model, int64_t id, uint64_t place, size_t op)
{
    ASSERT(kv_model_lease(model, id) == NULL);
    if (model->lease_count == model->lease_capacity) {
        model->lease_capacity = model->lease_capacity == 0 ? 16 : model->lease_capacity * 2;
        model->leases = alloc_resize(model->leases, model->lease_capacity * sizeof(*model->leases));
    }
    model->leases[model->lease_count++] = (struct kv_model_lease){.id = id, .place = place, .granted_by = op, .ended_by = SIZE_MAX};
}

uint64_t kv_model_lease_keys(const struct kv_model *model, int64_t id, int64_t revision)
{
    uint64_t keys = 0;
    for (uint32_t key = 0; key < KV_HISTORY_KEYS; key++) {
        const struct kv_model_version *version = kv_model_get(model, key, revision);
        if (version != NULL && version->lease == id) keys |= UINT64_C(1) << key;
    }
    return keys;
}

void kv_model_end_lease(struct kv_model *model, struct kv_model_lease *lease, size_t op)
{
    uint64_t keys = kv_model_lease_keys(model, lease->id, 0);
    for (uint32_t key = 0; key < KV_HISTORY_KEYS; key++) {
        if ((keys >> key & 1) != 0) (void)kv_model_delete(model, key, key + 1);
    }
    lease->ended_by = op;
}

void kv_model_commit(struct kv_model *model)
{
    if (model->is_changed) model->revision++;
    model->is_changed = false;
}

static const char *check_pair(const struct kv_pair *pair, uint32_t key, const struct kv_model_version *version, int64_t *out_expected,
                              int64_t *out_got)
{
    const struct {
        const char *rule;
        int64_t expected, got;
    } fields[] = {
        {"a read has a key that should not be there", key, pair->key},
        {"a read has another value", (int64_t)version->token, (int64_t)pair->token},
        {"K5 create_revision", version->create_revision, pair->create_revision},
        {"K5 mod_revision", version->mod_revision, pair->mod_revision},
        {"K5 version", version->version, pair->version},
        {"L7 the lease of a key", version->lease, pair->lease},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].expected == fields[i].got) continue;
        *out_expected = fields[i].expected;
        *out_got = fields[i].got;
        return fields[i].rule;
    }
    return NULL;
}

/* --- what a range answers ---------------------------------------------------------------------------------------------------- */

struct row {
    uint32_t key;
    const struct kv_model_version *version;
};

static bool has_filter(const struct kv_step *step) { return (step->min_mod | step->max_mod | step->min_create | step->max_create) != 0; }

static bool is_wanted(const struct kv_step *step, const struct kv_model_version *version)
{
    if (step->min_mod != 0 && version->mod_revision < step->min_mod) return false;
    if (step->max_mod != 0 && version->mod_revision > step->max_mod) return false;
    if (step->min_create != 0 && version->create_revision < step->min_create) return false;
    return step->max_create == 0 || version->create_revision <= step->max_create;
}

static uint64_t sorts_by(const struct kv_step *step, const struct row *row)
{
    switch (step->sort_target) {
    case KV_SORT_KEY: return row->key;
    case KV_SORT_VERSION: return (uint64_t)row->version->version;
    case KV_SORT_CREATE: return (uint64_t)row->version->create_revision;
    case KV_SORT_MOD: return (uint64_t)row->version->mod_revision;
    case KV_SORT_VALUE: return row->version->token; /* its digits stand in front */
    }
    return 0;
}

/* By insertion: what is alike stays as it was, in both directions. */
static void sort(const struct kv_step *step, struct row *rows, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct row row = rows[i];
        uint32_t place = i;
        for (; place > 0; place--) {
            uint64_t before = sorts_by(step, &rows[place - 1]), own = sorts_by(step, &row);
            bool is_right = step->sort == KV_SORT_DESCEND ? before >= own : before <= own;
            if (is_right) break;
            rows[place] = rows[place - 1];
        }
        rows[place] = row;
    }
}

/* A target without an order, and no filter: the rows are cut before they are sorted, as every etcd does it. */
static bool is_cut_first(const struct kv_step *step)
{
    return step->limit > 0 && step->sort == KV_SORT_NONE && step->sort_target != KV_SORT_KEY && !has_filter(step);
}

/* Filter, sort, cut, one after the other over the whole interval. */
static uint32_t choose_rows(const struct kv_model *model, const struct kv_step *step, int64_t revision, struct row *rows, int64_t *out_count,
                            bool *out_more)
{
    uint32_t rows_count = 0;
    *out_count = 0;
    for (uint32_t key = step->first; key < step->end; key++) {
        const struct kv_model_version *version = kv_model_get(model, key, revision);
        if (version == NULL) continue;
        ++*out_count;
        if (is_wanted(step, version)) rows[rows_count++] = (struct row){.key = key, .version = version};
    }
    *out_more = false;
    if (step->count_only) return 0;
    if (is_cut_first(step) && rows_count > step->limit + 1) rows_count = (uint32_t)step->limit + 1;
    if (step->sort_target != KV_SORT_KEY || step->sort == KV_SORT_DESCEND) sort(step, rows, rows_count);
    *out_more = step->limit > 0 && rows_count > step->limit;
    return *out_more ? (uint32_t)step->limit : rows_count;
}

const char *kv_model_check_range(const struct kv_model *model, const struct kv_step *step, int64_t revision, int64_t *out_expected,
                                 int64_t *out_got)
{
    struct row rows[KV_HISTORY_KEYS];
    int64_t count;
    bool more;
    uint32_t rows_count = choose_rows(model, step, revision, rows, &count, &more);
    ASSERT(step->end <= KV_HISTORY_KEYS);
    for (uint32_t i = 0; i < rows_count; i++) {
        struct kv_model_version version = *rows[i].version;
        *out_expected = rows[i].key;
        *out_got = -1;
        if (i == step->pair_count) return "a read lacks a key";
        if (step->keys_only) version.token = 0;
        const char *broken = check_pair(&step->pairs[i], rows[i].key, &version, out_expected, out_got);
        if (broken != NULL) return broken;
    }
    *out_expected = count;
    *out_got = step->count;
    if (rows_count < step->pair_count) return "a read has a key that should not be there";
    if (step->count != count) return "K9 count";
    return step->more == more ? NULL : "K9 more";
}

bool kv_model_holds(const struct kv_model *model, const struct kv_compare *compare, int64_t revision)
{
    const struct kv_model_version *version = kv_model_get(model, compare->key, revision);
    struct kv_model_version none = {.version = 0};
    if (compare->target == KV_TARGET_VALUE) {
        if (version == NULL) return false; /* what is not there has no value that anything could be compared with */
        return (version->token == compare->token) == (compare->relation == KV_EQUAL);
    }
    if (version == NULL) version = &none;
    int64_t is = compare->target == KV_TARGET_VERSION  ? version->version
                 : compare->target == KV_TARGET_CREATE ? version->create_revision
                                                       : version->mod_revision;
    switch (compare->relation) {
    case KV_EQUAL: return is == compare->number;
    case KV_GREATER: return is > compare->number;
    case KV_LESS: return is < compare->number;
    case KV_NOT_EQUAL: return is != compare->number;
    }
    return false;
}
