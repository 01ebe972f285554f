/*
 * Nothing here branches on a byte of the block or indexes memory by one. Masks are all ones for true and zero for false.
 */
#include "base/rsa_padding.h"

#include "base/buffer.h"
#include "base/secret.h"

#include <string.h>

typedef uint32_t mask;

/* So that the compiler does not see that a mask is a condition and make a branch of it. */
static mask opaque(mask value)
{
#if defined(__GNUC__)
    __asm__("" : "+r"(value));
#endif
    return value;
}

/* Whether the highest bit is set. */
static mask mask_highest(uint32_t value)
{
    return opaque(0u - (value >> 31));
}

static mask mask_zero(uint32_t value)
{
    return mask_highest(~value & (value - 1));
}

static mask mask_equal(uint32_t left, uint32_t right)
{
    return mask_zero(left ^ right);
}

/* For values below 2^31. */
static mask mask_less(uint32_t left, uint32_t right)
{
    return mask_highest(left - right);
}

static uint32_t select_value(mask condition, uint32_t yes, uint32_t no)
{
    return (condition & yes) | (~condition & no);
}

static unsigned char select_byte(mask condition, unsigned char yes, unsigned char no)
{
    return (unsigned char)select_value(condition, yes, no);
}

/* Moves `data` to the left by `distance` (secret, at most `length`) and fills with zeros. */
static void shift_left(unsigned char *data, uint32_t length, uint32_t distance)
{
    for (uint32_t step = 1; step <= length; step <<= 1) {
        mask move = ~mask_zero(distance & step);
        for (uint32_t i = 0; i < length; i++) {
            unsigned char further = i + step < length ? data[i + step] : 0;
            data[i] = select_byte(move, further, data[i]);
        }
    }
}

/* Larger than any modulus that is supported, and small enough for the masks and the 16 bits of a length in bits. */
enum { BLOCK_MAXIMUM = 8191 };

static kw_status check_room(kw_input block, kw_output *message, kw_error *error)
{
    if (message->data == NULL || message->capacity < block.length) {
        message->length = block.length;
        return error_set(error, KW_BUFFER_TOO_SMALL, "the message needs %zu bytes of room", block.length);
    }
    return KW_OK;
}

/* ---- OAEP ---- */

kw_status rsa_mgf1_xor(struct crypto *crypto, kw_hash hash, kw_input seed, unsigned char *data, size_t length,
                       unsigned char *work, kw_error *error)
{
    unsigned char digest[64];
    size_t digest_length = hash_length(hash);
    kw_status status = KW_OK;
    memcpy(work, seed.data, seed.length);
    for (uint32_t counter = 0; length > 0; counter++) {
        for (size_t i = 0; i < 4; i++)
            work[seed.length + i] = (unsigned char)(counter >> (24 - 8 * i));
        status = crypto_digest(crypto, hash, (kw_input){work, seed.length + 4}, digest, &digest_length, error);
        if (status != KW_OK)
            break;
        size_t part = length < digest_length ? length : digest_length;
        for (size_t i = 0; i < part; i++)
            data[i] ^= digest[i];
        data += part;
        length -= part;
    }
    secret_wipe(digest, sizeof(digest));
    return status;
}

kw_status rsa_oaep_decode(struct crypto *crypto, kw_hash hash, kw_hash mgf_hash, kw_input label, kw_input block,
                          kw_output *message, uint32_t *good, kw_error *error)
{
    unsigned char label_hash[64];
    size_t digest_length = hash_length(hash);
    if (mgf_hash == KW_HASH_NONE)
        mgf_hash = hash;
    if (digest_length == 0 || hash_length(mgf_hash) == 0)
        return error_set(error, KW_UNSUPPORTED, "OAEP needs a hash");
    if (block.length > BLOCK_MAXIMUM)
        return error_set(error, KW_UNSUPPORTED, "a modulus of %zu bytes is too long", block.length);
    kw_status status = check_room(block, message, error);
    if (status != KW_OK)
        return status;
    /* Lengths are no secret: this modulus is too short for the hash. */
    if (block.length < 2 * digest_length + 2) {
        *good = 0;
        return KW_OK;
    }
    status = crypto_digest(crypto, hash, label, label_hash, &digest_length, error);
    if (status != KW_OK)
        return status;

    const size_t size = 2 * block.length + 4;
    const uint32_t data_length = (uint32_t)(block.length - digest_length - 1);
    unsigned char *memory = secret_allocate(size);
    if (memory == NULL)
        return error_memory(error);
    unsigned char *seed = memory + 1, *data = seed + digest_length, *work = memory + block.length;
    mask valid, seen = 0;
    uint32_t separator = 0;
    memcpy(memory, block.data, block.length);
    status = rsa_mgf1_xor(crypto, mgf_hash, (kw_input){data, data_length}, seed, digest_length, work, error);
    if (status != KW_OK)
        goto out;
    status = rsa_mgf1_xor(crypto, mgf_hash, (kw_input){seed, digest_length}, data, data_length, work, error);
    if (status != KW_OK)
        goto out;

    valid = mask_zero(memory[0]);
    for (uint32_t i = 0; i < digest_length; i++)
        valid &= mask_equal(data[i], label_hash[i]);
    /* Behind the label's hash: zeros, a one, the message. */
    for (uint32_t i = (uint32_t)digest_length; i < data_length; i++) {
        mask one = mask_equal(data[i], 1);
        separator = select_value(one & ~seen, i, separator);
        seen |= one;
        valid &= seen | mask_zero(data[i]);
    }
    valid &= seen;
    shift_left(data, data_length, separator + 1);
    for (uint32_t i = 0; i < data_length; i++)
        message->data[i] = select_byte(valid, data[i], 0);
    message->length = data_length - separator - 1;
    *good = valid;
out:
    secret_free(memory, size);
    return status;
}

