/* Does a ring hand every mail over once, whole and in order, when both ends run as fast as they can? Clean under TSan. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/rng.h"
#include "pipeline/ring.h"

#if defined(RING_TSAN) || defined(__SANITIZE_ADDRESS__)
#define MAILS 300000u
#else
#define MAILS 3000000u
#endif
#define WORDS 7

struct pair {
    struct ring ring;
    uint64_t mails;
    bool is_ragged; /* bursts with pauses between them, at both ends */
};

static struct mail numbered(uint64_t number)
{
    struct mail mail = {.kind = MAIL_PING, .flags = (uint32_t)number};
    for (int i = 0; i < WORDS; i++) mail.words[i] = number * (uint64_t)(i + 1);
    return mail;
}

static bool is_whole(const struct mail *mail, uint64_t number)
{
    bool whole = mail->kind == MAIL_PING && mail->flags == (uint32_t)number;
    for (int i = 0; i < WORDS; i++) whole = whole && mail->words[i] == number * (uint64_t)(i + 1);
    return whole;
}

static void pause_sometimes(const struct pair *pair, struct rng *rng)
{
    if (pair->is_ragged && rng_below(rng, 512) == 0) sched_yield();
}

static void *produce(void *context)
{
    struct pair *pair = context;
    struct rng rng;
    rng_init(&rng, 1);
    for (uint64_t number = 0; number < pair->mails;) {
        struct mail mail = numbered(number);
        if (ring_push(&pair->ring, &mail)) {
            number++;
            pause_sometimes(pair, &rng);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

/* The number of mails that came as they should; less than all: the first wrong one. */
static uint64_t consume(struct pair *pair)
{
    struct rng rng;
    rng_init(&rng, 2);
    uint64_t number = 0;
    while (number < pair->mails) {
        struct mail mail;
        if (ring_pop(&pair->ring, &mail)) {
            if (!is_whole(&mail, number)) return number;
            number++;
            pause_sometimes(pair, &rng);
        } else {
            sched_yield();
        }
    }
    return number;
}

static void run(uint32_t capacity, uint64_t mails, bool is_ragged)
{
    struct pair pair = {.mails = mails, .is_ragged = is_ragged};
    pthread_t producer;
    struct mail left;
    ring_init(&pair.ring, capacity);
    ck_assert_int_eq(pthread_create(&producer, NULL, produce, &pair), 0);
    uint64_t number = consume(&pair);
    ck_assert_msg(number == mails, "mail %lu came wrong", (unsigned long)number);
    ck_assert_int_eq(pthread_join(producer, NULL), 0);
    ck_assert(!ring_pop(&pair.ring, &left));
    ck_assert_uint_eq(ring_size(&pair.ring), 0);
    ring_deinit(&pair.ring);
}

START_TEST(test_ring_stress_every_mail_comes_once_whole_and_in_order) { run(1024, MAILS, false); }
END_TEST

START_TEST(test_ring_stress_the_rest_comes_behind_the_first_part)
{
    run(RING_FIRST_SLOTS * 2, MAILS, false);
    run(RING_FIRST_SLOTS * 64, MAILS / 4, true);
}
END_TEST

START_TEST(test_ring_stress_smallest_ring_is_right_too) { run(2, MAILS / 10, false); }
END_TEST

START_TEST(test_ring_stress_ragged_ends_meet_full_and_empty) { run(16, MAILS / 4, true); }
END_TEST

int main(void)
{
    TCase *tests = tcase_create("ring_stress");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_ring_stress_every_mail_comes_once_whole_and_in_order);
    tcase_add_test(tests, test_ring_stress_the_rest_comes_behind_the_first_part);
    tcase_add_test(tests, test_ring_stress_smallest_ring_is_right_too);
    tcase_add_test(tests, test_ring_stress_ragged_ends_meet_full_and_empty);
    Suite *suite = suite_create("ring_stress");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
