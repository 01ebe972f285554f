#include "certificate/crl.h"

#include "base/buffer.h"
#include "base/file.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define REDIRECTS   3L
#define URL_MAXIMUM 2048
#define SCHEMES     "http,https"

/* ---- By HTTP ---------------------------------------------------------------------------------------------------- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static bool curl_works;

/* For the life of the process, as the library itself: the application may use libcurl too, which counts its users. */
static void start_curl(void)
{
    curl_works = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

struct download {
    struct buffer content;
    size_t maximum;
    bool too_large;
};

static size_t take_content(char *data, size_t size, size_t count, void *user)
{
    struct download *download = user;
    const size_t length = size * count;
    if (length > download->maximum - download->content.length) {
        download->too_large = true;
        return 0;
    }
    buffer_append(&download->content, data, length);
    return download->content.failed ? 0 : length;
}

static bool set_up(CURL *curl, const char *url, const struct crl_limits *limits, struct download *download,
                   char *reason)
{
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, SCHEMES) == CURLE_OK && /* of redirects too */
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && /* signals are the application's */
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)limits->timeout) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)limits->maximum) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "keywright/" KW_VERSION) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_content) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, download) == CURLE_OK;
}

static kw_status download_error(CURLcode code, const char *url, const struct crl_limits *limits,
                                const struct download *download, const char *reason, kw_error *error)
{
    kw_status status = KW_UNAVAILABLE;
    if (download->content.failed || code == CURLE_OUT_OF_MEMORY)
        return error_memory(error);
    if (download->too_large || code == CURLE_FILESIZE_EXCEEDED) {
        status = error_set(error, KW_REFUSED, "the revocation list %s is larger than %zu bytes", url, limits->maximum);
        error_remedy(error, "if it may be that large, raise 'trust: crl_maximum_bytes' in the configuration");
    } else if (code == CURLE_TOO_MANY_REDIRECTS) {
        status = error_set(error, KW_REFUSED, "the revocation list %s leads through more than %ld redirects", url,
                           REDIRECTS);
    } else if (code == CURLE_UNSUPPORTED_PROTOCOL) {
        status = error_set(error, KW_REFUSED, "the revocation list %s is redirected to neither http nor https", url);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        status = error_set(error, KW_UNAVAILABLE, "the revocation list %s did not arrive within %lld ms", url,
                           (long long)limits->timeout);
        error_remedy(error, "look whether this host can reach it; 'trust: crl_timeout' says how long to wait");
    } else {
        status = error_set(error, KW_UNAVAILABLE, "the revocation list %s cannot be fetched: %s", url,
                           reason[0] != '\0' ? reason : curl_easy_strerror(code));
        error_remedy(error, "look whether this host can reach it, by a firewall or through a proxy (http_proxy)");
    }
    return status;
}

static kw_status fetch_http(const char *url, const struct crl_limits *limits, kw_bytes *content, kw_error *error)
{
    char reason[CURL_ERROR_SIZE] = "";
    struct download download = {.maximum = limits->maximum};
    CURL *curl = NULL;
    CURLcode code = CURLE_OK;
    kw_status status = KW_OK;
    pthread_once(&curl_once, start_curl);
    curl = curl_works ? curl_easy_init() : NULL;
    if (curl == NULL || !set_up(curl, url, limits, &download, reason)) {
        status = error_set(error, KW_FAILED, "libcurl cannot be set up to fetch %s", url);
        goto out;
    }
    code = curl_easy_perform(curl);
    status = code == CURLE_OK ? buffer_take(&download.content, content)
                              : download_error(code, url, limits, &download, reason, error);
    if (code == CURLE_OK && status != KW_OK)
        status = error_memory(error);
out:
    curl_easy_cleanup(curl);
    buffer_free(&download.content);
    return status;
}

/* ---- From a file -------------------------------------------------------------------------------------------------- */

static kw_status another_host(const char *url, kw_error *error)
{
    return error_set(error, KW_UNSUPPORTED, "the revocation list %s is not a file of this host", url);
}

/* Without libcurl, which would wait for a pipe's writer and read a device. */
static kw_status fetch_file(const char *url, const char *host, const char *path, const struct crl_limits *limits,
                            kw_bytes *content, kw_error *error)
{
    if (host != NULL && host[0] != '\0' && strcmp(host, "localhost") != 0)
        return another_host(url, error);
    kw_status status = file_read(path, limits->maximum, content, error);
    if (status == KW_INVALID_ARGUMENT)
        status = KW_REFUSED;
    else if (status == KW_NOT_FOUND)
        status = KW_UNAVAILABLE;
    if (status != KW_OK && error != NULL)
        error->status = status;
    if (status != KW_OK)
        error_prefix(error, "the revocation list %s", url);
    return status;
}

/* ---- All together ------------------------------------------------------------------------------------------------- */

static kw_status no_url(const char *url, kw_error *error)
{
    return error_set(error, KW_INVALID_ARGUMENT, "the place of a revocation list is no URL: '%s'", url);
}

static kw_status fetch_by_path(const char *url, const struct crl_limits *limits, kw_bytes *content, kw_error *error)
{
    CURLU *parsed = curl_url();
    char *host = NULL, *path = NULL;
    CURLUcode code = parsed == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(parsed, CURLUPART_URL, url, 0);
    kw_status status = KW_OK;
    if (code == CURLUE_OK)
        code = curl_url_get(parsed, CURLUPART_PATH, &path, CURLU_URLDECODE);
    if (code == CURLUE_OK) {
        (void)curl_url_get(parsed, CURLUPART_HOST, &host, 0); /* it need not have one */
        status = fetch_file(url, host, path, limits, content, error);
    } else {
        status = code == CURLUE_OUT_OF_MEMORY  ? error_memory(error)
                 : code == CURLUE_BAD_FILE_URL ? another_host(url, error)
                                               : no_url(url, error);
    }
    curl_free(path);
    curl_free(host);
    curl_url_cleanup(parsed);
    return status;
}

