/* Certificates beside keys, with the same CKA_ID and label, where other programs look for them. */
#include "key.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define CERTIFICATE_MAXIMUM 65536u

CK_RV p11_certificate_public(struct p11_use *use, CK_OBJECT_HANDLE certificate, struct p11_public *public, bool *known)
{
    CK_RV result = CKR_OK;
    CK_ATTRIBUTE content = p11_attribute(CKA_VALUE, NULL, CERTIFICATE_MAXIMUM);
    unsigned char *value = malloc(CERTIFICATE_MAXIMUM), *spki = NULL;
    X509 *x509 = X509_new_ex(p11_library_context(), NULL);
    *known = false;
    if (value == NULL || x509 == NULL) {
        result = CKR_HOST_MEMORY;
        goto out;
    }
    content.pValue = value;
    result = p11_attributes_get(use, certificate, &content, 1);
    if (result != CKR_OK || !p11_attribute_has(&content))
        goto out;
    const unsigned char *at = value;
    if (d2i_X509(&x509, &at, (long)content.ulValueLen) != NULL) {
        const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);
        *known = length > 0 && p11_public_spki((kw_input){spki, (size_t)length}, public);
    }
out:
    OPENSSL_free(spki);
    X509_free(x509);
    free(value);
    return result;
}

CK_RV p11_certificates_find(struct p11_use *use, const struct p11_locator *locator, CK_OBJECT_HANDLE key,
                            CK_OBJECT_HANDLE found[P11_MATCHES], size_t *count)
{
    struct p11_public own = {.spki_length = 0}, other = {.spki_length = 0};
    CK_OBJECT_HANDLE beside[P11_MATCHES];
    size_t all = 0;
    struct p11_traits traits;
    bool known = false;
    *count = 0;
    CK_RV result = p11_place_find(use, locator, CKO_CERTIFICATE, beside, &all);
    if (result != CKR_OK || all == 0)
        return result;
    result = p11_key_read_public(use, key, locator, &own, &traits);
    if (result == P11_TOLD && use->status == KW_UNSUPPORTED)
        return CKR_OK;
    for (size_t i = 0; result == CKR_OK && i < all; i++) {
        result = p11_certificate_public(use, beside[i], &other, &known);
        if (result == CKR_OK && known && own.spki_length == other.spki_length &&
            memcmp(own.spki, other.spki, own.spki_length) == 0)
            found[(*count)++] = beside[i];
    }
    return result;
}

struct job {
    struct p11_locator locator;
    kw_input certificate;
    kw_output *output;
    bool too_small;
    bool tried; /* an attempt to put it has failed, and may have done it all the same */
};

static kw_status begin(kw_plugin_instance *instance, kw_input locator, struct job *job)
{
    *job = (struct job){.too_small = false};
    if (!p11_locator_read(locator, &job->locator))
        return p11_report(&instance->host, KW_INVALID_ARGUMENT, "the locator is not one of pkcs11's");
    return KW_OK;
}

/* DER of a name or number of a certificate. */
struct part {
    unsigned char *data;
    int length;
};

/* PKCS#11 wants subject, issuer and serial number as attributes of their own. */
static bool read_parts(kw_input certificate, struct part *subject, struct part *issuer, struct part *serial)
{
    const unsigned char *at = certificate.data;
    X509 *x509 = X509_new_ex(p11_library_context(), NULL);
    bool good = x509 != NULL && certificate.length > 0 && certificate.length <= CERTIFICATE_MAXIMUM &&
                d2i_X509(&x509, &at, (long)certificate.length) != NULL && at == certificate.data + certificate.length;
    if (good) {
        subject->length = i2d_X509_NAME(X509_get_subject_name(x509), &subject->data);
        issuer->length = i2d_X509_NAME(X509_get_issuer_name(x509), &issuer->data);
        serial->length = i2d_ASN1_INTEGER(X509_get0_serialNumber(x509), &serial->data);
        good = subject->length > 0 && issuer->length > 0 && serial->length > 0;
    }
    X509_free(x509);
    return good;
}

/* The key's label is also its certificate's. */
static CK_RV read_label(struct p11_use *use, CK_OBJECT_HANDLE key, struct p11_locator *locator)
{
    CK_ATTRIBUTE label = p11_attribute(CKA_LABEL, locator->label, sizeof(locator->label));
    CK_RV result = p11_attributes_get(use, key, &label, 1);
    locator->label_length = result == CKR_OK && p11_attribute_has(&label) ? label.ulValueLen : 0;
    return result;
}

/* Of the key's certificates. */
static CK_RV destroy_others(struct p11_use *use, const struct p11_locator *locator, CK_OBJECT_HANDLE key,
                            CK_OBJECT_HANDLE kept, size_t *destroyed)
{
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    CK_RV result = p11_certificates_find(use, locator, key, found, &count);
    *destroyed = 0;
    for (size_t i = 0; result == CKR_OK && i < count; i++) {
        if (found[i] == kept)
            continue;
        result = p11_did(use, "C_DestroyObject", use->functions->C_DestroyObject(use->session, found[i]));
        (*destroyed)++;
    }
    return result;
}

/* The one that an attempt before made and said that it did not; 0: none. */
static CK_RV find_made(struct p11_use *use, const struct job *job, CK_OBJECT_HANDLE *made)
{
    static const CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_CLASS, &class, sizeof(class)),
        p11_attribute(CKA_ID, job->locator.id, job->locator.id_length),
        p11_attribute(CKA_VALUE, job->certificate.data, job->certificate.length),
    };
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    const CK_RV result = p11_objects_find(use, template, sizeof(template) / sizeof(template[0]), found, &count);
    if (result == CKR_OK && count > 0)
        *made = found[0];
    return result;
}

