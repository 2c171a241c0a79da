/* sim_looks: see sim_looks.h. All versions in the order in which they were written, and for each look a walk over them: slow, and surely right. */
#include "lib/sim_looks.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "lib/mvcc_model.h"
#include "lib/sim_bytes.h"

struct version {
    struct kv_pair pair;   /* of a delete: key and mod_revision */
    bool is_delete;
    int64_t sub;
    int64_t next_revision; /* of the version that followed; INT64_MAX = none did */
    uint64_t hash;
};
struct versions {
    struct version *all;
    size_t count;
};

static uint64_t hash_of(const struct version *version)
{
    struct buf key, value;
    buf_init(&key);
    buf_init(&value);
    sim_bytes_key(version->pair.key, &key);
    if (!version->is_delete) sim_bytes_value(version->pair.token, &value);
    buf_reserve(&value, 1);
    struct mvcc_model_version model = {.key = buf_take_blob(&key), .value = buf_take_blob(&value), .revision = version->pair.mod_revision,
                                       .sub = version->sub, .create_revision = version->pair.create_revision,
                                       .version = version->pair.version, .lease = version->pair.lease, .is_delete = version->is_delete};
    uint64_t hash = mvcc_model_hash_one(&model);
    blob_unref(model.key);
    blob_unref(model.value);
    return hash;
}

static void list_versions(const struct kv_model *model, struct versions *out)
{
    int64_t sub = 0;
    out->count = model->change_count;
    out->all = alloc_zero(out->count + 1, sizeof(*out->all));
    for (size_t i = 0; i < out->count; i++) {
        const struct kv_model_key *key = &model->keys[model->changes[i].key];
        size_t place = model->changes[i].place;
        const struct kv_model_version *from = &key->versions[place];
        bool goes_on = i > 0 && out->all[i - 1].pair.mod_revision == from->mod_revision;
        sub = goes_on ? sub + 1 : 0;
        struct version *version = &out->all[i];
        version->pair = (struct kv_pair){.key = model->changes[i].key, .token = from->token, .create_revision = from->create_revision,
                                         .mod_revision = from->mod_revision, .version = from->version, .lease = from->lease};
        version->is_delete = from->version == 0;
        version->sub = sub;
        version->next_revision = place + 1 < key->count ? key->versions[place + 1].mod_revision : INT64_MAX;
        version->hash = hash_of(version);
    }
}

/* What no read at the mark or later can see, and no watcher from there on is told. */
static bool is_garbage(const struct version *version, int64_t mark)
{
    if (version->pair.mod_revision >= mark) return false;
    return version->is_delete || version->next_revision <= mark;
}

static uint64_t sum(const struct versions *versions, int64_t revision, int64_t mark)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < versions->count && versions->all[i].pair.mod_revision <= revision; i++) {
        if (!is_garbage(&versions->all[i], mark)) hash += versions->all[i].hash;
    }
    return hash;
}

/* A record stays while something can be read from it, or while it tells a change at the mark or later. A delete below the mark whose key was
 * put again above it stays if the put came before freeing passed there: the one thing that may differ from member to member. */
static int64_t nearest_kept(const struct versions *versions, const struct world_look *look)
{
    int64_t least = 0, most = 0, mark = look->compact_revision;
    for (size_t i = 0; i < versions->count && versions->all[i].pair.mod_revision <= look->newest; i++) {
        const struct version *version = &versions->all[i];
        if (version->next_revision <= mark) continue;
        bool is_free = version->is_delete && version->pair.mod_revision < mark;
        least += !is_free;
        most += !is_free || version->next_revision <= look->newest;
    }
    return look->versions < least ? least : look->versions > most ? most : look->versions;
}

static uint64_t digest_rows(const struct kv_model *model, int64_t revision, uint32_t first, uint32_t end, int64_t *out_count)
{
    uint64_t digest = 1;
    *out_count = 0;
    for (uint32_t key = first; key < end; key++) {
        const struct kv_model_version *version = kv_model_get(model, key, revision);
        if (version == NULL) continue;
        ++*out_count;
        digest = world_state_digest(digest, &(struct kv_pair){.key = key, .token = version->token, .create_revision = version->create_revision,
                                                              .mod_revision = version->mod_revision, .version = version->version,
                                                              .lease = version->lease}, 0);
    }
    return digest;
}

