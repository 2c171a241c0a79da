/* kv_history_json: a history (kv_history.h) as JSON lines, so that whoever has real clients, in whatever language, can have it checked.
 *
 * One operation per line; lines in any order; lines that begin with '#' say nothing.
 *   process, server   numbers of the client, and of one run of one server: a restarted one is another
 *   call, return      moments of one clock for all (ns; in the simulator, its count of moments); return is null if there was no answer
 *   outcome           "ok" · "refused": it did not take effect · "unknown" · "compacted", "future": the store's definite answers
 *   revision          of the answer's header
 *   place             if any line has one: of what is a write and took effect, ascending in the order of effect, from the store itself.
 *                     Without: from the revisions of answers, and from values that were read
 *   request           one of  {"range": {key, range_end, limit, revision, sort, sort_target, keys_only, count_only, min_mod, max_mod, min_create,
 *                                        max_create, serializable}}   {"put": {key, value, prev_kv}}
 *                             {"delete": {key, range_end, prev_kv}}   {"compact": {revision}}
 *                             {"txn": {compare: [{key, target, result, number | value}], success: [request…], failure: [request…],
 *                             serializable}}   (of a transaction: any state may answer it)
 *                     target: "version", "create", "mod", "value"; result: "=", ">", "<", "!="
 *                     put also: lease, ttl (of a lease that it makes; answered as lease and ttl). grant {id, ttl} · revoke {id} · expire {id, granted: the place of its grant} (by the store; outcome unknown) · lives {id}
 *   made              the ids for leases that its puts make, from the log, in the order in which those that run take them
 *   response          range {kvs: [[key, value, create, mod, version, lease (0 may be left out)]…], count, more} · put, delete {prev_kvs, deleted} ·
 *                     grant {granted_ttl} · lives {ttl: seconds left, -1 = there is none, granted_ttl, keys} ·
 *                     txn {succeeded, responses: [response…]} of the branch that was taken
 *                     sort: "ascend", "descend"; sort_target: "key", "version", "create", "mod", "value"
 * Keys and values are text; a value that was not asked for is null; what may be left out is null, 0, false or empty. A value is written once in a history.
 * Owner: what is read belongs to the history (kv_history_deinit). Thread: one. Limits: KV_HISTORY_KEYS different keys that are named. */
#ifndef TEST_LIB_KV_HISTORY_JSON_H
#define TEST_LIB_KV_HISTORY_JSON_H
#include <stdio.h>

#include "lib/kv_history.h"

void kv_history_json_write(const struct kv_history *history, FILE *out);
/* In the order of calls, places given. False: the reason stands in `out_reason`; the history is good for nothing but its deinit. */
bool kv_history_json_read(FILE *in, struct kv_history *history, char *out_reason, size_t size);

#endif
