/* Does the HTTP front ask net once for all who come meanwhile, answer each, and forget who has gone? Connections over socket pairs; the front
 * is stepped by hand, the test is net. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "pipeline/door_http.h"

static struct config config;
static struct shared shared;
static struct door_http *http;
static struct lane to_net, from_net;
static struct doorbell bell;
static char answer[200000];
static uint64_t now_ns;

static void no_ring(void *context) { (void)context; }

static void set_up(void)
{
    config_init(&config);
    now_ns = NS_PER_S;
    http = door_http_new(&(struct door_http_options){.config = &config, .shared = &shared, .self = 0x17});
    ck_assert_ptr_nonnull(http);
    lane_init(&to_net, "door→net", 4, NULL);
    lane_init(&from_net, "net→door", 4, NULL);
    doorbell_init(&bell, no_ring, NULL);
    to_net.bell = from_net.bell = &bell;
    door_http_set_lanes(http, &to_net, &from_net);
}

static void tear_down(void)
{
    door_http_free(http);
    lane_deinit(&to_net);
    lane_deinit(&from_net);
}

/* Until nothing is due. */
static void step(void)
{
    for (int i = 0; i < 20; i++) door_http_step(http, now_ns);
}

static void say(int fd, const char *text) { ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text)); }

/* A connection whose client has said this much. */
static int connect_saying(enum door_http_place place, const char *text)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    say(ends[0], text);
    door_http_adopt(http, place, ends[1], now_ns);
    return ends[0];
}

static int ask(enum door_http_place place, const char *method, const char *path)
{
    char request[200];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
    int fd = connect_saying(place, request);
    step();
    return fd;
}

static const char *read_answer(int fd)
{
    size_t size = 0;
    for (ssize_t got; (got = recv(fd, answer + size, sizeof answer - 1 - size, MSG_DONTWAIT)) > 0;) size += (size_t)got;
    answer[size] = '\0';
    close(fd);
    return answer;
}

