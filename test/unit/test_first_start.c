/* Does a member found a cluster only if its own flags agree about who it is, and with members that can be dialled? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/first_start.h"

static struct config config;
static char message[1024];

static void set_up(void)
{
    config_init(&config);
    config.name = "a";
    config.initial_cluster_token = "t";
    message[0] = '\0';
}

static struct cluster *start(const char *initial, const char *advertised, uint64_t *out_self)
{
    config.initial_cluster = initial;
    config.initial_advertise_peer_urls = advertised;
    ck_assert_msg(config_check(&config, message, sizeof(message)), "%s", message);
    return first_start_cluster(&config, out_self, message, sizeof(message));
}

static void accepted(const char *initial, const char *advertised)
{
    uint64_t self = 0;
    struct cluster *cluster = start(initial, advertised, &self);
    ck_assert_msg(cluster != NULL, "%s and %s: %s", initial, advertised, message);
    ck_assert_ptr_nonnull(cluster_find(cluster, self));
    cluster_unref(cluster);
}

static void refused(const char *initial, const char *advertised, const char *words)
{
    uint64_t self = 0;
    ck_assert_msg(start(initial, advertised, &self) == NULL, "accepted: %s and %s", initial, advertised);
    ck_assert_msg(strstr(message, words) != NULL, "\"%s\" is not in \"%s\"", words, message);
    ck_assert_uint_eq(self, 0);
}

START_TEST(test_first_start_own_urls_are_compared_as_sets)
{
    accepted("a=http://h:1,b=http://h:2", "http://h:1");
    accepted("a=http://h:1,b=http://h:2,a=http://i:1", "http://i:1, http://h:1");
    accepted("a=http://[::1]:1", "http://[::1]:1");
    accepted("a=unix://s", "unix://s");
    accepted("", "http://h:1,http://i:1"); /* alone: by what it advertises */
}
END_TEST

START_TEST(test_first_start_localhost_is_its_address)
{
    accepted("a=http://127.0.0.1:2380", "http://localhost:2380");
    accepted("a=http://localhost:2380", "http://127.0.0.1:2380");
    refused("a=unix://127.0.0.1", "unix://localhost", "missing from");
}
END_TEST

START_TEST(test_first_start_own_urls_that_differ_are_refused_with_both_sides)
{
    refused("a=http://h:1,b=http://h:2", "http://h:2",
            "--initial-cluster has a=http://h:1 but missing from --initial-advertise-peer-urls=http://h:2");
    refused("a=http://h:1,a=http://h:3", "http://h:1",
            "--initial-cluster has a=http://h:3 but missing from --initial-advertise-peer-urls=http://h:1");
    refused("a=http://h:1", "http://h:1 , http://[::1]:4",
            "--initial-advertise-peer-urls has http://[::1]:4 but missing from --initial-cluster=a=http://h:1");
    refused("a=http://h:1", "unix://h:1", "missing from");
}
END_TEST

START_TEST(test_first_start_a_cluster_without_this_member_is_refused)
{
    refused("b=http://h:1", "http://h:1", "couldn't find local name \"a\" in the initial cluster configuration \"b=http://h:1\"");
}
END_TEST

START_TEST(test_first_start_a_url_that_stands_twice_is_refused)
{
    refused("a=http://h:1,b=http://h:1", "http://h:1", "a peer URL stands twice");
    refused("a=http://h:1,a=http://h:1", "http://h:1", "a peer URL stands twice");
}
END_TEST

START_TEST(test_first_start_a_url_that_nobody_can_dial_is_refused)
{
    refused("a=http://h:1,b=http://h:65536", "http://h:1", "above 65535");
    refused("a=http://h:1,b=http://h i:1", "http://h:1", "invalid character");
    refused("a=http://h:1,b=https://h:2", "http://h:1", "https://h:2: https and unixs (TLS) are not supported");
    refused("a=http://h:1,b=http://h:1/", "http://h:1", "path");
}
END_TEST

START_TEST(test_first_start_more_urls_than_are_dialled_are_refused)
{
    char initial[1024] = "a=http://h:1";
    for (int i = 0; i < CONFIG_URLS_MAX + 1; i++) {
        char part[32];
        snprintf(part, sizeof(part), ",b=http://i:%d", i + 1);
        strcat(initial, part);
    }
    refused(initial, "http://h:1", "more than 16 URLs");
}
END_TEST

START_TEST(test_first_start_joining_is_refused_and_says_what_to_do)
{
    config.initial_cluster_state = "existing";
    config.data_dir = "/srv/d";
    refused("a=http://h:1", "http://h:1", "--initial-cluster-state=existing, but /srv/d has no member");
    ck_assert_ptr_nonnull(strstr(message, "--initial-cluster-state=new"));
    ck_assert_ptr_nonnull(strstr(message, "must not come back under the same identity"));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("first_start");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, test_first_start_own_urls_are_compared_as_sets);
    tcase_add_test(tests, test_first_start_localhost_is_its_address);
    tcase_add_test(tests, test_first_start_own_urls_that_differ_are_refused_with_both_sides);
    tcase_add_test(tests, test_first_start_a_cluster_without_this_member_is_refused);
    tcase_add_test(tests, test_first_start_a_url_that_stands_twice_is_refused);
    tcase_add_test(tests, test_first_start_a_url_that_nobody_can_dial_is_refused);
    tcase_add_test(tests, test_first_start_more_urls_than_are_dialled_are_refused);
    tcase_add_test(tests, test_first_start_joining_is_refused_and_says_what_to_do);
    Suite *suite = suite_create("first_start");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
