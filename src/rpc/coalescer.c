/* coalescer: see coalescer.h.
 *
 * How it works. gRPC calls sendmsg, close and shutdown by name, so the definitions here, being in the program, are the ones
 * that it finds; they have default visibility, or a shared libgrpc would silently go past them. The real calls are made with
 * syscall(). gRPC orders its own writes to a socket: a write never overlaps the next one, whatever threads they run on.
 *
 * States of a descriptor: idle (no buffer) → held (a corked thread's list names it) → idle, or → stuck (the stuck function's owner
 * names it) → idle. What was put off and met a full kernel is held without being in a list, until gRPC repeats the write that met it.
 * Whoever sends does so with the descriptor's lock held, so that bytes leave in order; `held` is also read without the lock, to keep the
 * way of everybody else's writes short: gRPC's own order makes a write see what the write before it stored.
 *
 * Window updates. Each message that a stream receives makes gRPC write how much room there is again, 26 bytes that wake whoever sent the
 * message and tell him what he need not know yet. So a write of nothing else is not even held: its numbers are added up beside the
 * descriptor, and go before the next other write, or once they are COALESCER_UPDATE_BYTES_MAX. A sender always has the rest of its window
 * meanwhile: 65,535 bytes at least, unless a SETTINGS frame of ours said less (gRPC, out of memory); then nothing is put off. What is being
 * written is known to begin with a frame where the write before it was taken whole, and was one that gRPC had no need to divide.
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

#define UPDATES_MAX 2         /* a stream's and the connection's */
#define FRAME_HEAD_BYTES 9
#define UPDATE_FRAME_BYTES 13
#define WINDOW_BYTES 65535    /* that every stream begins with */
#define PARTS_MAX 128         /* gRPC divides a write of more than 260 */
enum { FRAME_SETTINGS = 4, FRAME_WINDOW_UPDATE = 8, SETTING_INITIAL_WINDOW = 4 };

struct coalescer_update {
    uint32_t stream, bytes;
};

struct coalescer_buffer {
    struct coalescer_buffer *next; /* in the pool */
    size_t begin, end;             /* bytes held */
    uint8_t bytes[COALESCER_BUFFER_BYTES];
};

struct coalescer_entry {
    pthread_mutex_t lock;
    atomic_bool held; /* there is a buffer, or updates */
    bool is_listed;   /* a corked thread's list has it, or the stuck function's owner */
    bool is_stuck;    /* the stuck function's owner will flush */
    atomic_bool is_eager;  /* no update is put off */
    atomic_bool is_midway; /* the next write may begin inside a frame */
    struct coalescer_buffer *buffer;
    struct coalescer_update updates[UPDATES_MAX];
    uint32_t update_count;
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
    entry->is_listed = entry->is_stuck = false;
    atomic_store(&entry->held, entry->update_count > 0);
}

/* --- window updates --- */

static uint32_t read_u32(const uint8_t *from) { return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3]; }

static uint8_t *write_u32(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(number >> (24 - 8 * i));
    return to + 4;
}

/* Of a message that is nothing else; 0: it is something else. */
static uint32_t read_updates(const struct msghdr *message, struct coalescer_update out_updates[UPDATES_MAX])
{
    static const uint8_t head[] = {0, 0, 4, FRAME_WINDOW_UPDATE, 0};
    uint8_t bytes[UPDATES_MAX * UPDATE_FRAME_BYTES];
    size_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        if (message->msg_iov[i].iov_len > sizeof bytes - size) return 0;
        if (message->msg_iov[i].iov_len > 0) memcpy(bytes + size, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        size += message->msg_iov[i].iov_len;
    }
    uint32_t count = (uint32_t)(size / UPDATE_FRAME_BYTES);
    if (size != count * UPDATE_FRAME_BYTES) return 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *frame = bytes + i * UPDATE_FRAME_BYTES;
        if (memcmp(frame, head, sizeof head) != 0) return 0;
        out_updates[i] = (struct coalescer_update){.stream = read_u32(frame + 5), .bytes = read_u32(frame + FRAME_HEAD_BYTES)};
    }
    return count;
}

static bool add_update(struct coalescer_update *updates, uint32_t *count, struct coalescer_update update)
{
    uint32_t i = 0;
    while (i < *count && updates[i].stream != update.stream) i++;
    if (i == UPDATES_MAX || update.bytes > COALESCER_UPDATE_BYTES_MAX) return false;
    if (i == *count) updates[(*count)++] = (struct coalescer_update){.stream = update.stream};
    updates[i].bytes += update.bytes;
    return updates[i].bytes <= COALESCER_UPDATE_BYTES_MAX;
}

/* With the lock held. False: they are to be written, and what was put off before them. */
static bool put_off(struct coalescer_entry *entry, const struct coalescer_update *updates, uint32_t count)
{
    struct coalescer_update sums[UPDATES_MAX];
    uint32_t sum_count = entry->update_count;
    memcpy(sums, entry->updates, sizeof sums);
    for (uint32_t i = 0; i < count; i++) {
        if (!add_update(sums, &sum_count, updates[i])) return false;
    }
    memcpy(entry->updates, sums, sizeof sums);
    entry->update_count = sum_count;
    atomic_store(&entry->held, true);
    return true;
}

