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
    all->versions[all->count++] = *version;
    model->is_changed = true;
}

void kv_model_put(struct kv_model *model, uint32_t key, uint64_t token)
{
    const struct kv_model_version *before = kv_model_get(model, key, 0);
    int64_t revision = model->revision + 1;
    struct kv_model_version version = {.token = token, .mod_revision = revision,
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
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].expected == fields[i].got) continue;
        *out_expected = fields[i].expected;
        *out_got = fields[i].got;
        return fields[i].rule;
    }
    return NULL;
}

const char *kv_model_check_range(const struct kv_model *model, const struct kv_step *step, int64_t revision, int64_t *out_expected,
                                 int64_t *out_got)
{
    int64_t count = 0;
    uint32_t given = 0;
    for (uint32_t key = step->first; key < step->end; key++) {
        const struct kv_model_version *version = kv_model_get(model, key, revision);
        if (version == NULL) continue;
        count++;
        if (step->limit > 0 && count > step->limit) continue;
        *out_expected = key;
        *out_got = -1;
        if (given == step->pair_count) return "a read lacks a key";
        const char *broken = check_pair(&step->pairs[given++], key, version, out_expected, out_got);
        if (broken != NULL) return broken;
    }
    *out_expected = count;
    *out_got = step->count;
    if (given < step->pair_count) return "a read has a key that should not be there";
    if (step->count != count) return "K9 count";
    return step->more == (step->limit > 0 && count > step->limit) ? NULL : "K9 more";
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
