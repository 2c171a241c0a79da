/* txn_build: a transaction that is put together line by line, for txn, for the TXN block of the interactive mode and for batch --atomic.
 * Owner: txn_build_init/txn_build_deinit. Thread: main. Limits: 64 MiB of operations. */
#ifndef KVCTL_TXN_BUILD_H
#define KVCTL_TXN_BUILD_H
#include "base/arena.h"
#include "base/buf.h"
#include "ctl.h"

enum txn_part { TXN_COMPARE = 1, TXN_THEN = 2, TXN_ELSE = 3 }; /* fields of a TxnRequest */

struct txn_build {
    struct arena arena; /* the words of the line under way */
    struct buf request;
    size_t counts[4];   /* by part */
    bool has_ttl;       /* a put makes a lease */
};

void txn_build_init(struct txn_build *build);
void txn_build_deinit(struct txn_build *build);
void txn_build_clear(struct txn_build *build);
/* What a line adds. Each fails with a message, and then nothing was added. */
enum ctl_exit txn_build_compare(struct txn_build *build, const char *line);
enum ctl_exit txn_build_operation(struct txn_build *build, enum txn_part part, int count, char **words, const char *line);
/* Sends it; *out_response is owned. Fails with a message. */
enum ctl_exit txn_build_send(struct ctl *ctl, struct txn_build *build, ProtobufCMessage **out_response);

#endif
