/* rpc_tls: see rpc_tls.h. */
#include "rpc/rpc_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/assert.h"

struct generation {
    struct rpc_tls_texts texts;
    struct rpc_tls_identity identity;
};
struct rpc_tls {
    char *certificate_path, *key_path, *trusted_ca_path;
    pthread_mutex_t lock; /* of what follows */
    struct generation *now;
    uint64_t fetched; /* the generation that gRPC has */
};
struct mistake {
    enum rpc_tls_file file;
    const char *path;
    char *message;
    size_t size;
};

/* --- files --- */

static void complain(struct mistake *mistake, enum rpc_tls_file file, const char *path, const char *why)
{
    static const char *const names[] = {"", "certificate", "key", "trusted CA"};
    mistake->file = file;
    snprintf(mistake->message, mistake->size, "the %s file %.1024s %.512s", names[file], path, why);
}

/* OpenSSL's reason for its last refusal, behind ours. */
static void complain_of_openssl(struct mistake *mistake, enum rpc_tls_file file, const char *path, const char *what)
{
    char why[512];
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(why, sizeof(why), "%s%s%s", what, reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
    complain(mistake, file, path, why);
}

/* Only of a regular file: others could keep the reader waiting, and cannot be read again. 0 or an errno. */
static int read_file(const char *path, struct buf *out_text)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
    if (descriptor < 0) return errno;
    if (fstat(descriptor, &status) != 0) error = errno;
    else if (!S_ISREG(status.st_mode)) error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    else if (status.st_size > (off_t)RPC_TLS_FILE_BYTES_MAX) error = EFBIG;
    while (error == 0) {
        buf_reserve(out_text, 4096);
        ssize_t got = read(descriptor, buf_extend(out_text, 4096), 4096);
        out_text->size -= 4096 - (got > 0 ? (size_t)got : 0);
        if (got == 0) break;
        if (got < 0 && errno != EINTR) error = errno;
        if (out_text->size > RPC_TLS_FILE_BYTES_MAX) error = EFBIG;
    }
    (void)close(descriptor);
    return error;
}

static bool load(const char *path, enum rpc_tls_file file, struct buf *out_text, struct mistake *mistake)
{
    char why[128];
    int error = read_file(path, out_text);
    if (error == 0) {
        buf_put_u8(out_text, 0);
        if (memchr(buf_slice(out_text).data, 0, out_text->size - 1) == NULL) return true;
        complain(mistake, file, path, "is not PEM: there are zero bytes in it");
        return false;
    }
    snprintf(why, sizeof(why), "cannot be read: %s", error == EINVAL ? "not a regular file" : strerror(error));
    complain(mistake, file, path, why);
    return false;
}

/* --- checks --- */

/* A key with a password is refused, and nobody is asked for it on the terminal. */
static int no_password(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer, (void)size, (void)is_writing, (void)context;
    return 0;
}

static BIO *reader_of(const struct buf *text)
{
    BIO *bio = BIO_new_mem_buf(buf_slice(text).data, (int)(text->size - 1));
    ASSERT(bio != NULL);
    return bio;
}

static const char *text_of(const struct buf *text) { return (const char *)buf_slice(text).data; }

static void identify(X509 *certificate, struct rpc_tls_identity *out_identity)
{
    BIO *bio = BIO_new(BIO_s_mem());
    *out_identity = (struct rpc_tls_identity){.is_expired = X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0};
    ASSERT(bio != NULL);
    (void)X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE);
    (void)BIO_read(bio, out_identity->subject, RPC_TLS_TEXT_MAX - 1);
    (void)BIO_reset(bio);
    (void)i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(certificate));
    (void)BIO_read(bio, out_identity->serial, RPC_TLS_TEXT_MAX - 1);
    (void)BIO_reset(bio);
    (void)ASN1_TIME_print(bio, X509_get0_notAfter(certificate));
    (void)BIO_read(bio, out_identity->not_after, RPC_TLS_TEXT_MAX - 1);
    BIO_free(bio);
}

