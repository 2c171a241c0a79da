/* Do the bytes of held writes arrive whole, in order and on the right connection, whatever the kernel's buffers, other threads and reused
 * descriptor numbers do? Socket pairs; sendmsg, close and shutdown are the program's own here, as in the server. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "lib/rpc_rig.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_server.h"

#ifdef KVD_COALESCE

static int ends[2]; /* [0] is written to */
static int stuck_count, stuck_descriptor;

static void open_pair(int pair[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static void set_up(void) { open_pair(ends); }

static void tear_down(void)
{
    coalescer_uncork();
    coalescer_set_stuck_fn(NULL, NULL);
}

static ssize_t write_bytes(int descriptor, const void *bytes, size_t size)
{
    union {
        const void *in;
        void *base; /* iovec lacks the const */
    } data = {.in = bytes};
    struct iovec parts[2] = {{.iov_base = data.base, .iov_len = size / 2}, {.iov_base = (char *)data.base + size / 2, .iov_len = size - size / 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say(const char *text) { ck_assert_int_eq(write_bytes(ends[0], text, strlen(text)), (ssize_t)strlen(text)); }

static void expect(int descriptor, const char *text)
{
    char bytes[200] = "";
    ssize_t size = recv(descriptor, bytes, sizeof bytes - 1, MSG_DONTWAIT);
    ck_assert_int_eq(size < 0 ? 0 : size, (ssize_t)strlen(text));
    ck_assert_str_eq(bytes, text);
}

START_TEST(test_coalescer_writes_of_a_corked_thread_leave_together)
{
    say("directly;");
    expect(ends[1], "directly;");
    coalescer_cork();
    say("one ");
    say("two ");
    say("three");
    expect(ends[1], "");
    ck_assert_uint_eq(coalescer_uncork(), 0);
    expect(ends[1], "one two three");
    ck_assert(coalescer_flush_fd(ends[0])); /* nothing is held */
}
END_TEST

static void *say_elsewhere(void *context)
{
    (void)context;
    say("elsewhere");
    return NULL;
}

START_TEST(test_coalescer_another_threads_write_goes_behind_what_is_held)
{
    pthread_t thread;
    coalescer_cork();
    say("held ");
    pthread_create(&thread, NULL, say_elsewhere, NULL);
    pthread_join(thread, NULL);
    expect(ends[1], "held elsewhere");
    ck_assert_uint_eq(coalescer_uncork(), 0);
    expect(ends[1], "");
}
END_TEST

START_TEST(test_coalescer_close_and_shutdown_send_first_and_a_reused_number_is_clean)
{
    coalescer_cork();
    say("before the end");
    ck_assert_int_eq(shutdown(ends[0], SHUT_WR), 0);
    expect(ends[1], "before the end");
    int other[2], old = ends[0];
    open_pair(other);
    ck_assert_int_eq(write_bytes(other[0], "last", 4), 4);
    close(ends[0]);
    int again = dup(other[1]); /* takes the lowest free number: that of a descriptor in the thread's list */
    ck_assert_int_eq(again, old);
    close(other[0]);
    expect(again, "last");
    ck_assert_uint_eq(coalescer_uncork(), 0);
    expect(again, "");
}
END_TEST

START_TEST(test_coalescer_large_writes_go_directly_behind_what_is_held)
{
    static char large[COALESCER_WRITE_BYTES_MAX + 1], got[COALESCER_WRITE_BYTES_MAX + 10];
    memset(large, 'x', sizeof large);
    coalescer_cork();
    say("small");
    ck_assert_int_eq(write_bytes(ends[0], large, sizeof large), (ssize_t)sizeof large);
    ck_assert_int_eq(recv(ends[1], got, sizeof got, MSG_DONTWAIT), (ssize_t)sizeof large + 5);
    ck_assert_int_eq(memcmp(got, "smallx", 6), 0);
    ck_assert_uint_eq(coalescer_uncork(), 0);
}
END_TEST

static void note_stuck(void *context, int descriptor)
{
    ck_assert_ptr_eq(context, &stuck_count);
    stuck_count++;
    stuck_descriptor = descriptor;
}

/* Fills the kernel's buffer, then holds "tail"; the number of bytes before it. */
static size_t fill_and_hold(void)
{
    char block[1000] = {0};
    size_t size = 0;
    ssize_t sent;
    while ((sent = write_bytes(ends[0], block, sizeof block)) > 0) size += (size_t)sent;
    ck_assert_int_eq(errno, EAGAIN);
    coalescer_cork();
    say("tail");
    return size;
}

static void expect_all(size_t size, const char *tail)
{
    char bytes[4096];
    size_t got = 0;
    ssize_t n;
    char last[64] = "";
    while ((n = recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++, got++) {
            if (got >= size) last[got - size] = bytes[i];
        }
    }
    ck_assert_str_eq(last, tail);
    ck_assert_uint_eq(got, size + strlen(tail));
}

START_TEST(test_coalescer_full_socket_is_tried_again_at_the_next_uncork)
{
    size_t size = fill_and_hold();
    ck_assert_uint_eq(coalescer_uncork(), 1);
    ck_assert_int_eq(write_bytes(ends[0], "x", 1), -1); /* not before what is held */
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(coalescer_uncork(), 1);
    expect_all(size, "");
    ck_assert_uint_eq(coalescer_uncork(), 0);
    expect_all(0, "tail");
}
END_TEST

START_TEST(test_coalescer_full_socket_is_handed_to_the_stuck_function_once)
{
    coalescer_set_stuck_fn(note_stuck, &stuck_count);
    size_t size = fill_and_hold();
    ck_assert_uint_eq(coalescer_uncork(), 0);
    coalescer_cork();
    say(" and more"); /* is held behind */
    ck_assert_uint_eq(coalescer_uncork(), 0);
    ck_assert_int_eq(stuck_count, 1);
    ck_assert_int_eq(stuck_descriptor, ends[0]);
    ck_assert(!coalescer_flush_fd(ends[0]));
    expect_all(size, "");
    ck_assert(coalescer_flush_fd(ends[0]));
    expect_all(0, "tail and more");
}
END_TEST

START_TEST(test_coalescer_sockets_beyond_its_buffers_are_written_directly)
{
    enum { COUNT = COALESCER_BUFFERS_MAX + 20 };
    static int pairs[COUNT][2];
    coalescer_cork();
    for (int i = 0; i < COUNT; i++) {
        open_pair(pairs[i]);
        ck_assert_int_eq(write_bytes(pairs[i][0], "hello", 5), 5);
        expect(pairs[i][1], i < COALESCER_BUFFERS_MAX ? "" : "hello");
    }
    ck_assert_uint_eq(coalescer_uncork(), 0);
    for (int i = 0; i < COUNT; i++) {
        expect(pairs[i][1], i < COALESCER_BUFFERS_MAX ? "hello" : "");
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}
END_TEST

START_TEST(test_coalescer_write_to_a_dead_connection_is_dropped)
{
    coalescer_cork();
    say("to nobody");
    close(ends[1]);
    ck_assert_uint_eq(coalescer_uncork(), 0);
    ck_assert_int_eq(write_bytes(ends[0], "x", 1), -1);
    ck_assert_int_eq(errno, EPIPE);
}
END_TEST

/* ---- window updates ---- */

#define FRAME(stream, bytes) 0, 0, 4, 8, 0, 0, 0, 0, (stream), 0, 0, (uint8_t)((bytes) >> 8), (uint8_t)(bytes)
#define SETTINGS(window) 0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100, 0, 4, 0, 0, (uint8_t)((window) >> 8), (uint8_t)(window)

#define WRITE(...) \
    do { \
        static const uint8_t written[] = {__VA_ARGS__}; \
        struct iovec part = {.iov_base = memcpy(room, written, sizeof written), .iov_len = sizeof written}; \
        struct msghdr whole = {.msg_iov = &part, .msg_iovlen = 1}; \
        ck_assert_int_eq(sendmsg(ends[0], &whole, MSG_NOSIGNAL), (ssize_t)sizeof written); \
    } while (0)
#define EXPECT_BYTES(...) \
    do { \
        static const uint8_t wanted[] = {__VA_ARGS__}; \
        ck_assert_int_eq(recv(ends[1], room, sizeof wanted, MSG_DONTWAIT), (ssize_t)sizeof wanted); \
        ck_assert_mem_eq(room, wanted, sizeof wanted); \
    } while (0)
static uint8_t room[256];

START_TEST(test_coalescer_window_updates_are_added_up_until_something_else_is_written)
{
    if (_i == 1) coalescer_cork();
    WRITE(FRAME(1, 100), FRAME(0, 100));
    WRITE(FRAME(0, 50));
    WRITE(FRAME(1, 7));
    ck_assert(coalescer_flush_fd(ends[0]));
    (void)coalescer_uncork();
    expect(ends[1], "");
    if (_i == 1) coalescer_cork();
    say("word");
    (void)coalescer_uncork();
    EXPECT_BYTES(FRAME(1, 107), FRAME(0, 150), 'w', 'o', 'r', 'd');
    say("once");
    expect(ends[1], "once");
}
END_TEST

START_TEST(test_coalescer_many_window_updates_are_written)
{
    WRITE(FRAME(1, 16000), FRAME(0, 300));
    WRITE(FRAME(1, 384));
    expect(ends[1], "");
    WRITE(FRAME(1, 1));
    EXPECT_BYTES(FRAME(1, 16384), FRAME(0, 300));
    EXPECT_BYTES(FRAME(1, 1));
    WRITE(FRAME(1, 5), FRAME(0, 5));
    WRITE(FRAME(3, 5));
    EXPECT_BYTES(FRAME(1, 5), FRAME(0, 5));
    EXPECT_BYTES(FRAME(3, 5));
    WRITE(FRAME(3, 20000));
    EXPECT_BYTES(FRAME(3, 20000));
}
END_TEST

START_TEST(test_coalescer_small_windows_are_told_at_once)
{
    WRITE(FRAME(1, 10));
    WRITE(SETTINGS(1024));
    EXPECT_BYTES(FRAME(1, 10));
    EXPECT_BYTES(SETTINGS(1024));
    WRITE(FRAME(1, 10));
    EXPECT_BYTES(FRAME(1, 10));
    WRITE(SETTINGS(65535));
    EXPECT_BYTES(SETTINGS(65535));
    WRITE(FRAME(1, 10));
    expect(ends[1], "");
}
END_TEST

/* The rest of a write that the kernel did not take whole is anything, and belongs where it is. */
START_TEST(test_coalescer_the_rest_of_a_write_is_no_window_update)
{
    static const uint8_t update[] = {FRAME(1, 10)};
    char block[100000] = {0};
    ssize_t sent;
    int small = 4096;
    ck_assert_int_eq(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    do sent = write_bytes(ends[0], block, sizeof block);
    while (sent == (ssize_t)sizeof block);
    if (sent < 0) ck_assert_int_eq(errno, EAGAIN);
    while (recv(ends[1], block, sizeof block, MSG_DONTWAIT) > 0) continue;
    if (sent < 0) return; /* this kernel takes all or nothing */
    ck_assert_int_eq(write_bytes(ends[0], update, sizeof update), (ssize_t)sizeof update);
    EXPECT_BYTES(FRAME(1, 10));
    ck_assert_int_eq(write_bytes(ends[0], update, sizeof update), (ssize_t)sizeof update);
    expect(ends[1], "");
}
END_TEST

START_TEST(test_coalescer_window_updates_before_a_full_socket_come_out_in_order)
{
    char block[1000] = {0};
    size_t size = 0;
    ssize_t sent;
    WRITE(FRAME(1, 10));
    expect(ends[1], "");
    while ((sent = send(ends[0], block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) size += (size_t)sent;
    ck_assert_int_eq(write_bytes(ends[0], "late", 4), -1);
    ck_assert_int_eq(errno, EAGAIN);
    coalescer_cork();
    say("late"); /* as gRPC repeats it */
    ck_assert_uint_eq(coalescer_uncork(), 1);
    for (size_t got = 0; got < size; got += (size_t)sent) {
        sent = recv(ends[1], block, size - got < sizeof block ? size - got : sizeof block, MSG_DONTWAIT);
        ck_assert_int_gt(sent, 0);
    }
    ck_assert_uint_eq(coalescer_uncork(), 0);
    EXPECT_BYTES(FRAME(1, 10), 'l', 'a', 't', 'e');
}
END_TEST

START_TEST(test_coalescer_window_updates_of_a_closed_connection_are_forgotten)
{
    int other[2], old = ends[0];
    WRITE(FRAME(1, 10));
    WRITE(SETTINGS(7));
    WRITE(FRAME(1, 10));
    close(ends[0]);
    open_pair(other);
    ck_assert_int_eq(other[0], old);
    ends[0] = other[0];
    ends[1] = other[1];
    WRITE(FRAME(1, 11)); /* put off again */
    expect(ends[1], "");
    say("x");
    EXPECT_BYTES(FRAME(1, 11));
    expect(ends[1], "x");
}
END_TEST

START_TEST(test_coalescer_gets_grpcs_writes)
{
    rpc_process_init();
    ck_assert(coalescer_self_test());
    rpc_process_deinit();
}
END_TEST

/* ---- many sockets, slow readers ---- */
#define STREAMS 24
struct load {
    int pairs[STREAMS][2];
    uint64_t sent[STREAMS], received[STREAMS], total;
    bool is_wrong;
    pthread_t reader, finisher;
    atomic_bool stop;
    int stuck[2]; /* a pipe: numbers of stuck sockets */
};

static void to_finisher(void *context, int descriptor)
{
    const struct load *load = context;
    ck_assert_int_eq(write(load->stuck[1], &descriptor, sizeof descriptor), sizeof descriptor);
}

static void *finish_stuck(void *context)
{
    const struct load *load = context;
    int descriptor;
    while (read(load->stuck[0], &descriptor, sizeof descriptor) == sizeof descriptor && descriptor >= 0) {
        while (!coalescer_flush_fd(descriptor)) {
            struct pollfd waits = {.fd = descriptor, .events = POLLOUT};
            (void)poll(&waits, 1, 100);
        }
    }
    return NULL;
}

/* Byte n of each stream is n modulo 251. */
static void *read_all(void *context)
{
    struct load *load = context;
    struct rng rng;
    uint8_t bytes[30000];
    rng_init(&rng, 9);
    for (uint64_t left = STREAMS * load->total; left > 0;) {
        size_t i = rng_below(&rng, STREAMS);
        ssize_t size = recv(load->pairs[i][1], bytes, 1 + rng_below(&rng, sizeof bytes), MSG_DONTWAIT);
        if (size < 0) sched_yield();
        for (ssize_t k = 0; k < size; k++) load->is_wrong = load->is_wrong || bytes[k] != load->received[i]++ % 251;
        if (size > 0) left -= (uint64_t)size;
    }
    return NULL;
}

static bool write_some(struct load *load, size_t i, struct rng *rng)
{
    uint8_t bytes[40000];
    size_t size = rng_below(rng, 50) == 0 ? 40000 : 1 + rng_below(rng, 900);
    if (size > load->total - load->sent[i]) size = load->total - load->sent[i];
    if (size == 0) return false;
    for (size_t k = 0; k < size; k++) bytes[k] = (uint8_t)((load->sent[i] + k) % 251);
    ssize_t sent = write_bytes(load->pairs[i][0], bytes, size);
    if (sent > 0) load->sent[i] += (uint64_t)sent;
    if (sent <= 0) ck_assert_int_eq(errno, EAGAIN);
    return true;
}

static void run_load(bool has_finisher)
{
    static struct load load;
    struct rng rng;
    rng_init(&rng, 8);
    load.total = 1 << 20;
    for (size_t i = 0; i < STREAMS; i++) open_pair(load.pairs[i]);
    ck_assert_int_eq(pipe(load.stuck), 0);
    if (has_finisher) coalescer_set_stuck_fn(to_finisher, &load);
    pthread_create(&load.reader, NULL, read_all, &load);
    pthread_create(&load.finisher, NULL, finish_stuck, &load);
    for (size_t done = 0; done < STREAMS;) {
        coalescer_cork();
        done = 0;
        for (int k = 0; k < 64; k++) (void)write_some(&load, rng_below(&rng, STREAMS), &rng);
        for (size_t i = 0; i < STREAMS; i++) done += load.sent[i] == load.total;
        (void)coalescer_uncork();
    }
    while (coalescer_uncork() > 0) sched_yield();
    pthread_join(load.reader, NULL);
    to_finisher(&load, -1);
    pthread_join(load.finisher, NULL);
    ck_assert(!load.is_wrong);
    for (size_t i = 0; i < STREAMS; i++) ck_assert_uint_eq(load.received[i], load.total);
}

START_TEST(test_coalescer_streams_to_slow_readers_stay_whole_and_in_order) { run_load(_i == 1); }
END_TEST

int main(void)
{
    TCase *tests = tcase_create("coalescer");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_coalescer_writes_of_a_corked_thread_leave_together);
    tcase_add_test(tests, test_coalescer_another_threads_write_goes_behind_what_is_held);
    tcase_add_test(tests, test_coalescer_close_and_shutdown_send_first_and_a_reused_number_is_clean);
    tcase_add_test(tests, test_coalescer_large_writes_go_directly_behind_what_is_held);
    tcase_add_test(tests, test_coalescer_full_socket_is_tried_again_at_the_next_uncork);
    tcase_add_test(tests, test_coalescer_full_socket_is_handed_to_the_stuck_function_once);
    tcase_add_test(tests, test_coalescer_sockets_beyond_its_buffers_are_written_directly);
    tcase_add_test(tests, test_coalescer_write_to_a_dead_connection_is_dropped);
    tcase_add_loop_test(tests, test_coalescer_window_updates_are_added_up_until_something_else_is_written, 0, 2);
    tcase_add_test(tests, test_coalescer_many_window_updates_are_written);
    tcase_add_test(tests, test_coalescer_small_windows_are_told_at_once);
    tcase_add_test(tests, test_coalescer_the_rest_of_a_write_is_no_window_update);
    tcase_add_test(tests, test_coalescer_window_updates_before_a_full_socket_come_out_in_order);
    tcase_add_test(tests, test_coalescer_window_updates_of_a_closed_connection_are_forgotten);
    tcase_add_test(tests, test_coalescer_gets_grpcs_writes);
    tcase_add_loop_test(tests, test_coalescer_streams_to_slow_readers_stay_whole_and_in_order, 0, 2);
    Suite *suite = suite_create("coalescer");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#else
int main(void) { return EXIT_SUCCESS; }
#endif