kw_status rsa_oaep_unpad(struct crypto *crypto, kw_hash hash, kw_hash mgf_hash, kw_input label, kw_input block,
                         kw_output *message, kw_error *error)
{
    uint32_t good = 0;
    kw_status status = rsa_oaep_decode(crypto, hash, mgf_hash, label, block, message, &good, error);
    /* Whether it is good is the answer, and no longer a secret; nor is the length of a good message. */
    if (status == KW_OK && good == 0) {
        message->length = 0;
        status = error_set(error, KW_CIPHERTEXT_INVALID, "the ciphertext does not decrypt");
    }
    return status;
}

/* ---- PKCS#1 v1.5 with implicit rejection: draft-irtf-cfrg-rsa-guidance ---- */

enum { PADDING_MINIMUM = 8, LENGTH_CANDIDATES = 128 };

/* The draft's IRPRF: HMAC-SHA256(key, I2OSP(i, 2) || label || I2OSP(8 * length, 2)) for i = 0, 1, ... */
static kw_status rejection_prf(struct crypto *crypto, kw_input key, const char *label, unsigned char *out,
                               size_t length, kw_error *error)
{
    unsigned char input[2 + 16 + 2], mac[SHA256_LENGTH];
    const size_t label_length = strlen(label), bits = 8 * length;
    kw_status status = KW_OK;
    memcpy(input + 2, label, label_length);
    input[2 + label_length] = (unsigned char)(bits >> 8);
    input[3 + label_length] = (unsigned char)bits;
    for (size_t done = 0, i = 0; done < length; done += SHA256_LENGTH, i++) {
        input[0] = (unsigned char)(i >> 8);
        input[1] = (unsigned char)i;
        status = crypto_hmac_sha256(crypto, key, (kw_input){input, label_length + 4}, mac, error);
        if (status != KW_OK)
            break;
        memcpy(out + done, mac, length - done < SHA256_LENGTH ? length - done : SHA256_LENGTH);
    }
    secret_wipe(mac, sizeof(mac));
    return status;
}

/* The last of the candidates that is short enough. */
static uint32_t rejection_length(const unsigned char candidates[2 * LENGTH_CANDIDATES], uint32_t limit)
{
    uint32_t bits = limit, length = 0;
    for (unsigned shift = 1; shift < 16; shift *= 2)
        bits |= bits >> shift;
    for (size_t i = 0; i < LENGTH_CANDIDATES; i++) {
        uint32_t candidate = ((uint32_t)candidates[2 * i] << 8 | candidates[2 * i + 1]) & bits;
        length = select_value(mask_less(candidate, limit), candidate, length);
    }
    return length;
}

/* Whether the message behind the separator at `zero`, which is secret, is one that is never given. */
static mask is_never_given(kw_input block, uint32_t zero)
{
    static const unsigned char never[] = RSA_PKCS1_NEVER;
    mask begins = 0;
    for (uint32_t i = 0; i + RSA_PKCS1_NEVER_LENGTH <= block.length; i++) {
        mask here = mask_equal(i, zero + 1);
        for (uint32_t j = 0; j < RSA_PKCS1_NEVER_LENGTH; j++)
            here &= mask_equal(block.data[i + j], never[j]);
        begins |= here;
    }
    return begins;
}

