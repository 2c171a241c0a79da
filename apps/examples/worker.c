/* worker: of any number of workers one at a time does the work: it counts up. All of them stand in a list of who is there, each by a key
 * that lives as long as its process does.
 *
 *     cc worker.c $(pkg-config --cflags --libs kvd-client) -o worker
 *     ./worker 127.0.0.1:2379,127.0.0.1:2389 NAME ROUNDS
 *
 * How: a lease that is kept alive carries workers/NAME. Each round takes the lock and writes by a transaction that compares the lock's
 * fence: a worker that was asleep while the lock went on to another one is refused, whatever it believes. */
#include <inttypes.h>
#include <kvd/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_SECONDS 10

static bool fail(const char *what, const struct kvd_result *result)
{
    fprintf(stderr, "worker: %s: %s%s\n", what, result->text, result->is_unknown ? " (it may have happened)" : "");
    return false;
}

/* workers/NAME, on a lease of its own. */
static bool sign_in(struct kvd_client *client, const char *name, struct kvd_keeper **out_keeper, int64_t *out_lease)
{
    char key[128];
    snprintf(key, sizeof key, "workers/%s", name);
    struct kvd_result *granted = kvd_call(client, kvd_grant(LEASE_SECONDS, 0), NULL);
    bool is_good = granted->code == KVD_OK || fail("grant", granted);
    *out_lease = granted->lease;
    if (is_good) is_good = kvd_keeper_open(client, granted->lease, granted->ttl, NULL, NULL, out_keeper) == KVD_OK;
    kvd_result_free(granted);
    if (!is_good) return false;
    struct kvd_put_options options = {.lease = *out_lease};
    struct kvd_result *put = kvd_call(client, kvd_put(kvd_text(key), kvd_text("here"), &options), NULL);
    is_good = put->code == KVD_OK || fail("put", put);
    kvd_result_free(put);
    return is_good;
}

/* Counts up, if we still hold the lock when the transaction is carried out. */
static bool count_up(struct kvd_client *client, struct kvd_lock *lock)
{
    char text[32];
    struct kvd_result *got = kvd_call(client, kvd_get(kvd_text("count")), NULL);
    bool is_good = got->code == KVD_OK || fail("get", got);
    long count = 0;
    if (is_good && got->pair_count == 1) {
        snprintf(text, sizeof text, "%.*s", (int)got->pairs[0].value.size, (const char *)got->pairs[0].value.data);
        count = strtol(text, NULL, 10);
    }
    kvd_result_free(got);
    if (!is_good) return false;
    snprintf(text, sizeof text, "%ld", count + 1);
    struct kvd_request *txn = kvd_txn();
    kvd_txn_if(txn, kvd_lock_fence(lock));
    kvd_txn_then(txn, kvd_put(kvd_text("count"), kvd_text(text), NULL));
    struct kvd_result *done = kvd_call(client, txn, NULL);
    is_good = done->code == KVD_OK || fail("count up", done);
    if (is_good && !done->succeeded) fprintf(stderr, "worker: the lock was lost, nothing was written\n");
    if (is_good && done->succeeded) printf("%s\n", text);
    is_good = is_good && done->succeeded;
    kvd_result_free(done);
    return is_good;
}

static bool work(struct kvd_client *client)
{
    struct kvd_lock *lock = NULL;
    struct kvd_lock_options options = {.ttl = LEASE_SECONDS};
    if (kvd_lock_open(client, kvd_text("counting"), &options, NULL, NULL, &lock) != KVD_OK) return false;
    enum kvd_code code = kvd_lock_wait(lock, 60000);
    if (code != KVD_OK) fprintf(stderr, "worker: no lock: %s\n", kvd_code_text(code));
    bool is_good = code == KVD_OK && count_up(client, lock);
    kvd_lock_close(lock);
    return is_good;
}

int main(int count, char **arguments)
{
    const char *endpoints[KVD_ENDPOINTS_MAX];
    struct kvd_client_options options = {.endpoints = endpoints};
    struct kvd_keeper *keeper = NULL;
    int64_t lease = 0;
    char text[256];
    if (count != 4) {
        fprintf(stderr, "usage: worker ENDPOINT[,ENDPOINT…] NAME ROUNDS\n");
        return 2;
    }
    for (char *one; (one = strsep(&arguments[1], ",")) != NULL && options.endpoint_count < KVD_ENDPOINTS_MAX;)
        endpoints[options.endpoint_count++] = one;
    struct kvd_client *client = kvd_client_new(&options, text, sizeof text);
    if (client == NULL) {
        fprintf(stderr, "worker: %s\n", text);
        return 1;
    }
    bool is_good = sign_in(client, arguments[2], &keeper, &lease);
    for (long round = strtol(arguments[3], NULL, 10); is_good && round > 0; round--) is_good = work(client);
    kvd_keeper_close(keeper);
    if (lease != 0) kvd_result_free(kvd_call(client, kvd_revoke(lease), NULL)); /* workers/NAME goes now, not in ten seconds */
    kvd_client_free(client);
    return is_good ? 0 : 1;
}
