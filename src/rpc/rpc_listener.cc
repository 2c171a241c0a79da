/* rpc_listener, the part that must be C++: gRPC's handler of accepted descriptors is a C++ object. Its class stands in gRPC's
 * src/core/lib/iomgr/tcp_server.h, which is not installed; what counts here is the order of its virtual functions. (In an anonymous namespace the compiler would conclude that
 * nobody implements them.) */
#include "rpc/rpc_listener.h"

namespace grpc_core {
class TcpServerFdHandler {
public:
    virtual ~TcpServerFdHandler() = default;
    virtual void Handle(int listener_fd, int fd, grpc_byte_buffer *pending_data) = 0;
};
} // namespace grpc_core

/* -1: no listening socket of gRPC's; no pending data: nothing was read from the connection yet. */
extern "C" void rpc_listener_handle(void *handler, int descriptor)
{
    static_cast<grpc_core::TcpServerFdHandler *>(handler)->Handle(-1, descriptor, nullptr);
}
