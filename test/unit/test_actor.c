/* In which order does a thread serve those whom its step has rung: is a wake that may wait behind the steps that came before it, and does a
 * thread come to its own role before the turns that are left, when a few mails press? A lost wake-up would keep a round from ending. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "pipeline/actor.h"

#define ROUNDS 300
enum { SELF, FIRST, SECOND, WOKEN, ROLE_COUNT }; /* SELF's thread steps FIRST and SECOND; WOKEN has to be woken */
enum { LANE_IN, LANE_TO_FIRST, LANE_TO_WOKEN, LANE_TO_SECOND, LANE_TO_SELF, LANE_COUNT };
static const char *const LETTERS = "sabw";

struct role {
    struct actor actor;
    int number, descriptor;
};
static struct role roles[ROLE_COUNT];
static struct lane lanes[LANE_COUNT];
static struct actor outside; /* the test: it posts to SELF */
static char order[64];       /* who had mail, in turn; written by the threads one after the other */
static atomic_uint order_size;
static atomic_bool was_woken_early;
static uint32_t to_self_count;
static bool sends_to_woken;
static sem_t done;

static void note(int number)
{
    unsigned place = atomic_fetch_add(&order_size, 1);
    if (place < sizeof order - 1) order[place] = LETTERS[number];
}

static void post(int lane)
{
    const struct mail mail = {.kind = MAIL_PING};
    ck_assert(lane_post(&lanes[lane], &mail));
}

static uint32_t take_all(struct actor *actor, bool *out_from_outside)
{
    struct mail mail;
    uint32_t count = 0;
    for (uint32_t i = 0; i < actor->in_count; i++) {
        while (lane_take(actor->in[i], &mail)) {
            count++;
            if (actor->in[i] == &lanes[LANE_IN]) *out_from_outside = true;
        }
    }
    return count;
}

/* SELF asks FIRST, who tells SECOND, WOKEN and SELF; the last of the round says so. */
static bool step(struct actor *actor, uint64_t now_ns)
{
    const struct role *role = (struct role *)(void *)actor;
    bool is_from_outside = false;
    (void)now_ns;
    if (take_all(actor, &is_from_outside) == 0) return false;
    if (is_from_outside) {
        post(LANE_TO_FIRST);
        return false;
    }
    note(role->number);
    if (role->number == FIRST) {
        for (uint32_t i = 0; i < to_self_count; i++) post(LANE_TO_SELF);
        if (sends_to_woken) post(LANE_TO_WOKEN);
        post(LANE_TO_SECOND);
    } else {
        unsigned state = atomic_load(&roles[WOKEN].actor.bell.state);
        if (role->number == SECOND && sends_to_woken && state != DOORBELL_ASLEEP) atomic_store(&was_woken_early, true);
        sem_post(&done);
    }
    return false;
}

static void own_wait(struct actor *actor, uint64_t deadline_ns)
{
    const struct role *role = (struct role *)(void *)actor;
    struct pollfd descriptor = {.fd = role->descriptor, .events = POLLIN};
    uint64_t rings;
    (void)deadline_ns;
    (void)poll(&descriptor, 1, -1);
    ssize_t size = read(role->descriptor, &rings, sizeof rings);
    ck_assert(size == sizeof rings || errno == EAGAIN);
}

static void own_ring(struct actor *actor)
{
    const uint64_t one = 1;
    ck_assert(write(((struct role *)(void *)actor)->descriptor, &one, sizeof one) == sizeof one);
}

static const struct actor_table self_table = {.name = "self", .step = step, .wait = own_wait, .ring = own_ring};
static const struct actor_table lent_table = {.name = "lent", .may_be_lent = true, .step = step};
static const struct actor_table woken_table = {.name = "woken", .step = step};

static void connect(int number, struct actor *from, int to)
{
    lane_init(&lanes[number], "lane", 64, NULL);
    actor_connect(from, &roles[to].actor, &lanes[number]);
}

static void set_up(void)
{
    const struct actor_table *tables[ROLE_COUNT] = {&self_table, &lent_table, &lent_table, &woken_table};
    actor_init(&outside, &woken_table);
    sem_init(&done, 0, 0);
    atomic_store(&was_woken_early, false);
    for (int i = 0; i < ROLE_COUNT; i++) {
        actor_init(&roles[i].actor, tables[i]);
        roles[i].number = i;
        roles[i].descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    connect(LANE_IN, &outside, SELF);
    connect(LANE_TO_FIRST, &roles[SELF].actor, FIRST);
    connect(LANE_TO_WOKEN, &roles[FIRST].actor, WOKEN);
    connect(LANE_TO_SECOND, &roles[FIRST].actor, SECOND);
    connect(LANE_TO_SELF, &roles[FIRST].actor, SELF);
}

static void tear_down(void)
{
    for (int i = 0; i < ROLE_COUNT; i++) actor_stop(&roles[i].actor);
    for (int i = 0; i < LANE_COUNT; i++) lane_deinit(&lanes[i]);
    for (int i = 0; i < ROLE_COUNT; i++) {
        actor_deinit(&roles[i].actor);
        close(roles[i].descriptor);
    }
    actor_deinit(&outside);
    sem_destroy(&done);
}

static bool is_asleep(int number) { return atomic_load(&roles[number].actor.bell.state) == DOORBELL_ASLEEP; }

static void wait_until_all_sleep(void)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        while (!is_asleep(i)) sched_yield();
}

/* One mail from outside, when everybody sleeps, until so many have ended it. */
static void run_round(unsigned ends)
{
    const struct mail mail = {.kind = MAIL_PING};
    wait_until_all_sleep(); /* else a role might be stepped by its own thread */
    memset(order, 0, sizeof order);
    atomic_store(&order_size, 0);
    ck_assert(lane_post(&lanes[LANE_IN], &mail));
    lane_ring(&lanes[LANE_IN]);
    for (unsigned i = 0; i < ends; i++)
        while (sem_wait(&done) != 0) ck_assert_int_eq(errno, EINTR);
}

static void start_all(void)
{
    for (int i = ROLE_COUNT - 1; i >= 0; i--) actor_start(&roles[i].actor);
}

START_TEST(test_actor_wake_that_may_wait_comes_behind_the_steps_before_it)
{
    sends_to_woken = true;
    to_self_count = 0;
    roles[FIRST].actor.first_out = &lanes[LANE_TO_SECOND];
    lanes[LANE_TO_WOKEN].waits_turn = true;
    start_all();
    for (int i = 0; i < ROUNDS; i++) {
        run_round(2);
        ck_assert_str_eq(order, "abw");
    }
    ck_assert(!atomic_load(&was_woken_early));
}
END_TEST

START_TEST(test_actor_few_mails_that_press_come_before_the_turns_that_are_left)
{
    sends_to_woken = false;
    lanes[LANE_TO_SELF].is_pressing = true;
    start_all();
    for (uint32_t count = 1; count <= ACTOR_PRESSING_MAX + 1; count++) {
        to_self_count = count;
        for (int i = 0; i < ROUNDS; i++) {
            run_round(2);
            ck_assert_str_eq(order, count <= ACTOR_PRESSING_MAX ? "asb" : "abs");
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("actor");
    TCase *turns = tcase_create("turns");
    tcase_add_checked_fixture(turns, set_up, tear_down);
    tcase_set_timeout(turns, 60);
    tcase_add_test(turns, test_actor_wake_that_may_wait_comes_behind_the_steps_before_it);
    tcase_add_test(turns, test_actor_few_mails_that_press_come_before_the_turns_that_are_left);
    suite_add_tcase(suite, turns);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
