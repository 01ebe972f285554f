/* libcrypto as the judge: on its own, by its default context, knowing the public key alone. */
#ifndef KEYWRIGHT_TESTS_UNIT_STORE_JUDGE_H
#define KEYWRIGHT_TESTS_UNIT_STORE_JUDGE_H

#include <keywright/plugin.h>
#include <openssl/evp.h>
#include <stdbool.h>

EVP_PKEY *judge_public(kw_input spki);
EVP_PKEY *judge_private(kw_input pkcs8);

/* Whether it is a signature over the message; mgf_hash of `algorithm` set, salt length as it says. */
bool judge_verify(kw_input spki, const kw_algorithm *algorithm, kw_input message, kw_input signature);
/* Encrypts with OAEP as `algorithm` says, NULL: PKCS#1 v1.5. Returns the length. */
size_t judge_encrypt(kw_input spki, const kw_algorithm *algorithm, kw_input plaintext, unsigned char *ciphertext,
                     size_t room);
size_t judge_decrypt(kw_input pkcs8, const kw_algorithm *algorithm, kw_input ciphertext, unsigned char *plaintext,
                     size_t room);
size_t judge_digest(kw_hash hash, kw_input message, unsigned char *digest);

#endif
