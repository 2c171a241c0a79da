/* rpc_client_process: what a program may ask of gRPC for the whole process; a library must not. Thread: start-up. Source: grpc-core 2.2. */
#ifndef RPC_RPC_CLIENT_PROCESS_H
#define RPC_RPC_CLIENT_PROCESS_H

void rpc_client_process_tune(void);

#endif
