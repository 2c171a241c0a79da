/* http_tls: see http_tls.h. */
#include "rpc/http_tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <openssl/crypto.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"

struct http_credentials {
    gnutls_certificate_credentials_t handle;
    uint64_t generation;
    uint32_t holders; /* connections, and http_tls for those of now */
};
struct http_tls {
    struct rpc_tls *tls;
    struct http_credentials *now; /* NULL = none yet */
};

static gnutls_datum_t datum_of(const struct buf *text)
{
    ASSERT(text->size > 0);
    return (gnutls_datum_t){.data = text->blob->data, .size = (unsigned)(text->size - 1)};
}

/* GnuTLS's code; *out_handle is NULL after a failure. */
static int make_handle(const struct rpc_tls_texts *texts, gnutls_certificate_credentials_t *out_handle)
{
    gnutls_datum_t certificate = datum_of(&texts->certificate), key = datum_of(&texts->key);
    *out_handle = NULL;
    int code = gnutls_certificate_allocate_credentials(out_handle);
    if (code >= 0) code = gnutls_certificate_set_x509_key_mem(*out_handle, &certificate, &key, GNUTLS_X509_FMT_PEM);
    if (code >= 0 && texts->trusted_ca.size > 0) {
        gnutls_datum_t ca = datum_of(&texts->trusted_ca);
        code = gnutls_certificate_set_x509_trust_mem(*out_handle, &ca, GNUTLS_X509_FMT_PEM);
    }
    if (code >= 0) return code;
    if (*out_handle != NULL) gnutls_certificate_free_credentials(*out_handle);
    *out_handle = NULL;
    return code;
}

/* From what is in force. *out_generation is that of the texts. */
static int make_handle_of_now(struct rpc_tls *tls, gnutls_certificate_credentials_t *out_handle, uint64_t *out_generation)
{
    struct rpc_tls_texts texts;
    buf_init(&texts.certificate);
    buf_init(&texts.key);
    buf_init(&texts.trusted_ca);
    rpc_tls_read(tls, &texts);
    *out_generation = texts.generation;
    int code = make_handle(&texts, out_handle);
    OPENSSL_cleanse(texts.key.blob->data, texts.key.size);
    buf_deinit(&texts.certificate);
    buf_deinit(&texts.key);
    buf_deinit(&texts.trusted_ca);
    return code;
}

struct http_tls *http_tls_new(struct rpc_tls *tls)
{
    struct http_tls *http_tls = ALLOC(struct http_tls);
    http_tls->tls = tls;
    return http_tls;
}

void http_tls_free(struct http_tls *tls)
{
    if (tls == NULL) return;
    ASSERT(tls->now == NULL || tls->now->holders == 1);
    http_tls_end(tls, tls->now);
    alloc_free(tls);
}

/* Those of now are made anew once there is a newer generation. What cannot be made leaves the older ones. */
static void refresh(struct http_tls *tls)
{
    gnutls_certificate_credentials_t handle;
    uint64_t generation;
    if (tls->now != NULL && tls->now->generation == rpc_tls_generation(tls->tls)) return;
    int code = make_handle_of_now(tls->tls, &handle, &generation);
    if (code < 0) {
        LOG(WARN, "certificate, key and CA cannot be used for HTTPS", LOG_F_TEXT("error", gnutls_strerror(code)));
        return;
    }
    http_tls_end(tls, tls->now);
    tls->now = ALLOC(struct http_credentials);
    *tls->now = (struct http_credentials){.handle = handle, .generation = generation, .holders = 1};
}

/* As OpenSSL does for gRPC: a certificate that is for servers only is no client's. */
static void verify_client(gnutls_session_t session)
{
    static unsigned char client[] = GNUTLS_KP_TLS_WWW_CLIENT;
    static gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = client}; /* constant; GnuTLS's declaration lacks the const */
    gnutls_session_set_verify_cert2(session, &purpose, 1, 0);
}

struct http_credentials *http_tls_begin(struct http_tls *tls, void *session)
{
    ASSERT(session != NULL);
    refresh(tls);
    if (tls->now == NULL) return NULL;
    bool needs_client = rpc_tls_needs_client(tls->tls);
    int code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->now->handle);
    ASSERT(code == GNUTLS_E_SUCCESS);
    gnutls_certificate_server_set_request(session, needs_client ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_IGNORE);
    if (needs_client) verify_client(session);
    tls->now->holders++;
    return tls->now;
}

void http_tls_end(struct http_tls *tls, struct http_credentials *credentials)
{
    ASSERT(tls != NULL);
    if (credentials == NULL || --credentials->holders > 0) return;
    gnutls_certificate_free_credentials(credentials->handle);
    alloc_free(credentials);
}