/* By hand, since libcurl parses only what it could fetch: ldap:///CN=..., as Active Directory writes it, is to be named too. */
static kw_status fetch(const char *url, const struct crl_limits *limits, kw_bytes *content, kw_error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    const size_t length = strspn(url, letters);
    const int shown = (int)length;
    if (length == 0 || url[length] != ':')
        return no_url(url, error);
    if ((length == 4 && strncasecmp(url, "http", 4) == 0) || (length == 5 && strncasecmp(url, "https", 5) == 0))
        return fetch_http(url, limits, content, error);
    if (length == 4 && strncasecmp(url, "file", 4) == 0)
        return fetch_by_path(url, limits, content, error);
    return error_set(
        error, KW_UNSUPPORTED,
        "the revocation list %s is to be fetched by %.*s, which is not supported; http, https and file are", url, shown,
        url);
}

static kw_status parse_der(struct crypto *crypto, kw_input der, X509_CRL **crl)
{
    const unsigned char *at = der.data;
    X509_CRL *made = X509_CRL_new_ex(crypto->library, NULL);
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    if (der.length == 0 || der.length > INT32_MAX || d2i_X509_CRL(&made, &at, (long)der.length) == NULL ||
        at != der.data + der.length) {
        X509_CRL_free(made); /* NULL when d2i_X509_CRL has freed it */
        return KW_CORRUPT;
    }
    *crl = made;
    return KW_OK;
}

static kw_status parse_within(struct crypto *crypto, kw_input content, X509_CRL **crl)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long length = 0;
    kw_status status = KW_CORRUPT;
    if (content.length > 0 && content.data[0] == 0x30)
        return parse_der(crypto, content, crl);
    BIO *text = content.length <= INT32_MAX ? BIO_new_mem_buf(content.data, (int)content.length) : NULL;
    if (text != NULL && PEM_read_bio(text, &name, &header, &der, &length) && strcmp(name, PEM_STRING_X509_CRL) == 0)
        status = parse_der(crypto, (kw_input){der, (size_t)length}, crl);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(text);
    return status;
}

static kw_status parse(struct crypto *crypto, kw_input content, X509_CRL **crl)
{
    crypto_enter();
    const kw_status status = parse_within(crypto, content, crl);
    crypto_leave();
    return status;
}

kw_status crl_fetch(struct crypto *crypto, kw_input url, const struct crl_limits *limits, X509_CRL **crl,
                    kw_error *error)
{
    char text[URL_MAXIMUM + 1] = "";
    kw_bytes content = {0};
    if (url.length == 0 || url.length > URL_MAXIMUM || memchr(url.data, '\0', url.length) != NULL)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "the place of a revocation list is empty, longer than %d bytes, or has a NUL in it",
                         URL_MAXIMUM);
    memcpy(text, url.data, url.length);
    kw_status status = fetch(text, limits, &content, error);
    if (status != KW_OK)
        return status;
    ERR_set_mark();
    status = parse(crypto, (kw_input){content.data, content.length}, crl);
    ERR_pop_to_mark();
    if (status == KW_CORRUPT)
        status = error_set(error, status, "what %s gives is not a revocation list", text);
    else if (status != KW_OK)
        status = error_memory(error);
    kw_bytes_free(&content);
    return status;
}

void time_text(const ASN1_TIME *time, char text[TIME_TEXT_SIZE])
{
    struct tm parts;
    if (time == NULL || !ASN1_TIME_to_tm(time, &parts) ||
        strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        memcpy(text, "an unreadable time", sizeof("an unreadable time"));
}

kw_status crl_check_fresh(const X509_CRL *crl, kw_input url, kw_error *error)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl), *last = X509_CRL_get0_lastUpdate(crl);
    const char *text = (const char *)url.data;
    const int length = (int)url.length;
    int digest = NID_undef;
    char when[TIME_TEXT_SIZE];
    kw_status status = KW_OK;
    /* RFC 5280 section 5.2.4: it names only what has changed since another list. libcrypto takes it for a whole one. */
    if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0) {
        status = error_set(error, KW_REFUSED, "the revocation list %.*s is a delta list, which is not complete", length,
                           text);
        error_remedy(error, "tell the CA, whose certificate must name a complete list");
        return status;
    }
    if (next == NULL)
        return error_set(error, KW_REFUSED, "the revocation list %.*s does not say until when it holds", length, text);
    if (X509_cmp_current_time(next) <= 0) {
        time_text(next, when);
        status =
            error_set(error, KW_REFUSED, "the revocation list %.*s has expired: it held until %s", length, text, when);
        error_remedy(error, "tell the CA, who must publish a new one; and look at this host's clock");
    } else if (X509_cmp_current_time(last) >= 0) {
        time_text(last, when);
        status = error_set(error, KW_REFUSED, "the revocation list %.*s holds only from %s", length, text, when);
        error_remedy(error, "look at this host's clock");
    } else if (OBJ_find_sigid_algs(X509_CRL_get_signature_nid(crl), &digest, NULL) &&
               (digest == NID_md5 || digest == NID_sha1)) {
        status = error_set(error, KW_REFUSED, "the revocation list %.*s is signed by means of %s, which is broken",
                           length, text, OBJ_nid2sn(digest));
        error_remedy(error, "tell the CA, who must sign with SHA-256 or better");
    }
    return status;
}
