/* Do threads that ask for the certificate see one generation as a whole, while main reads others? TSan looks on. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/certificates.h"
#include "rpc/rpc_tls.h"

#define READERS 3
#define RELOADS 200

static struct rpc_tls *tls;
static atomic_bool is_over;

static void *read_on(void *context)
{
    uint64_t newest = 0;
    (void)context;
    while (!atomic_load(&is_over)) {
        struct rpc_tls_texts texts;
        buf_init(&texts.certificate);
        buf_init(&texts.key);
        buf_init(&texts.trusted_ca);
        rpc_tls_read(tls, &texts);
        ck_assert_uint_ge(texts.generation, newest);
        newest = texts.generation;
        ck_assert_ptr_nonnull(strstr((const char *)buf_slice(&texts.certificate).data, "END CERTIFICATE"));
        ck_assert_ptr_nonnull(strstr((const char *)buf_slice(&texts.key).data, "END PRIVATE KEY"));
        ck_assert_uint_ge(rpc_tls_generation(tls), newest);
        buf_deinit(&texts.certificate);
        buf_deinit(&texts.key);
        buf_deinit(&texts.trusted_ca);
    }
    return NULL;
}

START_TEST(test_tls_stress_readers_beside_reloads)
{
    char directory[] = "/tmp/test_tls_stress.XXXXXX", certificate[64], key[64], message[1024];
    pthread_t readers[READERS];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(certificate, sizeof certificate, "%s/a.pem", directory);
    snprintf(key, sizeof key, "%s/a.key", directory);
    certificates_make("a", 1, certificate, key, NULL);
    tls = rpc_tls_new(&(struct rpc_tls_files){.certificate = certificate, .key = key, .trusted_ca = certificate}, message, sizeof message);
    ck_assert_msg(tls != NULL, "%s", message);
    for (int i = 0; i < READERS; i++) ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, NULL), 0);
    for (int i = 0; i < RELOADS; i++) ck_assert_msg(rpc_tls_reload(tls, message, sizeof message), "%s", message);
    atomic_store(&is_over, true);
    for (int i = 0; i < READERS; i++) ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
    ck_assert_uint_eq(rpc_tls_generation(tls), RELOADS + 1);
    rpc_tls_free(tls);
    (void)unlink(certificate);
    (void)unlink(key);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_stress");
    TCase *tests = tcase_create("tls_stress");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_tls_stress_readers_beside_reloads);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
