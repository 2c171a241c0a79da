/* coalescer: see coalescer.h.
 *
 * How it works. gRPC calls sendmsg, close and shutdown by name, so the definitions here, being in the program, are the ones
 * that it finds; they have default visibility, or a shared libgrpc would silently go past them. The real calls are made with
 * syscall(). gRPC orders its own writes to a socket: a write never overlaps the next one, whatever threads they run on.
 *
 * States of a descriptor: idle (no buffer) → held (a corked thread's list names it) → idle, or → stuck (the stuck function's owner
 * names it) → idle. Whoever sends does so with the descriptor's lock held, so that bytes leave in order; `held` is also read without
 * the lock, to keep the way of everybody else's writes short: gRPC's own order makes a write see what the write before it stored.
 *
 * Why EAGAIN may be answered for a write that finds the kernel's buffer full of held bytes: send() itself has just met EAGAIN on this
 * socket, so the edge that gRPC's epoll waits for is still to come.
 * Why a failed send may drop its bytes: the connection is dead, and gRPC learns it from its next read. */
#ifdef KVD_COALESCE
#include "rpc/coalescer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "rpc/rpc_tag.h"

struct coalescer_buffer {
    struct coalescer_buffer *next; /* in the pool */
    size_t begin, end;             /* bytes held */
    uint8_t bytes[COALESCER_BUFFER_BYTES];
};

struct coalescer_entry {
    pthread_mutex_t lock;
    atomic_bool held; /* buffer != NULL */
    bool is_stuck;    /* the stuck function's owner will flush */
    struct coalescer_buffer *buffer;
};

/* The process's one table: descriptors are the process's, too. All zeros is every member's initial state. */
static struct coalescer_entry entries[COALESCER_DESCRIPTORS_MAX];
static struct {
    pthread_mutex_t lock;
    struct coalescer_buffer *free;
    size_t made;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};
static coalescer_stuck_fn *stuck_fn;
static void *stuck_context;

static __thread struct {
    bool is_corked;
    size_t count;
    int descriptors[COALESCER_BUFFERS_MAX]; /* that this thread has to flush */
} corked;

static struct coalescer_buffer *pool_take(void)
{
    pthread_mutex_lock(&pool.lock);
    struct coalescer_buffer *buffer = pool.free;
    bool make = buffer == NULL && pool.made < COALESCER_BUFFERS_MAX;
    if (buffer != NULL) pool.free = buffer->next;
    if (make) pool.made++;
    pthread_mutex_unlock(&pool.lock);
    if (make) buffer = alloc_new(sizeof *buffer);
    if (buffer != NULL) buffer->begin = buffer->end = 0;
    return buffer;
}

static void pool_give(struct coalescer_buffer *buffer)
{
    ASSERT(buffer != NULL);
    pthread_mutex_lock(&pool.lock);
    ASSERT(pool.made > 0);
    buffer->next = pool.free;
    pool.free = buffer;
    pthread_mutex_unlock(&pool.lock);
}

static void entry_release(struct coalescer_entry *entry)
{
    ASSERT(entry->buffer != NULL);
    pool_give(entry->buffer);
    entry->buffer = NULL;
    entry->is_stuck = false;
    atomic_store(&entry->held, false);
}

/* Sends what is held, with the lock held. False = the kernel takes no more now. */
static bool entry_flush(struct coalescer_entry *entry, int descriptor)
{
    struct coalescer_buffer *buffer = entry->buffer;
    RPC_TAG_ACQUIRE(entry);
    while (buffer != NULL && buffer->begin < buffer->end) {
        ssize_t sent = send(descriptor, buffer->bytes + buffer->begin, buffer->end - buffer->begin, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (sent < 0) break;
        buffer->begin += (size_t)sent;
        ASSERT(buffer->begin <= buffer->end);
    }
    if (buffer != NULL) entry_release(entry);
    return true;
}

/* Appends the message to what is held, with the lock held. False = there is no room. */
static bool entry_hold(struct coalescer_entry *entry, int descriptor, const struct msghdr *message, size_t size)
{
    if (entry->buffer == NULL) {
        if (corked.count == COALESCER_BUFFERS_MAX) return false;
        entry->buffer = pool_take();
        if (entry->buffer == NULL) return false;
        atomic_store(&entry->held, true);
        corked.descriptors[corked.count++] = descriptor;
    }
    struct coalescer_buffer *buffer = entry->buffer;
    ASSERT(buffer->end <= COALESCER_BUFFER_BYTES);
    if (size > COALESCER_BUFFER_BYTES - buffer->end) return false;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        if (message->msg_iov[i].iov_len == 0) continue;
        memcpy(buffer->bytes + buffer->end, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        buffer->end += message->msg_iov[i].iov_len;
    }
    return true;
}

static struct coalescer_entry *entry_of(int descriptor)
{
    return descriptor >= 0 && descriptor < COALESCER_DESCRIPTORS_MAX ? &entries[descriptor] : NULL;
}

static size_t message_size(const struct msghdr *message)
{
    size_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) size += message->msg_iov[i].iov_len;
    return size;
}

