/* Are ids those of the API's rule (vectors read from an etcd 3.4 server), and is membership a value that survives its bytes? */
#include <check.h>
#include <stdlib.h>

#include "storage/cluster.h"

static struct cluster *parse(const char *initial, const char *token)
{
    char message[256] = "";
    struct cluster *cluster = cluster_from_initial(initial, token, message, sizeof message);
    ck_assert_msg(cluster != NULL, "%s", message);
    return cluster;
}

START_TEST(test_cluster_ids_of_one_member_are_as_etcd_computes_them)
{
    struct cluster *cluster = parse("n1=http://127.0.0.1:24800", "tok1");
    ck_assert_uint_eq(cluster->member_count, 1);
    ck_assert_uint_eq(cluster->members[0].id, UINT64_C(0x1e01fdf20feb3886));
    ck_assert_uint_eq(cluster->id, UINT64_C(0x56a01668ab3750b4));
    ck_assert_str_eq(cluster->members[0].name, "");
    ck_assert_str_eq(cluster->version, "");
    cluster_unref(cluster);
}
END_TEST

START_TEST(test_cluster_ids_of_three_members_and_two_urls_are_as_etcd_computes_them)
{
    struct cluster *cluster = parse("n1=http://127.0.0.1:24800,n2=http://127.0.0.1:24801,n2=http://127.0.0.1:24700,"
                                    "n3=http://127.0.0.1:24802",
                                    "etcd-cluster");
    ck_assert_uint_eq(cluster->id, UINT64_C(0x24cd0287a631e03f));
    ck_assert_uint_eq(cluster->member_count, 3);
    ck_assert_uint_eq(cluster->members[0].id, UINT64_C(0x5cae315174de75b1));
    ck_assert_uint_eq(cluster->members[1].id, UINT64_C(0x886b03c4ae679a15));
    ck_assert_uint_eq(cluster->members[2].id, UINT64_C(0xaf99627a3a6378ff));
    const struct cluster_member *n2 = cluster_find_initial_name(cluster, "n2");
    ck_assert_ptr_eq(n2, &cluster->members[2]);
    ck_assert_str_eq(n2->peer_urls[0], "http://127.0.0.1:24700");
    ck_assert_str_eq(n2->peer_urls[1], "http://127.0.0.1:24801");
    ck_assert_ptr_eq(cluster_find_initial_name(cluster, "n3"), &cluster->members[0]);
    ck_assert_ptr_null(cluster_find_initial_name(cluster, "n4"));
    ck_assert_ptr_null(cluster_find(cluster, 1));
    cluster_unref(cluster);
}
END_TEST

START_TEST(test_cluster_bad_initial_clusters_are_refused_with_the_reason)
{
    static const char *const bad[] = {
        "",
        "n1",
        "=http://a:1",
        "n1=",
        "n1=ftp://a:1",
        "n1=http://a",
        "n1=http://a:",
        "n1=http://:1",
        "n1=http://a:x",
        "n1=http://a:1/path",
        "n1=http://a:1,,n2=http://a:2",
        "n1=http://a:1,n2=http://a:1",
        "n1=http://",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char message[256] = "";
        ck_assert_msg(cluster_from_initial(bad[i], "t", message, sizeof message) == NULL, "%s", bad[i]);
        ck_assert_uint_gt(strlen(message), 10);
    }
}
END_TEST

START_TEST(test_cluster_members_survive_their_bytes)
{
    struct cluster *first = parse("a=http://a:1,b=https://b:2,c=http://[::1]:3", "t");
    char *urls[] = {(char[]){"http://a:9"}, (char[]){"http://a:8"}};
    uint64_t id = cluster_find_initial_name(first, "a")->id;
    struct cluster *named = cluster_with_attributes(first, id, "alpha", urls, 2);
    struct blob *bytes = cluster_encode_members(named);
    struct cluster *back = cluster_decode_members(named->id, blob_slice(bytes));
    ck_assert_ptr_nonnull(back);
    ck_assert_uint_eq(back->id, first->id);
    ck_assert_uint_eq(back->member_count, 3);
    ck_assert_str_eq(cluster_find(back, id)->name, "alpha");
    ck_assert_uint_eq(cluster_find(back, id)->client_url_count, 2);
    ck_assert_str_eq(cluster_find(back, id)->client_urls[1], "http://a:8");
    ck_assert_str_eq(cluster_find(back, id)->peer_urls[0], "http://a:1");
    ck_assert_str_eq(cluster_find(first, id)->name, ""); /* the original is as it was */
    struct blob *again = cluster_encode_members(back);
    ck_assert(slice_equal(blob_slice(bytes), blob_slice(again)));
    for (uint32_t size = 0; size < bytes->size; size++) {
        struct cluster *cut = cluster_decode_members(1, slice_make(bytes->data, size));
        ck_assert(cut == NULL || cut->member_count < 3);
        cluster_unref(cut);
    }
    blob_unref(again);
    blob_unref(bytes);
    cluster_unref(back);
    cluster_unref(named);
    cluster_unref(first);
}
END_TEST

START_TEST(test_cluster_changes_make_copies_and_references_keep_them)
{
    struct cluster *first = parse("a=http://a:1", "t");
    struct cluster *kept = cluster_ref(first);
    struct cluster *second = cluster_with_version(first, "3.6.0");
    ck_assert_str_eq(first->version, "");
    ck_assert_str_eq(second->version, "3.6.0");
    ck_assert_ptr_eq(cluster_find_initial_name(second, "a"), &second->members[0]);
    cluster_unref(first);
    ck_assert_uint_eq(kept->member_count, 1);
    cluster_unref(kept);
    cluster_unref(second);
    cluster_unref(NULL);
}
END_TEST

START_TEST(test_cluster_damaged_bytes_are_refused)
{
    ck_assert_ptr_null(cluster_decode_members(1, slice_from_string("\x0a\x05xxxxx")));
    ck_assert_ptr_null(cluster_decode_members(1, slice_from_string("\x0a\x00")));                 /* a member without id */
    ck_assert_ptr_null(cluster_decode_members(1, slice_from_string("\x0a\x02\x08\x05\x0a\x02\x08\x05"))); /* twice */
    ck_assert_ptr_null(cluster_decode_members(1, slice_make("\x0a\x07\x08\x05\x12\x03\x0a\x01\x00", 9))); /* NUL */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster");
    TCase *tcase = tcase_create("values");
    tcase_add_test(tcase, test_cluster_ids_of_one_member_are_as_etcd_computes_them);
    tcase_add_test(tcase, test_cluster_ids_of_three_members_and_two_urls_are_as_etcd_computes_them);
    tcase_add_test(tcase, test_cluster_bad_initial_clusters_are_refused_with_the_reason);
    tcase_add_test(tcase, test_cluster_members_survive_their_bytes);
    tcase_add_test(tcase, test_cluster_changes_make_copies_and_references_keep_them);
    tcase_add_test(tcase, test_cluster_damaged_bytes_are_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