static CK_RV put(struct p11_use *use, void *argument)
{
    struct job *job = argument;
    struct p11_locator *at = &job->locator;
    static const CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    static const CK_CERTIFICATE_TYPE type = CKC_X_509;
    static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    struct part subject = {.length = 0}, issuer = {.length = 0}, serial = {.length = 0};
    CK_OBJECT_HANDLE key, made = 0;
    size_t destroyed = 0;
    CK_RV result = CKR_OK;
    if (!read_parts(job->certificate, &subject, &issuer, &serial)) {
        result = p11_tell(use, KW_INVALID_ARGUMENT, "this is no X.509 certificate");
        goto out;
    }
    result = p11_key_search(use, at, &key);
    if (result == CKR_OK)
        result = read_label(use, key, at);
    if (result == CKR_OK && job->tried)
        result = find_made(use, job, &made);
    if (result != CKR_OK)
        goto out;
    job->tried = true;
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_CLASS, &class, sizeof(class)),
        p11_attribute(CKA_CERTIFICATE_TYPE, &type, sizeof(type)),
        p11_attribute(CKA_TOKEN, &yes, sizeof(yes)),
        p11_attribute(CKA_PRIVATE, &no, sizeof(no)),
        p11_attribute(CKA_ID, at->id, at->id_length),
        p11_attribute(CKA_LABEL, at->label, at->label_length),
        p11_attribute(CKA_SUBJECT, subject.data, (size_t)subject.length),
        p11_attribute(CKA_ISSUER, issuer.data, (size_t)issuer.length),
        p11_attribute(CKA_SERIAL_NUMBER, serial.data, (size_t)serial.length),
        p11_attribute(CKA_VALUE, job->certificate.data, job->certificate.length),
    };
    if (made == 0)
        result = p11_did(
            use, "C_CreateObject",
            use->functions->C_CreateObject(use->session, template, sizeof(template) / sizeof(template[0]), &made));
    /* The new one is there before the old ones go. */
    if (result == CKR_OK)
        result = destroy_others(use, at, key, made, &destroyed);
out:
    OPENSSL_free(subject.data);
    OPENSSL_free(issuer.data);
    OPENSSL_free(serial.data);
    return result;
}

/* The key's certificates. A key that is not there has none. */
static CK_RV find(struct p11_use *use, struct job *job, CK_OBJECT_HANDLE found[P11_MATCHES], size_t *count)
{
    CK_OBJECT_HANDLE keys[P11_MATCHES];
    size_t key_count = 0;
    *count = 0;
    CK_RV result = p11_place_find(use, &job->locator, CKO_PRIVATE_KEY, keys, &key_count);
    if (result == CKR_OK && key_count == 1)
        result = p11_certificates_find(use, &job->locator, keys[0], found, count);
    return result == CKR_OK && *count == 0 ? p11_objects_absent(use) : result;
}

static CK_RV get(struct p11_use *use, void *argument)
{
    struct job *job = argument;
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    CK_RV result = find(use, job, found, &count);
    if (result != CKR_OK)
        return result;
    if (count != 1)
        return count == 0 ? p11_tell(use, KW_NOT_FOUND, "there is no certificate beside the key")
                          : p11_tell(use, KW_REFUSED, "there is more than one certificate beside the key");
    CK_ATTRIBUTE value = p11_attribute(CKA_VALUE, job->output->data, job->output->capacity);
    result = p11_attributes_get(use, found[0], &value, 1);
    if (result != CKR_OK)
        return result;
    job->output->length = p11_attribute_has(&value) ? value.ulValueLen : CERTIFICATE_MAXIMUM;
    job->too_small = !p11_attribute_has(&value);
    return CKR_OK;
}

static CK_RV destroy(struct p11_use *use, void *argument)
{
    struct job *job = argument;
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    CK_RV result = find(use, job, found, &count);
    if (result == CKR_OK && count == 0)
        return p11_tell(use, KW_NOT_FOUND, "there is no certificate beside the key");
    for (size_t i = 0; result == CKR_OK && i < count; i++)
        result = p11_did(use, "C_DestroyObject", use->functions->C_DestroyObject(use->session, found[i]));
    return result;
}

kw_status p11_certificate_put(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_input certificate)
{
    struct job job;
    kw_status status = begin(instance, locator, &job);
    job.certificate = certificate;
    return status == KW_OK ? p11_change(instance, call, "keep the certificate", put, &job) : status;
}

kw_status p11_certificate_get(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                              kw_output *certificate)
{
    struct job job;
    kw_status status = begin(instance, locator, &job);
    if (status != KW_OK)
        return status;
    job.output = certificate;
    if (certificate->data == NULL || certificate->capacity < CERTIFICATE_MAXIMUM) {
        certificate->length = CERTIFICATE_MAXIMUM;
        return KW_BUFFER_TOO_SMALL;
    }
    status = p11_perform(instance, call, "read the certificate", get, &job);
    if (status == KW_OK && job.too_small)
        return p11_report(&instance->host, KW_CORRUPT, "the certificate beside the key cannot be read");
    return status;
}

kw_status p11_certificate_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    struct job job;
    kw_status status = begin(instance, locator, &job);
    return status == KW_OK ? p11_change(instance, call, "delete the certificate", destroy, &job) : status;
}