static uint64_t digest_changes(const struct versions *versions, const struct world_look *look, int64_t *out_count)
{
    uint64_t digest = 1;
    *out_count = 0;
    for (size_t i = 0; i < versions->count && *out_count < WORLD_STATE_CHANGES; i++) {
        const struct version *version = &versions->all[i];
        if (version->pair.mod_revision < look->from || version->pair.mod_revision > look->newest) continue;
        ++*out_count;
        digest = world_state_digest(digest, &version->pair, version->sub);
    }
    return digest;
}

static const char *check_one(const struct kv_model *model, const struct versions *versions, const struct world_look *look,
                             int64_t *out_expected, int64_t *out_got)
{
    int64_t rows, count, live, changes;
    uint64_t rows_digest = digest_rows(model, look->revision, 0, KV_HISTORY_KEYS, &rows);
    uint64_t changes_digest = digest_changes(versions, look, &changes);
    (void)digest_rows(model, look->revision, look->first, look->end, &count);
    (void)digest_rows(model, look->newest, 0, KV_HISTORY_KEYS, &live);
    const struct {
        const char *rule;
        int64_t expected, got;
    } facts[] = {
        {"K6 the past is not as it was", (int64_t)rows_digest, (int64_t)look->rows_digest},
        {"K9 keys counted in the past", count, look->count},
        {"K9 live keys", live, look->live},
        {"K8 the hash is the sum over the versions", (int64_t)sum(versions, look->revision, look->compact_revision), (int64_t)look->hash},
        {"K7 changes from the mark on are told", changes, look->changes},
        {"K7 a change is told as it was", (int64_t)changes_digest, (int64_t)look->changes_digest},
        {"K7 what nobody can see is freed, and no more", look->versions < 0 ? -1 : nearest_kept(versions, look), look->versions},
    };
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (facts[i].expected == facts[i].got) continue;
        *out_expected = facts[i].expected;
        *out_got = facts[i].got;
        return facts[i].rule;
    }
    return NULL;
}

/* Watchers were compared with what members published: was that what was written? */
static const char *check_changes(const struct versions *versions, const struct sim_looks *looks, int64_t *out_expected, int64_t *out_got)
{
    for (size_t i = 0; i < looks->change_count; i++) {
        const struct world_change *change = &looks->changes[i];
        const struct version *version = i < versions->count ? &versions->all[i] : NULL;
        bool is_same = version != NULL && version->is_delete == change->is_delete &&
                       world_state_digest(1, &version->pair, 0) == world_state_digest(1, &change->pair, 0);
        if (is_same) continue;
        *out_expected = version == NULL ? 0 : version->pair.mod_revision;
        *out_got = change->pair.mod_revision;
        return "W5 watchers are told of what was written";
    }
    return NULL;
}

/* As 32 bits: the halves of the sum, one over the other. */
static const char *check_hashes(const struct versions *versions, const struct sim_looks *looks, int64_t *out_expected, int64_t *out_got)
{
    for (uint32_t i = 0; i < looks->hash_count; i++) {
        const struct sim_hash *told = &looks->hashes[i];
        uint64_t hash = sum(versions, told->revision, told->compact_revision);
        *out_expected = (int64_t)((hash >> 32 ^ hash) & UINT32_MAX);
        *out_got = told->hash;
        if (*out_expected == *out_got) continue;
        fprintf(stderr, "m%u told a hash at revision %" PRId64 ", mark %" PRId64 "\n", told->member, told->revision, told->compact_revision);
        return "K8 HashKV tells the sum over the versions";
    }
    return NULL;
}

const char *sim_looks_check(void *context, struct kv_model *model, int64_t *out_expected, int64_t *out_got)
{
    struct sim_looks *looks = context;
    struct versions versions;
    const char *broken = NULL;
    ASSERT(looks->count == 0 || looks->looks != NULL);
    list_versions(model, &versions);
    for (uint32_t i = 0; i < looks->count && broken == NULL; i++) {
        broken = check_one(model, &versions, &looks->looks[i], out_expected, out_got);
        looks->failed = i;
    }
    if (broken == NULL) {
        looks->failed = looks->count;
        broken = check_changes(&versions, looks, out_expected, out_got);
        if (broken == NULL) broken = check_hashes(&versions, looks, out_expected, out_got);
    }
    alloc_free(versions.all);
    return broken;
}