/* The server's own certificate, then those behind it. */
static bool use_chain(SSL_CTX *context, const char *path, struct generation *generation, struct mistake *mistake)
{
    BIO *bio = reader_of(&generation->texts.certificate);
    X509 *own = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
    bool is_good = own != NULL;
    if (!is_good) complain_of_openssl(mistake, RPC_TLS_CERTIFICATE, path, "holds no certificate in PEM");
    if (is_good && SSL_CTX_use_certificate(context, own) != 1) {
        complain_of_openssl(mistake, RPC_TLS_CERTIFICATE, path, "holds a certificate that cannot be used");
        is_good = false;
    }
    if (is_good) identify(own, &generation->identity);
    X509_free(own);
    for (X509 *next; is_good && (next = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL;) {
        if (SSL_CTX_add0_chain_cert(context, next) == 1) continue;
        X509_free(next);
        complain_of_openssl(mistake, RPC_TLS_CERTIFICATE, path, "holds a chain that cannot be used");
        is_good = false;
    }
    bool is_at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (is_good && !is_at_end) {
        complain_of_openssl(mistake, RPC_TLS_CERTIFICATE, path, "cannot be read to its end");
        is_good = false;
    }
    BIO_free(bio);
    return is_good;
}

static bool use_key(SSL_CTX *context, const char *path, const struct generation *generation, struct mistake *mistake)
{
    BIO *bio = reader_of(&generation->texts.key);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    bool is_locked = strstr(text_of(&generation->texts.key), "ENCRYPTED") != NULL;
    bool is_good = false;
    if (key == NULL && is_locked) complain(mistake, RPC_TLS_KEY, path, "has a password: a key without one is needed");
    else if (key == NULL) complain_of_openssl(mistake, RPC_TLS_KEY, path, "holds no private key in PEM");
    else if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1)
        complain_of_openssl(mistake, RPC_TLS_KEY, path, "does not fit the certificate");
    else is_good = true;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return is_good;
}

static bool check_trusted_ca(const char *path, const struct generation *generation, struct mistake *mistake)
{
    BIO *bio = reader_of(&generation->texts.trusted_ca);
    size_t count = 0;
    for (X509 *next; (next = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL)) != NULL; count++) X509_free(next);
    bool is_at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (count == 0) complain_of_openssl(mistake, RPC_TLS_TRUSTED_CA, path, "holds no certificate in PEM");
    else if (!is_at_end) complain_of_openssl(mistake, RPC_TLS_TRUSTED_CA, path, "cannot be read to its end");
    BIO_free(bio);
    return count > 0 && is_at_end;
}

static void generation_free(struct generation *generation)
{
    if (generation == NULL) return;
    struct buf *key = &generation->texts.key;
    if (key->size > 0) OPENSSL_cleanse(key->blob->data, key->size);
    buf_deinit(&generation->texts.certificate);
    buf_deinit(key);
    buf_deinit(&generation->texts.trusted_ca);
    alloc_free(generation);
}

/* NULL: the mistake is filled in. */
static struct generation *generation_read(const struct rpc_tls_files *files, struct mistake *mistake)
{
    struct generation *generation = ALLOC(struct generation);
    struct rpc_tls_texts *texts = &generation->texts;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    ASSERT(context != NULL && files->certificate[0] != '\0' && files->key[0] != '\0');
    buf_init(&texts->certificate);
    buf_init(&texts->key);
    buf_init(&texts->trusted_ca);
    ERR_clear_error();
    bool has_ca = files->trusted_ca[0] != '\0';
    bool is_good = load(files->certificate, RPC_TLS_CERTIFICATE, &texts->certificate, mistake) &&
                   load(files->key, RPC_TLS_KEY, &texts->key, mistake) &&
                   (!has_ca || load(files->trusted_ca, RPC_TLS_TRUSTED_CA, &texts->trusted_ca, mistake)) &&
                   use_chain(context, files->certificate, generation, mistake) && use_key(context, files->key, generation, mistake) &&
                   (!has_ca || check_trusted_ca(files->trusted_ca, generation, mistake));
    ERR_clear_error();
    SSL_CTX_free(context);
    if (is_good) return generation;
    generation_free(generation);
    return NULL;
}

enum rpc_tls_file rpc_tls_check(const struct rpc_tls_files *files, char *out_message, size_t message_size)
{
    struct mistake mistake = {.message = out_message, .size = message_size};
    generation_free(generation_read(files, &mistake));
    return mistake.file;
}

/* --- in force --- */

