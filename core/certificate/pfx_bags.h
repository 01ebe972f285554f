/* The keys and certificates of a PKCS#12 file while it is read, and how they become items. */
#ifndef KEYWRIGHT_CERTIFICATE_PFX_BAGS_H
#define KEYWRIGHT_CERTIFICATE_PFX_BAGS_H

#include "certificate/pkcs12.h"

/* A key or a certificate of the file, before they are paired. */
struct pfx_bag {
    struct pfx_bag *next;
    EVP_PKEY *pkey;          /* a key's, for pairing */
    unsigned char *local_id; /* NULL: none */
    size_t local_id_length;
    struct pfx_item item; /* key or certificate, name and attributes */
    bool taken;           /* a certificate that belongs to a key */
};

struct pfx_bags {
    struct pfx_bag *first, **end;
    size_t count;
};

void pfx_bag_free(struct pfx_bag *bag);
void pfx_bags_free(struct pfx_bags *bags);
void pfx_bags_add(struct pfx_bags *bags, struct pfx_bag *bag);

/* Pairs them as pfx_read says. What the items need is taken out of the bags. */
KW_MUST_USE kw_status pfx_pair(struct pfx_bags *keys, struct pfx_bags *certificates, struct pfx_item **items,
                               size_t *count, kw_error *error);

#endif
