/* Do roles on threads lose a mail or a wake-up? The roles here wait without any deadline: one lost wake-up and a run does not finish
 * (the time limit of the case ends it). Both kinds of waiting are in: the runner's futex, and a role's own (an eventfd). Clean under
 * TSan. In half of the runs the roles that wait in the futex may be lent, so that others step them: also while they wake for no reason. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "pipeline/actor.h"

#ifdef RING_TSAN
#define SCALE 10u
#else
#define SCALE 1u
#endif
#define TAKE_MAX 64
#define NODES_MAX 3

/* What a role does with a mail: hands it on; the first one starts new mails and counts those that came round. */
struct node {
    struct actor actor;
    struct lane *from, *to;
    struct rng rng;
    uint64_t nap_of; /* one step in so many naps up to 50 µs; 0 = none */
    int descriptor;
    bool is_first;
    uint64_t started, finished, total, window;
    uint64_t expected; /* the number that the next mail must have */
    bool is_wrong, is_done;
    struct mail kept; /* taken, and the next lane was full */
    bool has_kept;
    sem_t *done;
};

static void nap(struct node *node)
{
    if (node->nap_of == 0 || rng_below(&node->rng, node->nap_of) != 0) return;
    struct timespec time = {.tv_nsec = (long)rng_below(&node->rng, 50000)};
    nanosleep(&time, NULL);
}

static void finish(struct node *node, const struct mail *mail)
{
    node->is_wrong = node->is_wrong || mail->ping.cookie != node->finished;
    node->finished++;
    if (node->finished != node->total || node->is_done) return;
    node->is_done = true;
    sem_post(node->done);
}

static void hand_on(struct node *node)
{
    for (int i = 0; i < TAKE_MAX; i++) {
        if (!node->has_kept) node->has_kept = lane_take(node->from, &node->kept);
        if (!node->has_kept) return;
        node->is_wrong = node->is_wrong || node->kept.ping.cookie < node->expected;
        if (!lane_post(node->to, &node->kept)) return;
        node->expected = node->kept.ping.cookie + 1;
        node->has_kept = false;
    }
}

static void start_new(struct node *node)
{
    while (node->started < node->total && node->started - node->finished < node->window) {
        struct mail mail = {.kind = MAIL_PING, .ping.cookie = node->started};
        if (!lane_post(node->to, &mail)) return;
        node->started++;
    }
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct node *node = (struct node *)(void *)actor;
    struct mail mail;
    (void)now_ns;
    nap(node);
    if (!node->is_first) {
        hand_on(node);
    } else {
        for (int i = 0; i < TAKE_MAX && lane_take(node->from, &mail); i++) finish(node, &mail);
        start_new(node);
    }
    nap(node);
    return node->has_kept;
}

static void own_wait(struct actor *actor, uint64_t deadline_ns)
{
    const struct node *node = (struct node *)(void *)actor;
    struct pollfd descriptor = {.fd = node->descriptor, .events = POLLIN};
    uint64_t rings;
    (void)deadline_ns;
    (void)poll(&descriptor, 1, -1);
    ssize_t size = read(node->descriptor, &rings, sizeof(rings));
    ck_assert(size == sizeof(rings) || errno == EAGAIN);
}

static void own_ring(struct actor *actor)
{
    const uint64_t one = 1;
    ck_assert(write(((struct node *)(void *)actor)->descriptor, &one, sizeof(one)) == sizeof(one));
}

/* Now and then the thread wakes by itself, and may find its role lent. */
static uint64_t soon_ns(struct actor *actor)
{
    struct node *node = (struct node *)(void *)actor;
    return rng_below(&node->rng, 4) == 0 ? clock_mono_ns() + rng_below(&node->rng, 20000) : CLOCK_NEVER;
}

static const struct actor_table futex_table = {.name = "futex", .step = step};
static const struct actor_table lent_table = {.name = "lent", .may_be_lent = true, .step = step};
static const struct actor_table restless_table = {.name = "restless", .may_be_lent = true, .step = step, .deadline_ns = soon_ns};
static const struct actor_table own_table = {.name = "own", .step = step, .wait = own_wait, .ring = own_ring};

struct circle {
    struct node nodes[NODES_MAX];
    struct lane lanes[NODES_MAX];
    int count;
    sem_t done;
};

struct circle_options {
    int count;
    uint64_t total, window;
    uint32_t capacity;
    uint64_t nap_of;
    int kind; /* has_own_wait + 2 * is_lent */
};

/* Of kind 1 and 3 every second role waits by itself; of kind 2 and 3 the others may be lent. */
static const struct actor_table *table_of(int kind, int place)
{
    if (kind % 2 == 1 && place % 2 == 1) return &own_table;
    if (kind < 2) return &futex_table;
    return place == 2 ? &restless_table : &lent_table;
}

