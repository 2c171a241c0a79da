/* rpc_client_process: see the header. */
#include "rpc/rpc_client_process.h"

#include <stddef.h>

/* Debian builds gRPC without NDEBUG, which turns on absl's search for deadlocks at every lock: 6–7 % of the CPU per call. This is
 * absl::SetMutexDeadlockDetectionMode(kIgnore); weak, so that a libgrpc without it still links. */
extern void mutex_deadlock_detection(int mode) __asm__("_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE")
    __attribute__((weak));

void rpc_client_process_tune(void)
{
    if (mutex_deadlock_detection != NULL) mutex_deadlock_detection(0);
}