static bool has_answer(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* The next question to net, or -1. */
static int question(void)
{
    struct mail mail;
    if (!lane_take(&to_net, &mail)) return -1;
    ck_assert_int_eq((int)mail.kind, MAIL_CHECK);
    return mail.check.is_linearizable;
}

static void tell(struct mail mail)
{
    mail.kind = MAIL_CHECKED;
    lane_must_post(&from_net, &mail);
    step();
}

static void expect(int fd, const char *first, const char *last)
{
    const char *got = read_answer(fd);
    ck_assert_msg(strncmp(got, first, strlen(first)) == 0, "%s", got);
    ck_assert_msg(strlen(got) >= strlen(last) && strcmp(got + strlen(got) - strlen(last), last) == 0, "%s", got);
}

START_TEST(test_door_http_what_needs_no_question_is_answered_at_once)
{
    expect(ask(DOOR_HTTP_CLIENT, "GET", "/debug/vars"), "HTTP/1.1 200", "}}\n");
    expect(ask(DOOR_HTTP_CLIENT, "GET", "/"), "HTTP/1.1 404", "404 page not found\n");
    expect(ask(DOOR_HTTP_CLIENT, "GET", "/livez/linearizable_read"), "HTTP/1.1 404", "404 page not found\n");
    expect(ask(DOOR_HTTP_CLIENT, "DELETE", "/health"), "HTTP/1.1 405", "Method Not Allowed\n");
    expect(ask(DOOR_HTTP_METRICS, "GET", "/version"), "HTTP/1.1 404", "404 page not found\n");
    const char *got = read_answer(ask(DOOR_HTTP_METRICS, "GET", "/metrics"));
    ck_assert_ptr_nonnull(strstr(got, "\netcd_server_id{server_id=\"17\"} 1\n"));
    ck_assert_int_eq(question(), -1);
}
END_TEST

START_TEST(test_door_http_who_comes_meanwhile_shares_the_next_question)
{
    int first = ask(DOOR_HTTP_CLIENT, "GET", "/health"), second = ask(DOOR_HTTP_CLIENT, "GET", "/health"), third = ask(DOOR_HTTP_METRICS, "GET", "/readyz");
    ck_assert_int_eq(question(), 1);
    ck_assert_int_eq(question(), -1);
    int local = ask(DOOR_HTTP_CLIENT, "GET", "/livez");
    ck_assert_int_eq(question(), 0);
    tell((struct mail){.checked = {.is_linearizable = true, .has_leader = true}});
    expect(first, "HTTP/1.1 200", "{\"health\":\"true\",\"reason\":\"\"}");
    ck_assert(!has_answer(second) && !has_answer(third) && !has_answer(local)); /* what net read may be older than they are */
    ck_assert_int_eq(question(), 1);
    tell((struct mail){.checked = {.is_linearizable = true, .has_leader = true, .err = ERR_TIMEOUT}});
    expect(second, "HTTP/1.1 503", "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: request timed out\"}");
    expect(third, "HTTP/1.1 503", "\r\n\r\n[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: request timed out\n"
                                  "[+]non_learner ok\nreadyz check failed\n");
    tell((struct mail){.checked = {.has_leader = false}});
    expect(local, "HTTP/1.1 200", "\r\n\r\nok\n");
    ck_assert_int_eq(question(), -1);
}
END_TEST

START_TEST(test_door_http_alarms_learners_and_a_missing_leader_are_told)
{
    static const struct {
        const char *path;
        bool is_linearizable;
        struct mail said;
        const char *first, *last;
    } cases[] = {
        {"/health?serializable=true", false, {.checked = {.has_no_space = true}}, "HTTP/1.1 503", "\"reason\":\"ALARM NOSPACE\"}"},
        {"/health?serializable=true&exclude=NOSPACE", false, {.checked = {.has_no_space = true}}, "HTTP/1.1 200", "\"reason\":\"\"}"},
        {"/health?exclude=NOSPACE", true, {.checked = {.has_no_space = true, .has_corrupt = true, .is_linearizable = true}}, "HTTP/1.1 503", "\"ALARM CORRUPT\"}"},
        {"/health", true, {.checked = {.err = ERR_NO_LEADER, .is_linearizable = true}}, "HTTP/1.1 503", "\"RAFT NO LEADER\"}"},
        {"/readyz?exclude=linearizable_read", false, {.checked = {.has_leader = true, .is_learner = true}}, "HTTP/1.1 503",
         "[-]non_learner failed: this member is a learner\nreadyz check failed\n"},
        {"/readyz/data_corruption", false, {.checked = {.has_corrupt = true}}, "HTTP/1.1 503",
         "\r\n\r\n[-]data_corruption failed: alarm activated: CORRUPT\nreadyz check failed\n"},
        {"/livez?verbose", false, {.checked = {.has_corrupt = true}}, "HTTP/1.1 200", "\r\n\r\n[+]serializable_read ok\nlivez check passed\n"},
        {"/version", false, {.checked = {.version = "3.6.0"}}, "HTTP/1.1 200", "\"etcdcluster\":\"3.6.0\",\"storage\":\"3.6.0\"}"},
        {"/version", false, {.checked = {.version = ""}}, "HTTP/1.1 200", "\"etcdcluster\":\"not_decided\",\"storage\":\"3.6.0\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = ask(DOOR_HTTP_CLIENT, "GET", cases[i].path);
        ck_assert_int_eq(question(), cases[i].is_linearizable);
        tell(cases[i].said);
        expect(fd, cases[i].first, cases[i].last);
    }
}
END_TEST

START_TEST(test_door_http_ends_with_questions_under_way_and_connections_open)
{
    int asked = ask(DOOR_HTTP_CLIENT, "GET", "/health"), waiting = ask(DOOR_HTTP_CLIENT, "GET", "/health");
    int half = connect_saying(DOOR_HTTP_METRICS, "GET /he");
    step();
    door_http_free(http);
    http = NULL;
    expect(asked, "HTTP/1.1 503", "\r\n\r\nthe member is stopping\n");
    expect(waiting, "HTTP/1.1 503", "\r\n\r\nthe member is stopping\n");
    ck_assert_str_eq(read_answer(half), "");
}
END_TEST

/* Nobody is left who would answer the front's questions. */
START_TEST(test_door_http_requests_that_come_at_the_end_are_answered)
{
    static const enum door_http_place places[] = {DOOR_HTTP_CLIENT, DOOR_HTTP_CLIENT, DOOR_HTTP_METRICS, DOOR_HTTP_METRICS};
    int fds[4];
    for (int i = 0; i < 4; i++) fds[i] = connect_saying(places[i], i % 2 == 0 ? "" : "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    step();
    ck_assert_int_eq(question(), 1);
    for (int i = 0; i < 4; i++) say(fds[i], "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n");
    door_http_free(http);
    http = NULL;
    ck_assert_int_eq(question(), -1);
    for (int i = 0; i < 4; i++) {
        expect(fds[i], "HTTP/1.1 503", "\r\n\r\nthe member is stopping\n");
        ck_assert_ptr_nonnull(strstr(answer, "Connection: close\r\n"));
        ck_assert_ptr_null(strstr(answer + 1, "HTTP/1.1")); /* one is enough */
    }
}
END_TEST

static bool is_closed(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

START_TEST(test_door_http_a_request_has_its_time_however_it_comes)
{
    const uint64_t start_ns = now_ns, timeout_ns = 30 * NS_PER_S;
    int silent = connect_saying(DOOR_HTTP_METRICS, "");
    int slow = connect_saying(DOOR_HTTP_CLIENT, "GET /health HTTP/1.1\r\nHost: x\r\nX: ");
    int whole = connect_saying(DOOR_HTTP_CLIENT, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    int body = connect_saying(DOOR_HTTP_CLIENT, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    for (; now_ns < start_ns + timeout_ns; now_ns += NS_PER_S) {
        say(slow, "a");
        say(body, "z");
        step();
        ck_assert(!is_closed(slow) && !is_closed(body) && !is_closed(silent) && !is_closed(whole));
        ck_assert_uint_eq(door_http_deadline_ns(http), start_ns + timeout_ns); /* whoever waits knows of it */
    }
    step();
    ck_assert(is_closed(slow) && is_closed(body) && is_closed(silent) && !is_closed(whole));
    ck_assert_uint_eq(door_http_deadline_ns(http), CLOCK_NEVER); /* the last one waits for us */
    now_ns += NS_PER_S;
    ck_assert_int_eq(question(), 1);
    tell((struct mail){.checked = {.is_linearizable = true, .has_leader = true}});
    ck_assert(has_answer(whole));
    ck_assert_uint_eq(door_http_deadline_ns(http), now_ns + timeout_ns); /* of the next request */
    now_ns += timeout_ns;
    step();
    expect(whole, "HTTP/1.1 200", "\"true\",\"reason\":\"\"}");
    close(slow);
    close(body);
    close(silent);
}
END_TEST

START_TEST(test_door_http_an_answer_that_nobody_takes_is_given_up)
{
    int ends[2], little = 4096;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    ck_assert_int_eq(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
    say(ends[0], "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    door_http_adopt(http, DOOR_HTTP_METRICS, ends[1], now_ns);
    step();
    ck_assert_uint_eq(door_http_deadline_ns(http), now_ns + 30 * NS_PER_S);
    now_ns += 30 * NS_PER_S;
    step();
    ck_assert_uint_eq(door_http_deadline_ns(http), CLOCK_NEVER);
    const char *got = read_answer(ends[0]);
    ck_assert_msg(strncmp(got, "HTTP/1.1 200", 12) == 0 && strlen(got) < 20000, "%zu bytes", strlen(got));
}
END_TEST

START_TEST(test_door_http_a_newcomer_takes_the_place_of_who_lets_us_wait_longest)
{
    int asked = ask(DOOR_HTTP_CLIENT, "GET", "/health"), idle[63];
    for (size_t i = 0; i < 63; i++) idle[i] = connect_saying(DOOR_HTTP_CLIENT, i % 2 == 0 ? "GET /he" : "");
    step();
    expect(ask(DOOR_HTTP_CLIENT, "GET", "/debug/vars"), "HTTP/1.1 200", "}}\n");
    ck_assert(is_closed(idle[0]) && !is_closed(idle[1]) && !is_closed(asked));
    /* More in one round than there may be: who has said what he wants is served before he has to go. */
    for (int round = 0; round < 2; round++) {
        int more[100];
        for (size_t i = 0; i < 100; i++) more[i] = connect_saying(DOOR_HTTP_CLIENT, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
        step();
        for (size_t i = 0; i < 100; i++) expect(more[i], "HTTP/1.1 404", "404 page not found\n");
        step();
    }
    for (size_t i = 1; i < 63; i++) ck_assert(is_closed(idle[i]));
    ck_assert(!is_closed(asked));
    ck_assert_int_eq(question(), 1);
    tell((struct mail){.checked = {.is_linearizable = true, .has_leader = true}});
    expect(asked, "HTTP/1.1 200", "\"true\",\"reason\":\"\"}");
    for (size_t i = 0; i < 63; i++) close(idle[i]);
}
END_TEST

START_TEST(test_door_http_bodies_are_bounded)
{
    int large = connect_saying(DOOR_HTTP_CLIENT, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
    int huge = connect_saying(DOOR_HTTP_CLIENT, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n");
    int endless = connect_saying(DOOR_HTTP_CLIENT, "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    int fits = connect_saying(DOOR_HTTP_CLIENT, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    step();
    expect(large, "HTTP/1.1 413", "the body is too large\n");
    expect(huge, "HTTP/1.1 413", "the body is too large\n");
    expect(endless, "HTTP/1.1 411", "a body needs its length\n");
    expect(fits, "HTTP/1.1 404", "404 page not found\n");
    ck_assert_uint_eq(door_http_deadline_ns(http), CLOCK_NEVER); /* all of them are closed */
}
END_TEST

START_TEST(test_door_http_one_connection_too_many_is_closed)
{
    int held[65];
    for (size_t i = 0; i < 65; i++) held[i] = ask(DOOR_HTTP_CLIENT, "GET", "/health");
    ck_assert(is_closed(held[64]));
    ck_assert(!has_answer(held[63]) && errno == EAGAIN);
    expect(ask(DOOR_HTTP_METRICS, "GET", "/nothing"), "HTTP/1.1 404", "404 page not found\n");
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(question(), 1);
        tell((struct mail){.checked = {.is_linearizable = true, .has_leader = true}});
    }
    for (size_t i = 0; i < 64; i++) expect(held[i], "HTTP/1.1 200", "\"true\",\"reason\":\"\"}");
    close(held[64]);
    ck_assert_int_eq(question(), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("door_http");
    TCase *cases = tcase_create("door_http");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, test_door_http_what_needs_no_question_is_answered_at_once);
    tcase_add_test(cases, test_door_http_who_comes_meanwhile_shares_the_next_question);
    tcase_add_test(cases, test_door_http_alarms_learners_and_a_missing_leader_are_told);
    tcase_add_test(cases, test_door_http_ends_with_questions_under_way_and_connections_open);
    tcase_add_test(cases, test_door_http_requests_that_come_at_the_end_are_answered);
    tcase_add_test(cases, test_door_http_a_request_has_its_time_however_it_comes);
    tcase_add_test(cases, test_door_http_an_answer_that_nobody_takes_is_given_up);
    tcase_add_test(cases, test_door_http_a_newcomer_takes_the_place_of_who_lets_us_wait_longest);
    tcase_add_test(cases, test_door_http_bodies_are_bounded);
    tcase_add_test(cases, test_door_http_one_connection_too_many_is_closed);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
