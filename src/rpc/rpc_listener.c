/* rpc_listener: see rpc_listener.h. */
#include "rpc/rpc_listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "rpc/coalescer.h"

/* The argument points at rpc_listener.handler, which outlives the server: nothing to copy or free. */
static void *arg_copy(void *pointer) { return pointer; }
static void arg_destroy(void *pointer) { (void)pointer; }
static int arg_compare(void *a, void *b) { return (a > b) - (a < b); }
static const grpc_arg_pointer_vtable ARG_TABLE = {.copy = arg_copy, .destroy = arg_destroy, .cmp = arg_compare};

void rpc_listener_init(struct rpc_listener *listener, const char *name)
{
    ASSERT(listener != NULL && strncmp(name, "external:", 9) == 0);
    listener->name = name;
    listener->handler = NULL;
    int error = pthread_mutex_init(&listener->lock, NULL);
    ASSERT(error == 0);
}

grpc_arg rpc_listener_arg(struct rpc_listener *listener)
{
    char *key = (char *)(uintptr_t)listener->name; /* gRPC's struct lacks the const */
    return (grpc_arg){.type = GRPC_ARG_POINTER, .key = key, .value.pointer = {.p = &listener->handler, .vtable = &ARG_TABLE}};
}

void rpc_listener_bind(struct rpc_listener *listener, grpc_server *server, grpc_server_credentials *credentials)
{
    grpc_server_credentials *own = credentials == NULL ? grpc_insecure_server_credentials_create() : NULL;
    (void)grpc_server_add_http2_port(server, listener->name, own != NULL ? own : credentials); /* an external port's number is 0, as is a failure's */
    if (own != NULL) grpc_server_credentials_release(own);
    ASSERT(listener->handler != NULL);
}

void rpc_listener_adopt(struct rpc_listener *listener, int descriptor)
{
    ASSERT(descriptor >= 0);
    int on = 1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* gRPC's own listener does it; unix sockets refuse */
    coalescer_adopted(descriptor);
    pthread_mutex_lock(&listener->lock);
    if (listener->handler != NULL) {
        rpc_listener_handle(listener->handler, descriptor);
    } else {
        close(descriptor);
    }
    pthread_mutex_unlock(&listener->lock);
}

void rpc_listener_close(struct rpc_listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    listener->handler = NULL;
    pthread_mutex_unlock(&listener->lock);
}

void rpc_listener_deinit(struct rpc_listener *listener)
{
    ASSERT(listener->handler == NULL);
    int error = pthread_mutex_destroy(&listener->lock);
    ASSERT(error == 0);
}
