/* Does the door hand on what speaks HTTP/2, answer or close what does not, stay within its descriptors, and open every kind of listener?
 * Connections over loopback; the door is stepped by hand, on a clock of the test's. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "pipeline/door_actor.h"
#include "pipeline/door_listen.h"
#include "rpc/coalescer.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define ADOPTED_MAX 600

struct port_end {
    int adopted[ADOPTED_MAX];
    int count;
};
static struct config config;
static struct shared shared;
static struct port_end client_end, client_tls_end, peer_end;
static struct door_actor *door;
static uint64_t now_ns;
static char message[512];

static void adopt(void *context, int descriptor)
{
    struct port_end *end = context;
    ck_assert_int_lt(end->count, ADOPTED_MAX);
    end->adopted[end->count++] = descriptor;
}

static bool open_door(const char *client_urls, const char *peer_urls)
{
    config_init(&config);
    config.listen_client_urls = client_urls;
    config.listen_peer_urls = peer_urls;
    struct door_options options = {.config = &config, .shared = &shared, .client = {.adopt = adopt, .context = &client_end},
                                   .client_tls = {.adopt = adopt, .context = &client_tls_end},
                                   .peer = {.adopt = adopt, .context = &peer_end}};
    door = door_actor_new(&options, message, sizeof message);
    now_ns = NS_PER_S;
    return door != NULL;
}

static void set_up(void)
{
    ck_assert_msg(open_door("http://127.0.0.1:0", "http://127.0.0.1:0"), "%s", message);
}

static void tear_down(void)
{
    door_actor_free(door);
    for (int i = 0; i < client_end.count; i++) close(client_end.adopted[i]);
    for (int i = 0; i < client_tls_end.count; i++) close(client_tls_end.adopted[i]);
    for (int i = 0; i < peer_end.count; i++) close(peer_end.adopted[i]);
}

/* Steps until nothing has happened for a moment: events of loopback need one. */
static void step(void)
{
    for (int i = 0; i < 3; i++) {
        while (actor_step(door_actor_base(door), now_ns)) continue;
        usleep(2000);
    }
}

static uint16_t port_of(const char *addresses) { return (uint16_t)atoi(strrchr(addresses, ':') + 1); }

