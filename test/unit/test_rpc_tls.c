/* Is a good pair taken and everything else refused with its reason, and does a reload change all or nothing? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/certificates.h"
#include "rpc/rpc_tls.h"

static char directory[64], certificate[96], key[96], other_certificate[96], other_key[96], mixed[96];
static char message[2048];

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/test_rpc_tls.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(certificate, sizeof certificate, "%s/a.pem", directory);
    snprintf(key, sizeof key, "%s/a.key", directory);
    snprintf(other_certificate, sizeof other_certificate, "%s/b.pem", directory);
    snprintf(other_key, sizeof other_key, "%s/b.key", directory);
    snprintf(mixed, sizeof mixed, "%s/mixed.pem", directory);
    certificates_make("kvd, the first", 0x1a2b, certificate, key, NULL);
    certificates_make("second", 0x77, other_certificate, other_key, NULL);
}

static void tear_down(void)
{
    const char *const paths[] = {certificate, key, other_certificate, other_key, mixed};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) (void)unlink(paths[i]);
    ck_assert_int_eq(rmdir(directory), 0);
}

static enum rpc_tls_file check_files(const char *certificate_path, const char *key_path, const char *ca_path)
{
    snprintf(message, sizeof message, "nothing said");
    return rpc_tls_check(&(struct rpc_tls_files){.certificate = certificate_path, .key = key_path, .trusted_ca = ca_path}, message, sizeof message);
}

static void refused(enum rpc_tls_file file, const char *certificate_path, const char *key_path, const char *ca_path, const char *why)
{
    const char *const paths[] = {"", certificate_path, key_path, ca_path};
    ck_assert_int_eq(check_files(certificate_path, key_path, ca_path), file);
    ck_assert_msg(strstr(message, why) != NULL, "\"%s\" is not in \"%s\"", why, message);
    ck_assert_msg(strstr(message, paths[file]) != NULL, "which file: %s", message);
}

START_TEST(test_rpc_tls_takes_what_is_good)
{
    char text[16384] = "";
    ck_assert_msg(check_files(certificate, key, "") == RPC_TLS_NONE, "%s", message);
    ck_assert_msg(check_files(certificate, key, other_certificate) == RPC_TLS_NONE, "%s", message);
    FILE *file = fopen(other_certificate, "r");
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, file), 100);
    fclose(file);
    certificates_join(mixed, certificate, text); /* a chain */
    ck_assert_msg(check_files(mixed, key, mixed) == RPC_TLS_NONE, "%s", message);
    certificates_join(mixed, certificate, "words of somebody behind it\n");
    ck_assert_msg(check_files(mixed, key, mixed) == RPC_TLS_NONE, "%s", message);
}
END_TEST

START_TEST(test_rpc_tls_says_what_is_wrong_with_which_file)
{
    refused(RPC_TLS_CERTIFICATE, "/nonexistent/a.pem", key, "", "cannot be read: No such file or directory");
    refused(RPC_TLS_KEY, certificate, directory, "", "cannot be read: Is a directory");
    refused(RPC_TLS_KEY, certificate, "/dev/zero", "", "cannot be read: not a regular file");
    refused(RPC_TLS_TRUSTED_CA, certificate, key, "/nonexistent/ca.pem", "cannot be read: No such file or directory");
    refused(RPC_TLS_CERTIFICATE, key, key, "", "holds no certificate in PEM");
    refused(RPC_TLS_KEY, certificate, certificate, "", "holds no private key in PEM");
    refused(RPC_TLS_KEY, certificate, other_key, "", "does not fit the certificate");
    refused(RPC_TLS_TRUSTED_CA, certificate, key, key, "holds no certificate in PEM");
    ck_assert_int_eq(mkfifo(mixed, 0600), 0);
    refused(RPC_TLS_CERTIFICATE, mixed, key, "", "not a regular file");
    unlink(mixed);
    certificates_join(mixed, NULL, "");
    refused(RPC_TLS_CERTIFICATE, mixed, key, "", "holds no certificate in PEM");
    refused(RPC_TLS_TRUSTED_CA, certificate, key, mixed, "holds no certificate in PEM");
    certificates_join(mixed, certificate, "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n");
    refused(RPC_TLS_CERTIFICATE, mixed, key, "", "cannot be read to its end");
    refused(RPC_TLS_TRUSTED_CA, certificate, key, mixed, "cannot be read to its end");
    certificates_make("locked", 1, other_certificate, other_key, "secret");
    refused(RPC_TLS_KEY, other_certificate, other_key, "", "has a password");
}
END_TEST

START_TEST(test_rpc_tls_bytes_that_are_no_text)
{
    FILE *file = fopen(mixed, "w");
    for (int i = 0; i < 5000; i++) fputc(i * 37 % 256, file);
    fclose(file);
    refused(RPC_TLS_CERTIFICATE, mixed, key, "", "zero bytes");
    ck_assert_int_eq(truncate(mixed, (off_t)RPC_TLS_FILE_BYTES_MAX + 1), 0);
    refused(RPC_TLS_KEY, certificate, mixed, "", "cannot be read: File too large");
}
END_TEST

START_TEST(test_rpc_tls_a_reload_changes_all_or_nothing)
{
    struct rpc_tls_identity identity;
    const struct rpc_tls_files files = {.certificate = certificate, .key = key, .trusted_ca = ""};
    ck_assert_ptr_null(rpc_tls_new(&(struct rpc_tls_files){.certificate = certificate, .key = other_key, .trusted_ca = ""}, message, sizeof message));
    struct rpc_tls *tls = rpc_tls_new(&files, message, sizeof message);
    ck_assert_msg(tls != NULL, "%s", message);
    rpc_tls_identify(tls, &identity);
    ck_assert_str_eq(identity.subject, "CN = \"kvd, the first\"");
    ck_assert_str_eq(identity.serial, "1A2B");
    ck_assert(!identity.is_expired && strstr(identity.not_after, "GMT") != NULL);
    ck_assert_uint_eq(rpc_tls_generation(tls), 1);
    ck_assert(!rpc_tls_needs_client(tls));

    certificates_make("half of it", 0x99, certificate, mixed, NULL); /* the key of before */
    ck_assert(!rpc_tls_reload(tls, message, sizeof message));
    ck_assert_ptr_nonnull(strstr(message, "does not fit the certificate"));
    rpc_tls_identify(tls, &identity);
    ck_assert_str_eq(identity.serial, "1A2B");
    ck_assert_uint_eq(rpc_tls_generation(tls), 1);

    ck_assert_int_eq(rename(mixed, key), 0);
    ck_assert_msg(rpc_tls_reload(tls, message, sizeof message), "%s", message);
    rpc_tls_identify(tls, &identity);
    ck_assert_str_eq(identity.serial, "99");
    ck_assert_uint_eq(rpc_tls_generation(tls), 2);
    rpc_tls_free(tls);
    rpc_tls_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_tls");
    TCase *tests = tcase_create("rpc_tls");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_rpc_tls_takes_what_is_good);
    tcase_add_test(tests, test_rpc_tls_says_what_is_wrong_with_which_file);
    tcase_add_test(tests, test_rpc_tls_bytes_that_are_no_text);
    tcase_add_test(tests, test_rpc_tls_a_reload_changes_all_or_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