/* In place of libc's: what gRPC calls. */
__attribute__((visibility("default"))) ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    struct coalescer_entry *entry = entry_of(descriptor);
    bool may_hold = corked.is_corked && (flags & ~(MSG_NOSIGNAL | MSG_DONTWAIT)) == 0 && message->msg_controllen == 0 &&
                    message->msg_name == NULL;
    if (entry == NULL || (!may_hold && !atomic_load(&entry->held))) return syscall(SYS_sendmsg, descriptor, message, flags);
    size_t size = message_size(message);
    pthread_mutex_lock(&entry->lock);
    bool is_held = may_hold && size <= COALESCER_WRITE_BYTES_MAX && entry_hold(entry, descriptor, message, size);
    bool is_full = !is_held && !entry_flush(entry, descriptor);
    pthread_mutex_unlock(&entry->lock);
    if (is_held) return (ssize_t)size;
    if (is_full) {
        errno = EAGAIN;
        return -1;
    }
    return syscall(SYS_sendmsg, descriptor, message, flags);
}

/* The last chance of what is held; then the number may belong to another connection. */
static void forget(int descriptor)
{
    struct coalescer_entry *entry = entry_of(descriptor);
    if (entry == NULL || !atomic_load(&entry->held)) return;
    pthread_mutex_lock(&entry->lock);
    if (!entry_flush(entry, descriptor)) entry_release(entry);
    ASSERT(entry->buffer == NULL && !entry->is_stuck);
    pthread_mutex_unlock(&entry->lock);
}

__attribute__((visibility("default"))) int close(int descriptor)
{
    forget(descriptor);
    return (int)syscall(SYS_close, descriptor);
}

__attribute__((visibility("default"))) int shutdown(int descriptor, int how)
{
    if (how != SHUT_RD) forget(descriptor);
    return (int)syscall(SYS_shutdown, descriptor, how);
}

void coalescer_set_stuck_fn(coalescer_stuck_fn *fn, void *context)
{
    ASSERT(!corked.is_corked && corked.count == 0);
    stuck_fn = fn;
    stuck_context = context;
}

void coalescer_cork(void)
{
    ASSERT(corked.count <= COALESCER_BUFFERS_MAX);
    corked.is_corked = true;
}

size_t coalescer_uncork(void)
{
    ASSERT(corked.count <= COALESCER_BUFFERS_MAX);
    corked.is_corked = false;
    size_t left = 0;
    for (size_t i = 0; i < corked.count; i++) {
        int descriptor = corked.descriptors[i];
        struct coalescer_entry *entry = &entries[descriptor];
        if (!atomic_load(&entry->held)) continue;
        pthread_mutex_lock(&entry->lock);
        bool again = !entry->is_stuck && !entry_flush(entry, descriptor);
        if (again && stuck_fn != NULL) entry->is_stuck = true;
        pthread_mutex_unlock(&entry->lock);
        if (again && stuck_fn != NULL) stuck_fn(stuck_context, descriptor);
        if (again && stuck_fn == NULL) corked.descriptors[left++] = descriptor;
    }
    corked.count = left;
    return left;
}

void coalescer_adopted(int descriptor)
{
    struct coalescer_entry *entry = entry_of(descriptor);
    ASSERT(entry == NULL || !atomic_load(&entry->held)); /* close() has sent what an earlier connection of this number held */
    if (entry != NULL) RPC_TAG_RELEASE(entry);
}

bool coalescer_flush_fd(int descriptor)
{
    struct coalescer_entry *entry = entry_of(descriptor);
    ASSERT(entry != NULL);
    if (!atomic_load(&entry->held)) return true;
    pthread_mutex_lock(&entry->lock);
    bool done = entry_flush(entry, descriptor);
    ASSERT(!done || entry->buffer == NULL);
    pthread_mutex_unlock(&entry->lock);
    return done;
}

/* A gRPC channel on one end of a socket pair writes the HTTP/2 preface: held while corked, there once uncorked. */
bool coalescer_self_test(void)
{
    int pair[2];
    char bytes[24];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return false;
    ASSERT(!corked.is_corked && pair[0] >= 0 && pair[1] >= 0);
    coalescer_cork();
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create_from_fd("coalescer", pair[0], credentials, NULL);
    bool was_held = entry_of(pair[0]) != NULL && atomic_load(&entries[pair[0]].held) &&
                    recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT) < 0;
    (void)coalescer_uncork();
    bool has_come = recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT) == sizeof bytes && memcmp(bytes, "PRI * HTTP/2.0", 14) == 0;
    grpc_channel_destroy(channel); /* closes pair[0] */
    grpc_channel_credentials_release(credentials);
    close(pair[1]);
    return was_held && has_come;
}
#endif