static int dial_port(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int dial(void) { return dial_port(port_of(door_actor_client_addresses(door))); }

static void say(int fd, const char *bytes, size_t size) { ck_assert_int_eq(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size); }

/* Has the other side closed? Reads away what it said before. */
static bool is_closed(int fd)
{
    char bytes[1000];
    ssize_t size;
    while ((size = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) continue;
    return size == 0 || errno == ECONNRESET;
}

START_TEST(test_door_hands_on_after_the_whole_preface_and_takes_nothing_of_it)
{
    char got[64];
    int fd = dial();
    for (size_t i = 0; i < 24; i++) {
        ck_assert_int_eq(client_end.count, 0);
        say(fd, &PREFACE[i], 1);
        step();
    }
    ck_assert_int_eq(client_end.count, 1);
    ck_assert_int_eq(recv(client_end.adopted[0], got, sizeof got, 0), 24);
    ck_assert_int_ne(fcntl(client_end.adopted[0], F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(client_end.adopted[0], F_GETFD) & FD_CLOEXEC, 0);
    int peer = dial_port(port_of(door_actor_peer_addresses(door)));
    say(peer, PREFACE "and more", 32);
    step();
    ck_assert_int_eq(peer_end.count, 1);
    ck_assert_int_eq(recv(peer_end.adopted[0], got, sizeof got, 0), 32);
    close(fd);
    close(peer);
}
END_TEST

START_TEST(test_door_closes_what_speaks_something_else)
{
    static const char *const OTHERS[] = {"\x16\x03\x01\x02\x00", "garbage", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "\x00\x01", "pri * http"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        int fd = dial();
        say(fd, OTHERS[i], i == 3 ? 2 : strlen(OTHERS[i]));
        step();
        ck_assert_msg(is_closed(fd), "%zu", i);
        close(fd);
    }
    int half = dial();
    say(half, PREFACE, 10);
    step();
    close(half); /* its bytes stay unread: only the hang-up says it */
    step();
    ck_assert_int_eq(client_end.count, 0);
}
END_TEST

START_TEST(test_door_answers_http1_and_reads_the_request_to_its_end)
{
    static char body[300000];
    char got[2000] = "";
    int fd = dial();
    say(fd, "POST /v3/kv/put HTTP/1.1\r\n\r\n", 28);
    step();
    for (size_t sent = 0; sent < sizeof body; sent += 10000) {
        say(fd, body + sent, 10000);
        step();
    }
    ck_assert_int_gt(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), 0);
    ck_assert_ptr_nonnull(strstr(got, "HTTP/1.1 505"));
    ck_assert_ptr_nonnull(strstr(got, "\r\n\r\nthis port speaks gRPC: HTTP/2 with prior knowledge"));
    ck_assert(is_closed(fd));
    close(fd);
    step();
    ck_assert_int_eq(client_end.count, 0);
}
END_TEST

START_TEST(test_door_closes_a_silent_connection_after_its_time)
{
    int silent = dial(), slow = dial();
    say(slow, PREFACE, 5);
    step();
    ck_assert(actor_deadline_ns(door_actor_base(door)) == now_ns + DOOR_PREFACE_TIMEOUT_NS);
    now_ns += DOOR_PREFACE_TIMEOUT_NS - 1;
    step();
    ck_assert(!is_closed(silent) && !is_closed(slow));
    now_ns += 1;
    step();
    ck_assert(is_closed(silent) && is_closed(slow));
    ck_assert(actor_deadline_ns(door_actor_base(door)) == CLOCK_NEVER);
    close(silent);
    close(slow);
}
END_TEST

START_TEST(test_door_lets_the_oldest_go_when_too_many_are_silent)
{
    enum { MANY = DOOR_PENDING_MAX / 3 + 5 };
    struct rlimit limit;
    static int fds[MANY];
    getrlimit(RLIMIT_NOFILE, &limit);
    door_actor_free(door);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    set_up();
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        while (actor_step(door_actor_base(door), now_ns)) continue;
    }
    int peer = dial_port(port_of(door_actor_peer_addresses(door)));
    step();
    for (int i = 0; i < MANY; i++) ck_assert_int_eq(is_closed(fds[i]), i < 5);
    ck_assert(!is_closed(peer));
    say(fds[MANY - 1], PREFACE, 24);
    say(peer, PREFACE, 24);
    step();
    ck_assert_int_eq(client_end.count, 1);
    ck_assert_int_eq(peer_end.count, 1);
    for (int i = 0; i < MANY; i++) close(fds[i]);
    close(peer);
}
END_TEST

/* ---- descriptors: the clients live in a process of their own ---- */

struct crowd {
    pid_t pid;
    int orders[2], answers[2];
};

struct order {
    char kind; /* 'd' dial and say the preface, 'r' report how many are closed, 'x' close all */
    uint16_t port;
};

static void crowd_run(const struct crowd *crowd)
{
    static int fds[400];
    int count = 0;
    struct order order;
    while (read(crowd->orders[0], &order, sizeof order) == sizeof order) {
        int answer = 0;
        if (order.kind == 'd') {
            fds[count] = dial_port(order.port);
            (void)send(fds[count++], PREFACE, 24, MSG_NOSIGNAL);
        }
        for (int i = 0; order.kind == 'r' && i < count; i++) answer += is_closed(fds[i]);
        for (int i = 0; order.kind == 'x' && i < count; i++) close(fds[i]);
        if (order.kind == 'x') count = 0;
        if (write(crowd->answers[1], &answer, sizeof answer) != sizeof answer) break;
    }
    _exit(0);
}

static int crowd_ask(const struct crowd *crowd, char kind, uint16_t port)
{
    struct order order = {.kind = kind, .port = port};
    int answer = -1;
    ck_assert_int_eq(write(crowd->orders[1], &order, sizeof order), sizeof order);
    ck_assert_int_eq(read(crowd->answers[0], &answer, sizeof answer), sizeof answer);
    return answer;
}

/* The crowd, then the limit, then the door. */
static void crowd_start(struct crowd *crowd, uint32_t descriptors)
{
    struct rlimit limit = {.rlim_cur = descriptors, .rlim_max = descriptors};
    ck_assert_int_eq(pipe(crowd->orders), 0);
    ck_assert_int_eq(pipe(crowd->answers), 0);
    crowd->pid = fork();
    ck_assert_int_ge(crowd->pid, 0);
    close(crowd->orders[crowd->pid == 0 ? 1 : 0]);
    close(crowd->answers[crowd->pid == 0 ? 0 : 1]);
    if (crowd->pid == 0) crowd_run(crowd);
    door_actor_free(door);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    set_up();
}

static void crowd_end(const struct crowd *crowd)
{
    close(crowd->orders[1]);
    close(crowd->answers[0]);
    ck_assert_int_eq(waitpid(crowd->pid, NULL, 0), crowd->pid);
}

START_TEST(test_door_with_few_descriptors_refuses_clients_keeps_room_and_serves_on)
{
    struct crowd crowd;
    crowd_start(&crowd, 64);
    uint16_t client_port = port_of(door_actor_client_addresses(door)), peer_port = port_of(door_actor_peer_addresses(door));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 120; i++) (void)crowd_ask(&crowd, 'd', client_port);
        step();
        int accepted = client_end.count;
        ck_assert_int_gt(accepted, 20);
        ck_assert_int_eq(crowd_ask(&crowd, 'r', 0), 120 - accepted);
        ck_assert_uint_eq(METRIC_GET(&shared.metrics, client_refused_connections), (uint64_t)(round + 1) * (120 - (uint64_t)accepted));
        for (int i = 0; i < 4; i++) (void)crowd_ask(&crowd, 'd', peer_port); /* members still come in */
        step();
        ck_assert_int_eq(peer_end.count, 4);
        int files[8]; /* and the log can open files */
        for (int i = 0; i < 8; i++) ck_assert_int_ge(files[i] = open("/dev/null", O_RDONLY), 0);
        for (int i = 0; i < 8; i++) close(files[i]);
        (void)crowd_ask(&crowd, 'x', 0);
        while (client_end.count > 0) close(client_end.adopted[--client_end.count]);
        while (peer_end.count > 0) close(peer_end.adopted[--peer_end.count]);
        step();
    }
    crowd_end(&crowd);
}
END_TEST