/* What every right message is known to be; none of it is a secret. */
struct expected {
    size_t length;            /* 0: any */
    const uint32_t *versions; /* that its first two bytes are one of, and 0 for none; NULL: any bytes */
};

enum { VERSIONS = 2 };

/* The message's place is known by its length, so that looking at it there tells nothing. */
static mask has_version(kw_input block, const struct expected *expected)
{
    const unsigned char *message = block.data + block.length - expected->length;
    const uint32_t found = (uint32_t)message[0] << 8 | message[1];
    mask one_of = 0;
    for (size_t i = 0; i < VERSIONS; i++)
        if (expected->versions[i] != 0)
            one_of |= mask_equal(found, expected->versions[i]);
    return one_of;
}

static kw_status pkcs1_unpad(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block,
                             const struct expected *expected, kw_output *message, kw_error *error)
{
    if (block.length < PADDING_MINIMUM + 3 || block.length > BLOCK_MAXIMUM || ciphertext.length != block.length)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "ciphertext and block are as long as the modulus, here %zu and %zu bytes", ciphertext.length,
                         block.length);
    kw_status status = check_room(block, message, error);
    if (status != KW_OK)
        return status;

    const uint32_t length = (uint32_t)block.length;
    const size_t size = block.length + 2 * LENGTH_CANDIDATES + SHA256_LENGTH;
    unsigned char *rejected = secret_allocate(size);
    if (rejected == NULL)
        return error_memory(error);
    unsigned char *candidates = rejected + length, *key = candidates + 2 * LENGTH_CANDIDATES;
    mask good, seen = 0;
    uint32_t zero = 0, rejected_length, start;
    status = crypto_hmac_sha256(crypto, seed, ciphertext, key, error);
    if (status != KW_OK)
        goto out;
    status = rejection_prf(crypto, (kw_input){key, SHA256_LENGTH}, "message", rejected, length, error);
    if (status != KW_OK)
        goto out;
    status = rejection_prf(crypto, (kw_input){key, SHA256_LENGTH}, "length", candidates, 2 * LENGTH_CANDIDATES, error);
    if (status != KW_OK)
        goto out;
    rejected_length = rejection_length(candidates, length - 2 - PADDING_MINIMUM);

    /* 0, 2, at least 8 bytes that are not zero, 0, the message */
    good = mask_zero(block.data[0]) & mask_equal(block.data[1], 2);
    for (uint32_t i = 2; i < length; i++) {
        mask ends = mask_zero(block.data[i]);
        zero = select_value(ends & ~seen, i, zero);
        seen |= ends;
    }
    good &= seen & ~mask_less(zero, 2 + PADDING_MINIMUM) & ~is_never_given(block, zero);
    if (expected->length > 0) {
        good &= mask_equal(length - zero - 1, (uint32_t)expected->length);
        rejected_length = (uint32_t)expected->length;
    }
    if (expected->versions != NULL)
        good &= has_version(block, expected);
    start = select_value(good, zero + 1, length - rejected_length);
    for (uint32_t i = 0; i < length; i++)
        rejected[i] = select_byte(good, block.data[i], rejected[i]);
    shift_left(rejected, length, start);
    message->length = length - start;
    memcpy(message->data, rejected, length); /* all of it, since how long the message is need not show here */
out:
    secret_free(rejected, size);
    return status;
}

kw_status rsa_pkcs1_unpad(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block, kw_output *message,
                          kw_error *error)
{
    return pkcs1_unpad(crypto, seed, ciphertext, block, &(struct expected){0}, message, error);
}

kw_status rsa_pkcs1_unpad_exactly(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block,
                                  size_t wanted, kw_output *message, kw_error *error)
{
    if (wanted == 0 || block.length < PADDING_MINIMUM + 3 || wanted > block.length - PADDING_MINIMUM - 3)
        return error_set(error, KW_INVALID_ARGUMENT, "a message of %zu bytes does not fit a block of %zu", wanted,
                         block.length);
    return pkcs1_unpad(crypto, seed, ciphertext, block, &(struct expected){.length = wanted}, message, error);
}

kw_status rsa_tls_unpad(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block,
                        uint32_t client_version, uint32_t other_version, kw_output *secret, kw_error *error)
{
    const uint32_t versions[VERSIONS] = {client_version, other_version};
    if (client_version == 0 || block.length < PADDING_MINIMUM + 3 + RSA_TLS_SECRET)
        return error_set(error, KW_INVALID_ARGUMENT, "a TLS key exchange needs the client's version, and a longer key");
    return pkcs1_unpad(crypto, seed, ciphertext, block,
                       &(struct expected){.length = RSA_TLS_SECRET, .versions = versions}, secret, error);
}
