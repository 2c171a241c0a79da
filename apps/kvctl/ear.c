/* ear: the thread waits in one poll, over a signalfd, an eventfd by which main calls it, and standard input while there is room. */
#include "ear.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"

#define LINE_BYTES_MAX (1u << 20)
#define READ_BYTES 4096

struct ear {
    struct calls *client;
    pthread_t thread;
    int signals, calls;          /* descriptors */
    pthread_mutex_t mutex;       /* all that follows */
    int signal;
    pid_t child;                 /* 0 = none */
    char *lines[EAR_LINES_MAX];  /* a ring */
    size_t first, count;
    bool wants_lines, is_over, is_stopping;
    struct buf part;             /* of a line; the thread's only */
};

void ear_signals(sigset_t *out_set)
{
    static const int ignorable[] = {SIGINT, SIGHUP};
    sigemptyset(out_set);
    sigaddset(out_set, SIGTERM);
    sigaddset(out_set, SIGCHLD);
    for (size_t i = 0; i < sizeof ignorable / sizeof ignorable[0]; i++) {
        struct sigaction how;
        int error = sigaction(ignorable[i], NULL, &how);
        ASSERT(error == 0);
        if (how.sa_handler != SIG_IGN) sigaddset(out_set, ignorable[i]);
    }
}

void ear_block_signals(void)
{
    sigset_t set;
    ear_signals(&set);
    signal(SIGCHLD, SIG_DFL); /* where a parent ignores it, children leave no status */
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    ASSERT(error == 0);
}

/* --- the thread ---------------------------------------------------------------------------------------------------------- */

static void on_signal(struct ear *ear, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;
    if (number == SIGCHLD) return; /* main looks when it is rung */
    ASSERT(number == SIGINT || number == SIGTERM || number == SIGHUP);
    pthread_mutex_lock(&ear->mutex);
    if (ear->signal == 0) ear->signal = number;
    if (ear->child != 0 && info->ssi_code != SI_KERNEL) kill(ear->child, number);
    pthread_mutex_unlock(&ear->mutex);
}

/* False: there is no room. */
static bool keep_line(struct ear *ear, const char *line, size_t size)
{
    pthread_mutex_lock(&ear->mutex);
    bool has_room = ear->count < EAR_LINES_MAX;
    if (has_room) {
        char *copy = alloc_new(size + 1);
        memcpy(copy, line, size);
        copy[size] = '\0';
        ear->lines[(ear->first + ear->count++) % EAR_LINES_MAX] = copy;
    }
    pthread_mutex_unlock(&ear->mutex);
    return has_room;
}

/* Whole lines out of what was read; what has no room stays. */
static void split_lines(struct ear *ear)
{
    struct slice text = buf_slice(&ear->part);
    size_t done = 0;
    while (done < text.size) {
        const uint8_t *start = text.data + done, *end = memchr(start, '\n', text.size - done);
        if (end == NULL || !keep_line(ear, (const char *)start, (size_t)(end - start))) break;
        done = (size_t)(end + 1 - text.data);
    }
    if (done == 0) return;
    memmove(ear->part.blob->data, text.data + done, text.size - done);
    ear->part.size = text.size - done;
}

static void end_input(struct ear *ear)
{
    pthread_mutex_lock(&ear->mutex);
    ear->is_over = true;
    pthread_mutex_unlock(&ear->mutex);
}

static void read_input(struct ear *ear)
{
    buf_reserve(&ear->part, READ_BYTES);
    ssize_t got = read(STDIN_FILENO, ear->part.blob->data + ear->part.size, READ_BYTES);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got > 0) ear->part.size += (size_t)got;
    split_lines(ear);
    if (got <= 0 || ear->part.size > LINE_BYTES_MAX) end_input(ear);
}

static bool may_read(struct ear *ear)
{
    pthread_mutex_lock(&ear->mutex);
    bool may = ear->wants_lines && !ear->is_over && ear->count < EAR_LINES_MAX;
    pthread_mutex_unlock(&ear->mutex);
    return may;
}