START_TEST(test_door_without_any_descriptor_refuses_by_its_reserve_and_comes_back)
{
    struct crowd crowd;
    int files[64], count = 0;
    crowd_start(&crowd, 64);
    uint16_t client_port = port_of(door_actor_client_addresses(door));
    while ((files[count] = open("/dev/null", O_RDONLY)) >= 0) count++;
    ck_assert_int_eq(errno, EMFILE);
    for (int i = 0; i < 100; i++) (void)crowd_ask(&crowd, 'd', client_port);
    step();
    step();
    ck_assert_int_eq(client_end.count, 0);
    ck_assert_int_eq(crowd_ask(&crowd, 'r', 0), 100);
    while (count > 0) close(files[--count]);
    (void)crowd_ask(&crowd, 'd', client_port);
    step();
    ck_assert_int_eq(client_end.count, 1);
    crowd_end(&crowd);
}
END_TEST

/* ---- listeners ---- */

START_TEST(test_door_listens_on_every_kind_of_address)
{
    char urls[200], path[100];
    door_actor_free(door);
    snprintf(path, sizeof path, "/tmp/kvd-door-%d", getpid());
    snprintf(urls, sizeof urls, "http://localhost:0, unix://%s", path);
    ck_assert_msg(open_door(urls, "http://[::1]:0,http://127.0.0.1:0"), "%s", message);
    const char *clients = door_actor_client_addresses(door);
    ck_assert_msg(strncmp(clients, "127.0.0.1:", 10) == 0 && strstr(clients, ",unix:///tmp/") != NULL, "%s", clients);
    uint16_t port = (uint16_t)atoi(clients + 10);
    ck_assert_uint_ne(port, 0);
    char second[40];
    snprintf(second, sizeof second, "[::1]:%u", port); /* localhost is both, on one port */
    ck_assert_msg(strstr(clients, second) != NULL, "%s", clients);
    ck_assert_msg(strncmp(door_actor_peer_addresses(door), "[::1]:", 6) == 0, "%s", door_actor_peer_addresses(door));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    say(fd, PREFACE, 24);
    step();
    ck_assert_int_eq(client_end.count, 1);
    struct door_listen other[DOOR_LISTEN_MAX]; /* a live socket file is not taken away */
    snprintf(urls, sizeof urls, "unix://%s", path);
    ck_assert_int_eq(door_listen_open(urls, other, message, sizeof message), -1);
    door_actor_free(door);
    ck_assert_int_ne(access(path, F_OK), 0);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0); /* one that nobody listens on is */
    ck_assert_int_eq(bind(stale, (struct sockaddr *)&address, sizeof address), 0);
    close(stale);
    ck_assert_int_eq(door_listen_open(urls, other, message, sizeof message), 1);
    door_listen_close(&other[0]);
    close(fd);
    set_up();
}
END_TEST

