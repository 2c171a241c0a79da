/* certificates: see certificates.h. */
#include "lib/certificates.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

void certificates_make(const char *name, long serial, const char *certificate_path, const char *key_path, const char *password)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ck_assert(key != NULL && certificate != NULL);
    X509_NAME *subject = X509_get_subject_name(certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0), 1);
    ck_assert_int_eq(X509_set_issuer_name(certificate, subject), 1);
    ck_assert_int_eq(X509_set_pubkey(certificate, key), 1);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    FILE *file = fopen(certificate_path, "w");
    ck_assert(file != NULL && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    file = fopen(key_path, "w");
    ck_assert_ptr_nonnull(file);
    const EVP_CIPHER *cipher = password == NULL ? NULL : EVP_aes_128_cbc();
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, cipher, (const unsigned char *)password, password == NULL ? 0 : (int)strlen(password), NULL, NULL), 1);
    ck_assert_int_eq(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void certificates_join(const char *path, const char *first_path, const char *text)
{
    char bytes[16384];
    size_t size = 0;
    FILE *file;
    if (first_path != NULL) {
        file = fopen(first_path, "r");
        ck_assert_ptr_nonnull(file);
        size = fread(bytes, 1, sizeof bytes, file);
        ck_assert_int_eq(fclose(file), 0);
    }
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    ck_assert_int_eq(fclose(file), 0);
}