static bool is_stopping(struct ear *ear)
{
    pthread_mutex_lock(&ear->mutex);
    bool stopping = ear->is_stopping;
    pthread_mutex_unlock(&ear->mutex);
    return stopping;
}

static void *listen_on(void *context)
{
    struct ear *ear = context;
    while (!is_stopping(ear)) {
        struct pollfd places[3] = {{.fd = ear->signals, .events = POLLIN}, {.fd = ear->calls, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
        if (may_read(ear)) places[2].fd = STDIN_FILENO;
        if (poll(places, 3, -1) < 0) continue;
        struct signalfd_siginfo info;
        uint64_t count = 0;
        if (places[0].revents != 0 && read(ear->signals, &info, sizeof info) == (ssize_t)sizeof info) on_signal(ear, &info);
        if (places[1].revents != 0 && read(ear->calls, &count, sizeof count) == (ssize_t)sizeof count) split_lines(ear);
        if (places[2].revents != 0) read_input(ear);
        calls_ring(ear->client);
    }
    return NULL;
}

/* --- main ---------------------------------------------------------------------------------------------------------------- */

struct ear *ear_new(struct calls *client, bool wants_lines)
{
    struct ear *ear = ALLOC(struct ear);
    sigset_t set;
    ear_signals(&set);
    ear->client = client;
    ear->wants_lines = wants_lines;
    ear->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    ear->calls = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(ear->signals >= 0 && ear->calls >= 0);
    buf_init(&ear->part);
    pthread_mutex_init(&ear->mutex, NULL);
    int error = pthread_create(&ear->thread, NULL, listen_on, ear);
    ASSERT(error == 0);
    return ear;
}

static void call(struct ear *ear)
{
    uint64_t one = 1;
    ssize_t wrote = write(ear->calls, &one, sizeof one);
    ASSERT(wrote == (ssize_t)sizeof one);
}

void ear_free(struct ear *ear)
{
    if (ear == NULL) return;
    pthread_mutex_lock(&ear->mutex);
    ear->is_stopping = true;
    pthread_mutex_unlock(&ear->mutex);
    call(ear);
    pthread_join(ear->thread, NULL);
    for (size_t i = 0; i < ear->count; i++) alloc_free(ear->lines[(ear->first + i) % EAR_LINES_MAX]);
    buf_deinit(&ear->part);
    pthread_mutex_destroy(&ear->mutex);
    close(ear->signals);
    close(ear->calls);
    alloc_free(ear);
}

int ear_signal(struct ear *ear)
{
    pthread_mutex_lock(&ear->mutex);
    int number = ear->signal;
    pthread_mutex_unlock(&ear->mutex);
    return number;
}

char *ear_line(struct ear *ear, bool *out_is_over)
{
    ASSERT(ear->wants_lines);
    char *line = NULL;
    pthread_mutex_lock(&ear->mutex);
    bool was_full = ear->count == EAR_LINES_MAX;
    if (ear->count > 0) {
        line = ear->lines[ear->first];
        ear->first = (ear->first + 1) % EAR_LINES_MAX;
        ear->count--;
    }
    *out_is_over = line == NULL && ear->is_over;
    pthread_mutex_unlock(&ear->mutex);
    if (was_full) call(ear);
    return line;
}

void ear_adopt(struct ear *ear, pid_t child)
{
    pthread_mutex_lock(&ear->mutex);
    ASSERT(ear->child == 0 && child > 0);
    ear->child = child;
    pthread_mutex_unlock(&ear->mutex);
}

/* The child stays unreaped, and its number its own, until nobody can send it a signal any more. */
bool ear_child_ended(struct ear *ear, bool wait, int *out_status)
{
    siginfo_t info = {.si_pid = 0};
    pid_t child = ear->child; /* written by this thread only */
    ASSERT(child > 0);
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG)) < 0) ASSERT(errno == EINTR);
    if (info.si_pid == 0) return false;
    pthread_mutex_lock(&ear->mutex);
    ear->child = 0;
    pthread_mutex_unlock(&ear->mutex);
    while (waitpid(child, out_status, 0) < 0) ASSERT(errno == EINTR);
    return true;
}