START_TEST(test_door_says_why_it_cannot_listen)
{
    char url[64], expected[128];
    struct door_listen listeners[DOOR_LISTEN_MAX];
    uint16_t port = port_of(door_actor_client_addresses(door));
    snprintf(url, sizeof url, "http://127.0.0.1:0,http://127.0.0.1:%u", port);
    snprintf(expected, sizeof expected, "cannot listen on 127.0.0.1:%u: Address already in use", port);
    ck_assert_int_eq(door_listen_open(url, listeners, message, sizeof message), -1);
    ck_assert_str_eq(message, expected);
    ck_assert_int_eq(door_listen_open("http://example.invalid:1", listeners, message, sizeof message), -1);
    ck_assert_msg(strstr(message, "an IP address or localhost is needed to listen on") != NULL, "%s", message);
    ck_assert_int_eq(door_listen_open("unix:///no/such/directory/s", listeners, message, sizeof message), -1);
    ck_assert_msg(strstr(message, "No such file or directory") != NULL, "%s", message);
}
END_TEST

/* ---- mail, rings and stuck sockets ---- */

static bool no_step(struct actor *actor, uint64_t at_ns) { return (void)actor, (void)at_ns, false; }

START_TEST(test_door_answers_main_and_closes_its_ports_when_told)
{
    static const struct actor_table MAIN_TABLE = {.name = "main", .step = no_step};
    struct actor main_actor;
    struct lane from_main, to_main;
    struct mail mail = {.kind = MAIL_PING, .ping.cookie = 7};
    actor_init(&main_actor, &MAIN_TABLE);
    lane_init(&from_main, "main→door", 4, NULL);
    lane_init(&to_main, "door→main", 4, NULL);
    actor_connect(&main_actor, door_actor_base(door), &from_main);
    actor_connect(door_actor_base(door), &main_actor, &to_main);
    door_actor_set_lanes(door, &from_main, &to_main);
    int fd = dial();
    uint16_t port = port_of(door_actor_client_addresses(door));
    actor_start(door_actor_base(door)); /* it sleeps; the ring wakes it */
    for (int i = 0; i < 200; i++) {
        uint64_t give_up_ns = clock_mono_ns() + 10 * NS_PER_S;
        lane_must_post(&from_main, &mail);
        lane_ring(&from_main);
        struct mail answer = {.kind = MAIL_NONE};
        while (!lane_take(&to_main, &answer) && clock_mono_ns() < give_up_ns) sched_yield();
        ck_assert_int_eq((int)answer.kind, MAIL_PONG);
        ck_assert_uint_eq(answer.ping.cookie, 7);
    }
    mail.kind = MAIL_DRAIN;
    lane_must_post(&from_main, &mail);
    lane_ring(&from_main);
    char byte;
    ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
    actor_stop(door_actor_base(door));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int late = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ne(connect(late, (struct sockaddr *)&address, sizeof address), 0);
    close(late);
    close(fd);
    lane_deinit(&from_main);
    lane_deinit(&to_main);
}
END_TEST

#ifdef KVD_COALESCE
START_TEST(test_door_finishes_sockets_whose_buffer_was_full)
{
    static char block[4096];
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    coalescer_set_stuck_fn(door_actor_finish, door);
    for (int round = 0; round < 5; round++) {
        size_t sent = 0, got = 0;
        ssize_t size;
        struct iovec part = {.iov_base = block, .iov_len = sizeof block};
        struct msghdr filling = {.msg_iov = &part, .msg_iovlen = 1};
        while ((size = sendmsg(pair[0], &filling, MSG_NOSIGNAL)) > 0) sent += (size_t)size;
        coalescer_cork();
        ck_assert_int_eq(sendmsg(pair[0], &filling, MSG_NOSIGNAL), sizeof block);
        sent += sizeof block;
        ck_assert_uint_eq(coalescer_uncork(), 0);
        step();
        for (int turn = 0; turn < 200 && got < sent; turn++) {
            while ((size = recv(pair[1], block, sizeof block, 0)) > 0) got += (size_t)size;
            step();
        }
        ck_assert_uint_eq(got, sent);
    }
    coalescer_set_stuck_fn(NULL, NULL);
    close(pair[0]);
    close(pair[1]);
}
END_TEST
#endif

