#include "certificate/pfx_bags.h"

#include "base/buffer.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAXIMUM 16

void pfx_bag_free(struct pfx_bag *bag)
{
    if (bag == NULL)
        return;
    crypto_pkey_free(bag->pkey);
    free(bag->local_id);
    pfx_item_clear(&bag->item);
    free(bag);
}

void pfx_bags_free(struct pfx_bags *bags)
{
    for (struct pfx_bag *bag = bags->first, *next = NULL; bag != NULL; bag = next) {
        next = bag->next;
        pfx_bag_free(bag);
    }
}

void pfx_bags_add(struct pfx_bags *bags, struct pfx_bag *bag)
{
    *(bags->end != NULL ? bags->end : &bags->first) = bag;
    bags->end = &bag->next;
    bags->count++;
}

/* ---- Keys and their certificates ------------------------------------------------------------------------------------ */

static bool same_local_id(const struct pfx_bag *left, const struct pfx_bag *right)
{
    return left->local_id != NULL && right->local_id != NULL && left->local_id_length == right->local_id_length &&
           memcmp(left->local_id, right->local_id, left->local_id_length) == 0;
}

static bool same_public_key(const struct pfx_bag *key, const struct pfx_bag *certificate)
{
    ERR_set_mark();
    const EVP_PKEY *public_key = X509_get0_pubkey(certificate->item.certificate);
    const bool same = public_key != NULL && crypto_pkey_is(key->pkey, public_key);
    ERR_pop_to_mark();
    return same;
}

/* localKeyID is not always unique in what others write, so one that is the key's own wins. */
static struct pfx_bag *certificate_of(const struct pfx_bags *certificates, const struct pfx_bag *key)
{
    struct pfx_bag *by_id = NULL;
    for (struct pfx_bag *bag = certificates->first; bag != NULL; bag = bag->next) {
        if (bag->taken || !same_local_id(key, bag))
            continue;
        if (same_public_key(key, bag))
            return bag;
        if (by_id == NULL)
            by_id = bag;
    }
    for (struct pfx_bag *bag = certificates->first; bag != NULL; bag = bag->next)
        if (!bag->taken && same_public_key(key, bag))
            return bag;
    return by_id;
}

static X509 *issuer_of(const struct pfx_bags *certificates, X509 *certificate)
{
    for (const struct pfx_bag *bag = certificates->first; bag != NULL; bag = bag->next) {
        if (X509_NAME_cmp(X509_get_issuer_name(certificate), X509_get_subject_name(bag->item.certificate)) == 0 &&
            X509_check_issued(bag->item.certificate, certificate) == X509_V_OK)
            return bag->item.certificate;
    }
    return NULL;
}

static bool self_issued(const X509 *certificate)
{
    return X509_NAME_cmp(X509_get_issuer_name(certificate), X509_get_subject_name(certificate)) == 0;
}

static kw_status collect_chain(const struct pfx_bags *certificates, struct pfx_item *item, kw_error *error)
{
    X509 *at = item->certificate;
    for (int depth = 0; depth < CHAIN_MAXIMUM && !self_issued(at); depth++) {
        at = issuer_of(certificates, at);
        if (at == NULL)
            break;
        if (item->chain == NULL)
            item->chain = sk_X509_new_null();
        if (item->chain == NULL || !X509_up_ref(at))
            return error_memory(error);
        if (sk_X509_push(item->chain, at) <= 0) {
            crypto_x509_free(at);
            return error_memory(error);
        }
    }
    ERR_clear_error();
    return KW_OK;
}

/* Both bags of a key carry the attributes; what only one of them has is taken from that one. */
static kw_status join(struct pfx_bag *key, const struct pfx_bag *certificate, struct pfx_item *item, kw_error *error)
{
    const struct pfx_item *theirs = &certificate->item;
    struct pfx_item empty = {0};
    if (key->item.address != NULL && theirs->address != NULL &&
        (strcmp(key->item.address, theirs->address) != 0 || !id_equal(&key->item.entry, &theirs->entry) ||
         key->item.number != theirs->number))
        return error_set(error, KW_CORRUPT, "the file says that a key is %s and that its certificate is %s",
                         key->item.address, theirs->address);
    *item = key->item;
    key->item = empty;
    if (!X509_up_ref(theirs->certificate))
        return error_memory(error);
    item->certificate = theirs->certificate;
    return KW_OK;
}

/* Gives the item what only the certificate's bag says. */
static void complete(struct pfx_bag *certificate, struct pfx_item *item)
{
    struct pfx_item *theirs = &certificate->item;
    if (item->address == NULL && theirs->address != NULL) {
        item->address = theirs->address;
        item->entry = theirs->entry;
        item->number = theirs->number;
        item->former = theirs->former;
        item->retired = theirs->retired;
        item->databases = theirs->databases;
        item->database_count = theirs->database_count;
        theirs->address = NULL;
        theirs->databases = NULL;
        theirs->database_count = 0;
    }
    if (item->roots.length == 0) {
        item->roots = theirs->roots;
        theirs->roots = (kw_bytes){0};
    }
    if (item->friendly_name == NULL) {
        item->friendly_name = theirs->friendly_name;
        theirs->friendly_name = NULL;
    }
}

/* The certificate's bag as an item of its own. The bag keeps a certificate, since others may have been issued by it. */
static kw_status take_certificate(struct pfx_bag *bag, struct pfx_item *item, kw_error *error)
{
    if (!X509_up_ref(bag->item.certificate))
        return error_memory(error);
    X509 *certificate = bag->item.certificate;
    *item = bag->item;
    bag->item = (struct pfx_item){.certificate = certificate};
    return KW_OK;
}

kw_status pfx_pair(struct pfx_bags *keys, struct pfx_bags *certificates, struct pfx_item **items, size_t *count,
                   kw_error *error)
{
    struct pfx_item *made = calloc(keys->count + certificates->count + 1, sizeof(*made));
    size_t filled = 0;
    kw_status status = made == NULL ? error_memory(error) : KW_OK;
    for (struct pfx_bag *key = keys->first; status == KW_OK && key != NULL; key = key->next) {
        struct pfx_bag *certificate = certificate_of(certificates, key);
        if (certificate == NULL) {
            made[filled++] = key->item;
            key->item = (struct pfx_item){0};
            continue;
        }
        certificate->taken = true;
        status = join(key, certificate, &made[filled], error);
        filled += status == KW_OK ? 1 : 0;
        if (status == KW_OK)
            complete(certificate, &made[filled - 1]);
    }
    for (struct pfx_bag *bag = certificates->first; status == KW_OK && bag != NULL; bag = bag->next) {
        if (bag->taken || (bag->item.address == NULL && bag->item.reference.store_id == NULL))
            continue;
        status = take_certificate(bag, &made[filled], error);
        filled += status == KW_OK ? 1 : 0;
    }
    const bool certificates_alone = filled == 0;
    for (struct pfx_bag *bag = certificates->first; status == KW_OK && certificates_alone && bag != NULL;
         bag = bag->next) {
        status = take_certificate(bag, &made[filled], error);
        filled += status == KW_OK ? 1 : 0;
    }
    for (size_t i = 0; status == KW_OK && i < filled; i++)
        if (made[i].certificate != NULL)
            status = collect_chain(certificates, &made[i], error);
    if (status != KW_OK) {
        pfx_items_free(made, filled);
        return status;
    }
    *items = made;
    *count = filled;
    return KW_OK;
}