/* A circle of roles: 0 → 1 → … → 0. */
static struct circle *circle_new(const struct circle_options *options)
{
    struct circle *circle = alloc_zero(1, sizeof(*circle));
    circle->count = options->count;
    sem_init(&circle->done, 0, 0);
    for (int i = 0; i < options->count; i++) {
        struct node *node = &circle->nodes[i];
        actor_init(&node->actor, table_of(options->kind, i));
        rng_init(&node->rng, (uint64_t)i + 1);
        node->nap_of = options->nap_of;
        node->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        node->is_first = i == 0;
        node->total = options->total;
        node->window = options->window;
        node->done = &circle->done;
        lane_init(&circle->lanes[i], "lane", options->capacity, NULL);
        circle->lanes[i].waits_turn = circle->lanes[i].is_pressing = options->kind >= 2;
    }
    for (int i = 0; i < options->count; i++) {
        struct node *from = &circle->nodes[i], *to = &circle->nodes[(i + 1) % options->count];
        actor_connect(&from->actor, &to->actor, &circle->lanes[i]);
        from->to = to->from = &circle->lanes[i];
    }
    return circle;
}

static void circle_start(struct circle *circle)
{
    for (int i = circle->count - 1; i >= 0; i--) actor_start(&circle->nodes[i].actor);
}

static void circle_free(struct circle *circle)
{
    for (int i = 0; i < circle->count; i++) actor_stop(&circle->nodes[i].actor);
    for (int i = 0; i < circle->count; i++) {
        ck_assert(!circle->nodes[i].is_wrong);
        actor_deinit(&circle->nodes[i].actor);
        lane_deinit(&circle->lanes[i]);
        close(circle->nodes[i].descriptor);
    }
    sem_destroy(&circle->done);
    alloc_free(circle);
}

static void wait_done(struct circle *circle)
{
    while (sem_wait(&circle->done) != 0) ck_assert_int_eq(errno, EINTR);
}

static void run(const struct circle_options *options)
{
    struct circle *circle = circle_new(options);
    circle_start(circle);
    wait_done(circle);
    circle_free(circle);
}

START_TEST(test_actor_stress_ping_pong_of_two_never_stops)
{
    run(&(struct circle_options){.count = 2, .total = 100000 / SCALE, .window = 1, .capacity = 4, .kind = _i});
}
END_TEST

START_TEST(test_actor_stress_flood_over_three_roles_arrives_in_order)
{
    run(&(struct circle_options){.count = 3, .total = 3000000 / SCALE, .window = 2000, .capacity = 1024,
                                 .kind = _i});
}
END_TEST

START_TEST(test_actor_stress_tiny_lanes_are_full_and_empty_all_the_time)
{
    run(&(struct circle_options){.count = 3, .total = 200000 / SCALE, .window = 3, .capacity = 2, .kind = _i});
}
END_TEST

START_TEST(test_actor_stress_random_sleeps_lose_no_wake_up)
{
    for (uint64_t nap_of = 1; nap_of <= 16; nap_of *= 4) {
        run(&(struct circle_options){.count = 3, .total = 6000 / SCALE * nap_of, .window = 2, .capacity = 8,
                                     .nap_of = nap_of, .kind = _i});
    }
}
END_TEST

START_TEST(test_actor_stress_stop_in_the_middle_of_a_flood_always_joins)
{
    for (uint64_t i = 0; i < 200 / SCALE; i++) {
        struct circle *circle = circle_new(&(struct circle_options){.count = 3, .total = UINT64_MAX, .window = 100,
                                                                    .capacity = 64, .kind = _i});
        circle_start(circle);
        struct timespec time = {.tv_nsec = (long)(i * 10000)};
        nanosleep(&time, NULL);
        circle_free(circle);
    }
}
END_TEST

START_TEST(test_actor_stress_stop_wakes_a_role_that_sleeps)
{
    for (uint64_t i = 0; i < 200 / SCALE; i++) {
        struct circle *circle = circle_new(&(struct circle_options){.count = 3, .total = 1, .window = 1, .capacity = 2,
                                                                    .kind = _i});
        circle_start(circle);
        wait_done(circle); /* from here on nobody has anything to do */
        circle_free(circle);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("actor_stress");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, test_actor_stress_ping_pong_of_two_never_stops, 0, 4);
    tcase_add_loop_test(tests, test_actor_stress_flood_over_three_roles_arrives_in_order, 0, 4);
    tcase_add_loop_test(tests, test_actor_stress_tiny_lanes_are_full_and_empty_all_the_time, 0, 4);
    tcase_add_loop_test(tests, test_actor_stress_random_sleeps_lose_no_wake_up, 0, 4);
    tcase_add_loop_test(tests, test_actor_stress_stop_in_the_middle_of_a_flood_always_joins, 0, 4);
    tcase_add_loop_test(tests, test_actor_stress_stop_wakes_a_role_that_sleeps, 0, 4);
    Suite *suite = suite_create("actor_stress");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
