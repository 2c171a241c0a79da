/* rpc_listener: see rpc_listener.h. */
#include "rpc/rpc_listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "rpc/coalescer.h"

/* The argument points at rpc_listener.handler, which outlives the server: nothing to copy or free. */
static void *arg_copy(void *pointer) { return pointer; }
static void arg_destroy(void *pointer) { (void)pointer; }
static int arg_compare(void *a, void *b) { return (a > b) - (a < b); }
static const grpc_arg_pointer_vtable ARG_TABLE = {.copy = arg_copy, .destroy = arg_destroy, .cmp = arg_compare};

void rpc_listener_init(struct rpc_listener *listener, const char *name, uint64_t user_timeout_ns)
{
    ASSERT(listener != NULL && strncmp(name, "external:", 9) == 0);
    uint64_t user_timeout_ms = user_timeout_ns / NS_PER_MS;
    *listener = (struct rpc_listener){.name = name, .user_timeout_ms = user_timeout_ms > INT32_MAX ? INT32_MAX : (unsigned)user_timeout_ms};
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

/* 0: not a socket. */
static uint64_t cookie_of(int descriptor)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

static void note_cookie(struct rpc_listener *listener, int descriptor)
{
    uint32_t place = (uint32_t)descriptor, count = listener->cookie_count == 0 ? 64 : listener->cookie_count;
    while (place >= count) count *= 2;
    if (count > listener->cookie_count) {
        listener->cookies = alloc_resize(listener->cookies, count * sizeof(uint64_t));
        memset(listener->cookies + listener->cookie_count, 0, (count - listener->cookie_count) * sizeof(uint64_t));
        listener->cookie_count = count;
    }
    listener->cookies[place] = cookie_of(descriptor);
}

/* As gRPC's own listener does it. A client that reads slowly moves the window now and then, which starts the time anew. Unix sockets refuse
 * both: who leaves his full keeps the places of his calls until he closes it, or we stop. */
static void set_options(const struct rpc_listener *listener, int descriptor)
{
    int on = 1;
    unsigned user_timeout_ms = listener->user_timeout_ms;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
}

void rpc_listener_adopt(struct rpc_listener *listener, int descriptor)
{
    ASSERT(descriptor >= 0);
    set_options(listener, descriptor);
    coalescer_adopted(descriptor);
    pthread_mutex_lock(&listener->lock);
    if (listener->handler != NULL) {
        note_cookie(listener, descriptor);
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

void rpc_listener_shut_sockets(struct rpc_listener *listener)
{
    ASSERT(listener->handler == NULL);
    pthread_mutex_lock(&listener->lock);
    for (uint32_t i = 0; i < listener->cookie_count; i++) {
        if (listener->cookies[i] != 0 && cookie_of((int)i) == listener->cookies[i]) (void)shutdown((int)i, SHUT_RDWR);
    }
    pthread_mutex_unlock(&listener->lock);
}

void rpc_listener_deinit(struct rpc_listener *listener)
{
    ASSERT(listener->handler == NULL);
    alloc_free(listener->cookies);
    listener->cookies = NULL;
    int error = pthread_mutex_destroy(&listener->lock);
    ASSERT(error == 0);
}
