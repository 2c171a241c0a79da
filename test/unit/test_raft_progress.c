/* How much is in flight to a peer: does it suit the road, so that heartbeats, which wait behind entries, come within an election timeout on a
 * slow one, and a fast one is filled? A road is a rate and a latency; what it carries is acknowledged when it has arrived. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "raft/progress.h"

#define MESSAGE_MAX ((size_t)1 << 20)
#define FLIGHT_MAX ((size_t)8 << 20)
#define ELECTION_NS NS_PER_S

static struct progress peer;

static void set_up(void)
{
    const struct raft_options options = {.self = 1, .inflight_messages_max = 256, .inflight_bytes_max = FLIGHT_MAX,
                                         .message_bytes_max = MESSAGE_MAX, .election_timeout_ns = ELECTION_NS};
    progress_init(&peer, 2, &options);
    progress_lead(&peer, 0, 0);
    ck_assert(!progress_acknowledge(&peer, 0, 0));
    ck_assert_int_eq((int)peer.state, PROGRESS_REPLICATE);
}

static void tear_down(void) { progress_deinit(&peer); }

struct road {
    uint64_t rate_bytes;    /* per second */
    uint64_t latency_ns;    /* there and back */
    uint64_t now_ns, free_ns;
    uint64_t arrivals_ns[256];
    uint64_t worst_ns;      /* that a heartbeat would have waited */
    uint64_t bytes;
};

static void send(struct road *road, size_t bytes)
{
    uint64_t begin_ns = road->free_ns > road->now_ns ? road->free_ns : road->now_ns;
    road->free_ns = begin_ns + bytes * NS_PER_S / road->rate_bytes;
    progress_sent(&peer, peer.next_index, bytes, road->now_ns);
    road->arrivals_ns[(peer.next_index - 1) % 256] = road->free_ns + road->latency_ns; /* of the index just sent */
    if (road->free_ns - road->now_ns > road->worst_ns) road->worst_ns = road->free_ns - road->now_ns;
    road->bytes += bytes;
}

/* A leader that always has more to send. */
static void run(struct road *road, uint64_t until_ns)
{
    while (road->now_ns < until_ns) {
        size_t room;
        while ((room = progress_room(&peer)) > 0) send(road, room < MESSAGE_MAX ? room : MESSAGE_MAX);
        uint64_t first = peer.flights[peer.flight_head].last_index;
        road->now_ns = road->arrivals_ns[first % 256];
        (void)progress_acknowledge(&peer, first, road->now_ns);
    }
}

START_TEST(test_raft_a_window_keeps_heartbeats_in_time_on_slow_roads)
{
    static const uint64_t rates[] = {80000, 200000, 500000, 1000000, 3000000, 20000000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct road road = {.rate_bytes = rates[i], .latency_ns = 20 * NS_PER_MS};
        run(&road, 60 * NS_PER_S);
        ck_assert_msg(road.worst_ns < ELECTION_NS, "%llu bytes/s: a heartbeat waits for %llu ms", (unsigned long long)rates[i],
                      (unsigned long long)(road.worst_ns / NS_PER_MS));
        ck_assert_uint_ge(road.bytes, rates[i] * 60 / 2); /* and the road is used */
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(test_raft_a_window_fills_a_fast_road)
{
    struct road road = {.rate_bytes = UINT64_C(1000000000), .latency_ns = NS_PER_MS};
    ck_assert_uint_eq(progress_room(&peer), RAFT_PROBE_BYTES_MAX);
    run(&road, 200 * NS_PER_MS);
    ck_assert_uint_eq(peer.window, FLIGHT_MAX);
    progress_become_probe(&peer); /* the road is not known any more */
    (void)progress_acknowledge(&peer, peer.match_index, road.now_ns);
    ck_assert_uint_eq(progress_room(&peer), RAFT_PROBE_BYTES_MAX);
}
END_TEST

START_TEST(test_raft_a_road_that_gets_slow_gets_less)
{
    struct road road = {.rate_bytes = UINT64_C(100000000), .latency_ns = NS_PER_MS};
    run(&road, NS_PER_S);
    ck_assert_uint_eq(peer.window, FLIGHT_MAX);
    road.rate_bytes = 500000;
    run(&road, 60 * NS_PER_S);
    road.worst_ns = 0;
    run(&road, 120 * NS_PER_S);
    ck_assert_uint_lt(road.worst_ns, ELECTION_NS);
}
END_TEST

START_TEST(test_raft_what_small_messages_show_is_no_reason_for_a_burst)
{
    struct road road = {.rate_bytes = 500000, .latency_ns = 20 * NS_PER_MS};
    for (int i = 0; i < 10000; i++) {
        send(&road, 1000);
        road.now_ns = road.free_ns + road.latency_ns;
        (void)progress_acknowledge(&peer, peer.next_index - 1, road.now_ns);
    }
    ck_assert_uint_eq(peer.window, RAFT_PROBE_BYTES_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft_progress");
    TCase *cases = tcase_create("window");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, test_raft_a_window_keeps_heartbeats_in_time_on_slow_roads);
    tcase_add_test(cases, test_raft_a_window_fills_a_fast_road);
    tcase_add_test(cases, test_raft_a_road_that_gets_slow_gets_less);
    tcase_add_test(cases, test_raft_what_small_messages_show_is_no_reason_for_a_burst);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