struct rpc_tls *rpc_tls_new(const struct rpc_tls_files *files, char *out_message, size_t message_size)
{
    struct mistake mistake = {.message = out_message, .size = message_size};
    struct generation *generation = generation_read(files, &mistake);
    if (generation == NULL) return NULL;
    struct rpc_tls *tls = ALLOC(struct rpc_tls);
    tls->certificate_path = alloc_string(files->certificate);
    tls->key_path = alloc_string(files->key);
    tls->trusted_ca_path = alloc_string(files->trusted_ca);
    tls->now = generation;
    generation->texts.generation = 1;
    int error = pthread_mutex_init(&tls->lock, NULL);
    ASSERT(error == 0);
    return tls;
}

void rpc_tls_free(struct rpc_tls *tls)
{
    if (tls == NULL) return;
    int error = pthread_mutex_destroy(&tls->lock);
    ASSERT(error == 0);
    generation_free(tls->now);
    alloc_free(tls->certificate_path);
    alloc_free(tls->key_path);
    alloc_free(tls->trusted_ca_path);
    alloc_free(tls);
}

bool rpc_tls_reload(struct rpc_tls *tls, char *out_message, size_t message_size)
{
    struct mistake mistake = {.message = out_message, .size = message_size};
    const struct rpc_tls_files files = {.certificate = tls->certificate_path, .key = tls->key_path, .trusted_ca = tls->trusted_ca_path};
    struct generation *generation = generation_read(&files, &mistake);
    if (generation == NULL) return false;
    pthread_mutex_lock(&tls->lock);
    struct generation *before = tls->now;
    generation->texts.generation = before->texts.generation + 1;
    tls->now = generation;
    pthread_mutex_unlock(&tls->lock);
    generation_free(before);
    return true;
}

uint64_t rpc_tls_generation(struct rpc_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    uint64_t generation = tls->now->texts.generation;
    pthread_mutex_unlock(&tls->lock);
    return generation;
}

void rpc_tls_read(struct rpc_tls *tls, struct rpc_tls_texts *out_texts)
{
    pthread_mutex_lock(&tls->lock);
    const struct rpc_tls_texts *now = &tls->now->texts;
    out_texts->generation = now->generation;
    buf_put_slice(&out_texts->certificate, buf_slice(&now->certificate));
    buf_put_slice(&out_texts->key, buf_slice(&now->key));
    buf_put_slice(&out_texts->trusted_ca, buf_slice(&now->trusted_ca));
    pthread_mutex_unlock(&tls->lock);
}

bool rpc_tls_needs_client(const struct rpc_tls *tls) { return tls->trusted_ca_path[0] != '\0'; }

void rpc_tls_identify(struct rpc_tls *tls, struct rpc_tls_identity *out_identity)
{
    pthread_mutex_lock(&tls->lock);
    *out_identity = tls->now->identity;
    pthread_mutex_unlock(&tls->lock);
}

/* gRPC's, at the first and before each handshake. */
static grpc_ssl_certificate_config_reload_status fetch(void *context, grpc_ssl_server_certificate_config **out_config)
{
    struct rpc_tls *tls = context;
    pthread_mutex_lock(&tls->lock);
    const struct rpc_tls_texts *now = &tls->now->texts;
    bool is_new = tls->fetched != now->generation;
    if (is_new) {
        const grpc_ssl_pem_key_cert_pair pair = {.private_key = text_of(&now->key), .cert_chain = text_of(&now->certificate)};
        /* gRPC asserts that there is a CA. Where clients are not asked for certificates it checks none by it: any will do. */
        const char *ca = text_of(now->trusted_ca.size > 0 ? &now->trusted_ca : &now->certificate);
        *out_config = grpc_ssl_server_certificate_config_create(ca, &pair, 1);
        tls->fetched = now->generation;
    }
    pthread_mutex_unlock(&tls->lock);
    return is_new ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

grpc_server_credentials *rpc_tls_credentials(struct rpc_tls *tls)
{
    grpc_ssl_client_certificate_request_type type = rpc_tls_needs_client(tls)
                                                        ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                        : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    ASSERT(tls->fetched == 0); /* one server */
    return grpc_ssl_server_credentials_create_with_options(grpc_ssl_server_credentials_create_options_using_config_fetcher(type, fetch, tls));
}