/* With what was put off in front. */
static bool take_buffer(struct coalescer_entry *entry)
{
    if (entry->buffer != NULL) return true;
    struct coalescer_buffer *buffer = entry->buffer = pool_take();
    if (buffer == NULL) return false;
    for (uint32_t i = 0; i < entry->update_count; i++) {
        static const uint8_t head[] = {0, 0, 4, FRAME_WINDOW_UPDATE, 0};
        uint8_t *to = buffer->bytes + buffer->end;
        memcpy(to, head, sizeof head);
        to = write_u32(write_u32(to + sizeof head, entry->updates[i].stream), entry->updates[i].bytes);
        buffer->end = (size_t)(to - buffer->bytes);
    }
    entry->update_count = 0;
    atomic_store(&entry->held, true);
    return true;
}

/* A write that is no update: does it say how much a stream may send before it is told more? */
static void look_for_settings(struct coalescer_entry *entry, const struct msghdr *message)
{
    const struct iovec *first = message->msg_iov;
    if (message->msg_iovlen == 0 || first->iov_len < FRAME_HEAD_BYTES || atomic_load_explicit(&entry->is_midway, memory_order_relaxed)) return;
    const uint8_t *frame = first->iov_base;
    size_t size = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
    if (frame[3] != FRAME_SETTINGS || frame[4] != 0 || size > first->iov_len - FRAME_HEAD_BYTES) return;
    for (const uint8_t *at = frame + FRAME_HEAD_BYTES; at + 6 <= frame + FRAME_HEAD_BYTES + size; at += 6) {
        bool is_window = at[0] == 0 && at[1] == SETTING_INITIAL_WINDOW;
        if (is_window) atomic_store_explicit(&entry->is_eager, read_u32(at + 2) < WINDOW_BYTES, memory_order_relaxed);
    }
}

/* --- writes --- */

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
    if (!entry->is_listed) {
        if (corked.count == COALESCER_BUFFERS_MAX || !take_buffer(entry)) return false;
        corked.descriptors[corked.count++] = descriptor;
        entry->is_listed = true;
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

static void note_end(struct coalescer_entry *entry, const struct msghdr *message, bool is_whole)
{
    bool is_midway = !is_whole || message->msg_iovlen > PARTS_MAX;
    bool was_midway = atomic_load_explicit(&entry->is_midway, memory_order_relaxed);
    if (is_midway != was_midway) atomic_store_explicit(&entry->is_midway, is_midway, memory_order_relaxed);
}

/* To the kernel, behind what is held. */
static ssize_t write_now(struct coalescer_entry *entry, int descriptor, const struct msghdr *message, int flags, size_t size)
{
    ssize_t sent = syscall(SYS_sendmsg, descriptor, message, flags);
    if (sent >= 0) note_end(entry, message, (size_t)sent == size);
    return sent;
}

/* What was put off goes before; without a buffer for it, it waits on. False: gRPC writes again when the socket takes more, and that
 * flushes. */
static bool flush_all(struct coalescer_entry *entry, int descriptor)
{
    if (entry->update_count > 0) (void)take_buffer(entry);
    return entry_flush(entry, descriptor);
}

/* In place of libc's: what gRPC calls. */
__attribute__((visibility("default"))) ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    struct coalescer_entry *entry = entry_of(descriptor);
    struct coalescer_update updates[UPDATES_MAX];
    bool is_plain = (flags & ~(MSG_NOSIGNAL | MSG_DONTWAIT)) == 0 && message->msg_controllen == 0 && message->msg_name == NULL;
    if (entry == NULL || !is_plain) return syscall(SYS_sendmsg, descriptor, message, flags);
    bool is_known = !atomic_load_explicit(&entry->is_midway, memory_order_relaxed) && !atomic_load_explicit(&entry->is_eager, memory_order_relaxed);
    uint32_t update_count = is_known ? read_updates(message, updates) : 0;
    if (update_count == 0) look_for_settings(entry, message);
    size_t size = message_size(message);
    if (!corked.is_corked && update_count == 0 && !atomic_load(&entry->held)) return write_now(entry, descriptor, message, flags, size);
    pthread_mutex_lock(&entry->lock);
    bool is_put_off = update_count > 0 && entry->buffer == NULL && put_off(entry, updates, update_count);
    bool may_hold = !is_put_off && corked.is_corked && size <= COALESCER_WRITE_BYTES_MAX;
    bool is_held = may_hold && entry_hold(entry, descriptor, message, size);
    bool is_full = !is_put_off && !is_held && !flush_all(entry, descriptor);
    pthread_mutex_unlock(&entry->lock);
    if (is_held) note_end(entry, message, true);
    if (is_put_off || is_held) return (ssize_t)size;
    if (is_full) {
        errno = EAGAIN;
        return -1;
    }
    return write_now(entry, descriptor, message, flags, size);
}

/* The last chance of what is held; then the number may belong to another connection. */
static void forget(int descriptor)
{
    struct coalescer_entry *entry = entry_of(descriptor);
    if (entry == NULL || !atomic_load(&entry->held)) return;
    pthread_mutex_lock(&entry->lock);
    entry->update_count = 0; /* nobody will send any more */
    if (!entry_flush(entry, descriptor)) entry_release(entry);
    atomic_store(&entry->held, false);
    ASSERT(entry->buffer == NULL && !entry->is_stuck);
    pthread_mutex_unlock(&entry->lock);
}

__attribute__((visibility("default"))) int close(int descriptor)
{
    forget(descriptor);
    struct coalescer_entry *entry = entry_of(descriptor);
    if (entry != NULL && atomic_load_explicit(&entry->is_eager, memory_order_relaxed)) atomic_store(&entry->is_eager, false);
    if (entry != NULL && atomic_load_explicit(&entry->is_midway, memory_order_relaxed)) atomic_store(&entry->is_midway, false);
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
