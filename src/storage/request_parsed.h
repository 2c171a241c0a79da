/* request_parsed: the parts of the put's check that stand-alone requests and transactions share. Private to request*.c.
 * Thread: any. Source: API, Put and Txn: an operation of a transaction is validated like its stand-alone form. */
#ifndef STORAGE_REQUEST_PARSED_H
#define STORAGE_REQUEST_PARSED_H
#include <stdint.h>

#include "base/err.h"
#include "storage/operation.h"

MUST_USE enum err request_check_parsed_put(const struct operation_put *put);
uint64_t request_parsed_put_cost(const struct operation_put *put);

#endif
