#include "store/rsa_encode.h"

#include "base/rsa_padding.h"

#include <string.h>

/* DER of DigestInfo up to the digest: RFC 8017 section 9.2, note 1. */
static const struct {
    unsigned char bytes[19];
} digest_infos[] = {
    [KW_HASH_SHA224] = {{0x30, 0x2d, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05,
                         0x00, 0x04, 0x1c}},
    [KW_HASH_SHA256] = {{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
                         0x00, 0x04, 0x20}},
    [KW_HASH_SHA384] = {{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
                         0x00, 0x04, 0x30}},
    [KW_HASH_SHA512] = {{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05,
                         0x00, 0x04, 0x40}},
};

kw_status rsa_pkcs1_encode(kw_hash hash, kw_input digest, unsigned char *block, size_t length, kw_error *error)
{
    const size_t prefix = sizeof(digest_infos[0].bytes);
    size_t padding;

    if (hash < KW_HASH_SHA224 || hash > KW_HASH_SHA512)
        return error_set(error, KW_UNSUPPORTED, "PKCS#1 v1.5 signatures take SHA-224 to SHA-512");
    if (length < prefix + digest.length + 11)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "the modulus is too short for a PKCS#1 v1.5 signature with this hash");
    padding = length - prefix - digest.length - 3;
    block[0] = 0;
    block[1] = 1;
    memset(block + 2, 0xff, padding);
    block[2 + padding] = 0;
    memcpy(block + 3 + padding, digest_infos[hash].bytes, prefix);
    memcpy(block + 3 + padding + prefix, digest.data, digest.length);
    return KW_OK;
}

bool rsa_pss_salt_maximum(kw_hash hash, uint32_t bits, uint32_t *salt)
{
    const size_t length = ((size_t)bits + 6) / 8; /* of bits - 1 bits */
    const size_t taken = hash_length(hash) + 2;

    if (length < taken)
        return false;
    *salt = (uint32_t)(length - taken);
    return true;
}

kw_status rsa_pss_encode(struct crypto *crypto, const kw_algorithm *algorithm, kw_input digest, uint32_t bits,
                         unsigned char *block, size_t length, kw_error *error)
{
    /* 8 zeros, digest, salt: what is hashed; at last the work space of MGF1 */
    unsigned char work[8 + 64 + RSA_BYTES_MAXIMUM] = {0};
    unsigned char hash[64];
    const size_t encoded = ((size_t)bits + 6) / 8, salt_length = algorithm->salt_length;
    unsigned char *const message = block + (length - encoded);
    unsigned char *salt;
    size_t hashed, data_length;
    uint32_t maximum;
    kw_status status;

    if (length > RSA_BYTES_MAXIMUM || !rsa_pss_salt_maximum(algorithm->hash, bits, &maximum) || salt_length > maximum)
        return error_set(error, KW_INVALID_ARGUMENT, "the modulus is too short for PSS with this hash and salt");
    memcpy(work + 8, digest.data, digest.length);
    salt = work + 8 + digest.length;
    status = crypto_random(crypto, salt, salt_length, error);
    if (status != KW_OK)
        return status;
    status =
        crypto_digest(crypto, algorithm->hash, (kw_input){work, 8 + digest.length + salt_length}, hash, &hashed, error);
    if (status != KW_OK)
        return status;
    data_length = encoded - hashed - 1;
    memset(block, 0, length);
    message[data_length - salt_length - 1] = 1;
    memcpy(message + data_length - salt_length, salt, salt_length);
    memcpy(message + data_length, hash, hashed);
    message[encoded - 1] = 0xbc;
    status = rsa_mgf1_xor(crypto, algorithm->mgf_hash == KW_HASH_NONE ? algorithm->hash : algorithm->mgf_hash,
                          (kw_input){hash, hashed}, message, data_length, work, error);
    /* The number is below the modulus: its highest bits are zero. */
    message[0] = (unsigned char)(message[0] & (0xffu >> (8 * encoded - (bits - 1))));
    return status;
}
