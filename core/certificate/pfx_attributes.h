/* The attributes that Keywright adds to the bags of a PKCS#12 file. docs/pfx.md describes them for other implementers. */
#ifndef KEYWRIGHT_CERTIFICATE_PFX_ATTRIBUTES_H
#define KEYWRIGHT_CERTIFICATE_PFX_ATTRIBUTES_H

#include "certificate/pkcs12.h"
#include <openssl/pkcs12.h>

/*
 * A root that needs no registration: Microsoft's for everybody, with a UUID (b9ba6c2f-966c-456f-9fec-ff8c26a75d24) in seven
 * arcs. 2.25.UUID has an arc of 128 bits, which GnuTLS refuses to parse.
 */
#define PFX_OID_ROOT      "1.2.840.113556.1.8000.2554.47546.27695.38508.17775.40940.16747558.10968356"
#define PFX_OID_ENTRY     PFX_OID_ROOT ".1"
#define PFX_OID_REFERENCE PFX_OID_ROOT ".2"
#define PFX_OID_ROOTS     PFX_OID_ROOT ".3"

/* Address, entry, number, state and databases of an item that has an address; and its reference, when asked for. On a certificate's bag also its roots. */
KW_MUST_USE kw_status pfx_attributes_add(PKCS12_SAFEBAG *bag, const struct pfx_item *item, bool reference,
                                         kw_error *error);
/* Into an item that has none of them yet; leaves it as it is when the bag has none. KW_CORRUPT, KW_UNSUPPORTED (a newer version). */
KW_MUST_USE kw_status pfx_attributes_read(const PKCS12_SAFEBAG *bag, struct pfx_item *item, kw_error *error);

#endif