/* gRPC's: an ALPN of h2 alone. */
static const char hello[] = "\x16\x03\x01\x00\x38\x01\x00\x00\x34\x03\x03"
                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                            "\x00\x00\x02\x13\x01\x01\x00\x00\x09\x00\x10\x00\x05\x00\x03\x02h2";

/* What the door has said on this connection. */
static void expect_said(int fd, const char *beginning, const char *end)
{
    char bytes[1000];
    ssize_t size = recv(fd, bytes, sizeof bytes - 1, MSG_DONTWAIT);
    ck_assert_int_gt(size, 0);
    bytes[size] = '\0';
    ck_assert_msg(strncmp(bytes, beginning, strlen(beginning)) == 0 && strstr(bytes, end) != NULL, "%s", bytes);
}

START_TEST(test_door_tells_tls_from_plain_by_the_listener)
{
    char got[200];
    door_actor_free(door);
    ck_assert_msg(open_door("http://127.0.0.1:0,https://127.0.0.1:0", "http://127.0.0.1:0"), "%s", message);
    uint16_t plain = (uint16_t)atoi(strchr(door_actor_client_addresses(door), ':') + 1), tls = port_of(door_actor_client_addresses(door));
    int good = dial_port(tls), other = dial_port(plain), web = dial_port(tls), preface = dial_port(tls), garbage = dial_port(tls), half = dial_port(tls);
    for (size_t i = 0; i < sizeof hello - 1; i++) {
        ck_assert_int_eq(client_tls_end.count, 0);
        say(good, &hello[i], 1);
        step();
    }
    ck_assert_int_eq(client_tls_end.count, 1);
    ck_assert_int_eq(recv(client_tls_end.adopted[0], got, sizeof got, 0), sizeof hello - 1);
    say(other, hello, sizeof hello - 1);
    say(web, "GET / HTTP/1.1\r\n\r\n", 18);
    say(preface, PREFACE, 24);
    say(garbage, "\x16garbage", 8);
    say(half, hello, 20);
    step();
    ck_assert_int_eq(client_tls_end.count, 1);
    ck_assert_int_eq(client_end.count, 0);
    expect_said(web, "HTTP/1.1 400 ", "\r\n\r\nthis port speaks TLS: https://");
    ck_assert(is_closed(other) && is_closed(preface) && is_closed(garbage) && !is_closed(half));
    now_ns += DOOR_PREFACE_TIMEOUT_NS;
    step();
    ck_assert(is_closed(half));
    const int ends[] = {good, other, web, preface, garbage, half};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) close(ends[i]);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("door");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_door_hands_on_after_the_whole_preface_and_takes_nothing_of_it);
    tcase_add_test(tests, test_door_closes_what_speaks_something_else);
    tcase_add_test(tests, test_door_answers_http1_and_reads_the_request_to_its_end);
    tcase_add_test(tests, test_door_closes_a_silent_connection_after_its_time);
    tcase_add_test(tests, test_door_lets_the_oldest_go_when_too_many_are_silent);
    tcase_add_test(tests, test_door_with_few_descriptors_refuses_clients_keeps_room_and_serves_on);
    tcase_add_test(tests, test_door_without_any_descriptor_refuses_by_its_reserve_and_comes_back);
    tcase_add_test(tests, test_door_listens_on_every_kind_of_address);
    tcase_add_test(tests, test_door_tells_tls_from_plain_by_the_listener);
    tcase_add_test(tests, test_door_says_why_it_cannot_listen);
    tcase_add_test(tests, test_door_answers_main_and_closes_its_ports_when_told);
#ifdef KVD_COALESCE
    tcase_add_test(tests, test_door_finishes_sockets_whose_buffer_was_full);
#endif
    Suite *suite = suite_create("door");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
