/* process: everything that belongs to the process and not to a node: signals, descriptor limit, log level and format,
 * gRPC's own state, the coalescer's proof, the allocator's configuration, the service manager. Owner: main. Thread:
 * main. */
#ifndef KVD_PROCESS_H
#define KVD_PROCESS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/metrics.h"

/* Before any thread is made, since threads inherit the signal mask. */
void process_init(enum log_level level, enum log_format format);
void process_deinit(void); /* blocks until gRPC's threads are gone */

/* A signalfd of SIGTERM, SIGINT, SIGHUP and SIGUSR1. */
int process_signals_open(void);
/* Takes one; 0 = there is none. From the first that stops the process on, a second one ends it at once. */
int process_signals_take(int descriptor);

/* What the service manager is told, when there is one (systemd's sd_notify). */
void process_notify_ready(void);
void process_notify_stopping(void);
void process_notify_alive(void);
void process_notify_reloading(void); /* ready again is the end of it */
uint64_t process_watchdog_ns(void); /* how often it wants to hear so; 0 = never */

/* Where the memory is, in one line. */
void process_log_memory(const struct metrics *metrics);

#endif
