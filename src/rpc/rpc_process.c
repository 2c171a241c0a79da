/* rpc_process: gRPC's own process-wide state; see rpc_server.h. */
#include <grpc/grpc.h>
#include <grpc/support/log.h>

#include "base/assert.h"
#include "base/log.h"
#include "rpc/rpc_client_process.h"
#include "rpc/rpc_server.h"

/* gRPC's errors are connections' errors: a warning to us. It logs on its own threads, which have no sink: the line goes to stderr. */
static void log_from_grpc(gpr_log_func_args *args)
{
    ASSERT(args != NULL && args->message != NULL);
    enum log_level level = args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_WARN : LOG_DEBUG;
    const struct log_field fields[] = {LOG_F_TEXT("file", args->file), LOG_F_I64("line", args->line)};
    log_line(level, "grpc", args->message, fields, 2);
}

void rpc_process_init(void)
{
    rpc_client_process_tune();
    gpr_set_log_function(log_from_grpc);
    grpc_init();
    ASSERT(grpc_is_initialized());
}

void rpc_process_deinit(void)
{
    ASSERT(grpc_is_initialized());
    grpc_shutdown_blocking();
}
