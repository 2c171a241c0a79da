/* coalescer: the writes of one drain leave in one send() per socket. gRPC's C core makes one sendmsg() per call that it answers;
 * merged, a reply costs 40 % less CPU. Not a gRPC interface: the program's own sendmsg, close and shutdown take the place of libc's.
 *
 * A thread that is corked has its small writes on sockets held; uncork sends them. Other threads' writes on the same socket go
 * behind what is held, close() and shutdown() send it first, so that order is kept and a reused descriptor starts clean.
 * HTTP/2's window updates alone are put off, corked or not, until something else is written to the socket or they are many (coalescer.c).
 * A socket whose kernel buffer is full when its turn comes is handed to the stuck function, whose owner waits until it is writable
 * (EPOLLOUT) and calls coalescer_flush_fd until that says true. Without one the thread's next uncork tries again.
 *
 * Owner: process-wide (one table by descriptor). Thread: cork and uncork in pairs on one thread; the rest on any;
 * coalescer_set_stuck_fn before the first cork.
 * Limits: COALESCER_BUFFERS_MAX sockets with held bytes at once, of COALESCER_BUFFER_BYTES each; beyond both, writes go directly.
 * Left out of the build without KVD_COALESCE: then these functions do nothing, and everything works as before, slower.
 * Source: measured; looked up again at every change of libgrpc. */
#ifndef RPC_COALESCER_H
#define RPC_COALESCER_H
#include <stdbool.h>
#include <stddef.h>

#define COALESCER_DESCRIPTORS_MAX 65536 /* sockets with higher numbers are never held */
#define COALESCER_BUFFERS_MAX 256
#define COALESCER_BUFFER_BYTES 65536
#define COALESCER_UPDATE_BYTES_MAX 16384 /* of the 65,535 that a sender has: what it is not told of yet */
#define COALESCER_WRITE_BYTES_MAX 16384 /* larger writes are not copied: they go directly, behind what is held */

typedef void coalescer_stuck_fn(void *context, int descriptor);

#ifdef KVD_COALESCE
void coalescer_set_stuck_fn(coalescer_stuck_fn *fn, void *context); /* fn NULL = try again at uncork */
void coalescer_cork(void);             /* this thread's writes are held from now on; corking twice is corking once */
size_t coalescer_uncork(void);         /* sends them; returns how many sockets wait for this thread's next uncork */
/* A connection that this thread has accepted and gives to gRPC: gRPC carries the order to whoever writes to it, which TSan does not see. */
void coalescer_adopted(int descriptor);
bool coalescer_flush_fd(int descriptor); /* true = nothing is held any more (or it cannot be sent), false = still full */
bool coalescer_self_test(void);        /* does gRPC's write on a socket pair come here? gRPC must be initialised */
#else
static inline void coalescer_set_stuck_fn(coalescer_stuck_fn *fn, void *context) { (void)fn, (void)context; }
static inline void coalescer_cork(void) {}
static inline size_t coalescer_uncork(void) { return 0; }
static inline void coalescer_adopted(int descriptor) { (void)descriptor; }
static inline bool coalescer_flush_fd(int descriptor) { return (void)descriptor, true; }
static inline bool coalescer_self_test(void) { return false; }
#endif

#endif
