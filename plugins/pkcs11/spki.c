/* Public keys: from attributes to SubjectPublicKeyInfo (RFC 5280, 5480, 8410) and back; signatures of ECDSA. */
#include "key.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

static const unsigned char p256[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
static const unsigned char p384[] = {0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22};
static const unsigned char p521[] = {0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23};
/* The object identifier of RFC 8410, and the PrintableString of PKCS#11 3.0. */
static const unsigned char ed25519[] = {0x06, 0x03, 0x2B, 0x65, 0x70};
static const unsigned char ed25519_name[] = {0x13, 0x0C, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};

static const struct curve {
    kw_key_type type;
    kw_curve curve;
    uint32_t bits;
    unsigned form;
    kw_input parameters;
} curves[] = {
    {KW_KEY_EC, KW_CURVE_P256, 256, 0, {p256, sizeof(p256)}},
    {KW_KEY_EC, KW_CURVE_P384, 384, 0, {p384, sizeof(p384)}},
    {KW_KEY_EC, KW_CURVE_P521, 521, 0, {p521, sizeof(p521)}},
    {KW_KEY_ED25519, KW_CURVE_NONE, 256, 0, {ed25519, sizeof(ed25519)}},
    {KW_KEY_ED25519, KW_CURVE_NONE, 256, 1, {ed25519_name, sizeof(ed25519_name)}},
};
#define CURVES (sizeof(curves) / sizeof(curves[0]))

kw_input p11_curve_parameters(kw_key_type type, kw_curve curve, unsigned form)
{
    for (size_t i = 0; i < CURVES; i++)
        if (curves[i].type == type && curves[i].curve == curve && curves[i].form == form)
            return curves[i].parameters;
    return (kw_input){NULL, 0};
}

uint32_t p11_curve_bits(kw_curve curve)
{
    for (size_t i = 0; i < CURVES; i++)
        if (curves[i].type == KW_KEY_EC && curves[i].curve == curve)
            return curves[i].bits;
    return 0;
}

CK_KEY_TYPE p11_type_of(kw_key_type type)
{
    static const CK_KEY_TYPE types[] = {[KW_KEY_NONE] = CK_UNAVAILABLE_INFORMATION,
                                        [KW_KEY_RSA] = CKK_RSA,
                                        [KW_KEY_EC] = CKK_EC,
                                        [KW_KEY_ED25519] = CKK_EC_EDWARDS};
    return (unsigned)type < sizeof(types) / sizeof(types[0]) ? types[type] : CK_UNAVAILABLE_INFORMATION;
}

/* ---- DER, written from its end ------------------------------------------------------------------------------------- */

struct writer {
    unsigned char *room;
    size_t at; /* where what was written begins */
    bool full;
};

static void write_bytes(struct writer *writer, const unsigned char *data, size_t length)
{
    if (length > writer->at) {
        writer->full = true;
        return;
    }
    writer->at -= length;
    memcpy(writer->room + writer->at, data, length);
}

/* Tag and length of what was written since `end`. */
static void write_head(struct writer *writer, unsigned char tag, size_t end)
{
    unsigned char head[4] = {tag};
    size_t length = end - writer->at, used = 2;
    if (length < 0x80) {
        head[1] = (unsigned char)length;
    } else if (length < 0x100) {
        head[1] = 0x81;
        head[2] = (unsigned char)length;
        used = 3;
    } else {
        head[1] = 0x82;
        head[2] = (unsigned char)(length >> 8);
        head[3] = (unsigned char)length;
        used = 4;
    }
    write_bytes(writer, head, used);
}

static kw_input without_zeros(kw_input number)
{
    while (number.length > 0 && number.data[0] == 0) {
        number.data++;
        number.length--;
    }
    return number;
}

/* A number that is not negative. */
static void write_integer(struct writer *writer, kw_input number)
{
    static const unsigned char zero = 0;
    size_t end = writer->at;
    number = without_zeros(number);
    write_bytes(writer, number.data, number.length);
    if (number.length == 0 || (number.data[0] & 0x80) != 0)
        write_bytes(writer, &zero, 1);
    write_head(writer, 0x02, end);
}

/* The bit string is what was written since `end`. */
static bool finish_spki(struct writer *writer, size_t end, kw_input algorithm, struct p11_public *public)
{
    static const unsigned char zero = 0;
    write_bytes(writer, &zero, 1);
    write_head(writer, 0x03, end);
    write_bytes(writer, algorithm.data, algorithm.length);
    write_head(writer, 0x30, end);
    if (writer->full)
        return false;
    public->spki_length = end - writer->at;
    memmove(public->spki, writer->room + writer->at, public->spki_length);
    return true;
}

/* ---- Public keys ----------------------------------------------------------------------------------------------------- */

bool p11_public_rsa(kw_input modulus, kw_input exponent, struct p11_public *public)
{
    static const unsigned char algorithm[] = {0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                              0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00};
    struct p11_public made = {.type = KW_KEY_RSA};
    struct writer writer = {.room = made.spki, .at = sizeof(made.spki)};
    size_t end = writer.at;
    modulus = without_zeros(modulus);
    exponent = without_zeros(exponent);
    if (modulus.length == 0 || modulus.length > P11_RSA_BYTES || exponent.length == 0 || exponent.length > 32)
        return false;
    made.bits = (uint32_t)modulus.length * 8;
    for (unsigned top = modulus.data[0]; (top & 0x80) == 0; top <<= 1)
        made.bits--;
    memcpy(made.modulus, modulus.data, modulus.length);
    made.modulus_length = modulus.length;
    write_integer(&writer, exponent);
    write_integer(&writer, modulus);
    write_head(&writer, 0x30, end);
    if (!finish_spki(&writer, end, (kw_input){algorithm, sizeof(algorithm)}, &made))
        return false;
    *public = made;
    return true;
}

/* CKA_EC_POINT is an OCTET STRING around the point; some modules leave it away. */
static kw_input unwrap_point(kw_input point, size_t wanted)
{
    size_t head = wanted < 0x80 ? 2 : 3;
    if (point.length == wanted + head && point.data[0] == 0x04 && point.data[head - 1] == wanted &&
        (head == 2 || point.data[1] == 0x81))
        return (kw_input){point.data + head, wanted};
    return point;
}

bool p11_public_ec(kw_input parameters, kw_input point, struct p11_public *public)
{
    static const unsigned char ec[] = {0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01};
    const struct curve *curve = NULL;
    struct p11_public made = {.type = KW_KEY_NONE};
    struct writer writer = {.room = made.spki, .at = sizeof(made.spki)};
    unsigned char algorithm[64];
    size_t end = writer.at;
    for (size_t i = 0; i < CURVES; i++)
        if (parameters.length == curves[i].parameters.length &&
            memcmp(parameters.data, curves[i].parameters.data, parameters.length) == 0)
            curve = &curves[i];
    if (curve == NULL)
        return false;
    made.type = curve->type;
    made.curve = curve->curve;
    made.bits = curve->bits;
    bool edwards = curve->type == KW_KEY_ED25519;
    size_t field = (curve->bits + 7) / 8, wanted = edwards ? field : 2 * field + 1;
    point = unwrap_point(point, wanted);
    if (point.length != wanted || (!edwards && point.data[0] != 0x04))
        return false;
    write_bytes(&writer, point.data, point.length);

    struct writer identifier = {.room = algorithm, .at = sizeof(algorithm)};
    kw_input name = p11_curve_parameters(curve->type, curve->curve, 0);
    write_bytes(&identifier, name.data, name.length);
    if (!edwards)
        write_bytes(&identifier, ec, sizeof(ec));
    write_head(&identifier, 0x30, sizeof(algorithm));
    if (!finish_spki(&writer, end, (kw_input){algorithm + identifier.at, sizeof(algorithm) - identifier.at}, &made))
        return false;
    *public = made;
    return true;
}

/* ---- DER, read --------------------------------------------------------------------------------------------------------- */

/* Cuts an element with this tag off `rest`. */
static bool read_element(kw_input *rest, unsigned char tag, kw_input *content)
{
    size_t length, head = 2;
    if (rest->length < 2 || rest->data[0] != tag)
        return false;
    length = rest->data[1];
    if (length == 0x81 && rest->length >= 3) {
        length = rest->data[2];
        head = 3;
    } else if (length == 0x82 && rest->length >= 4) {
        length = (size_t)rest->data[2] << 8 | rest->data[3];
        head = 4;
    } else if (length >= 0x80) {
        return false;
    }
    if (length > rest->length - head)
        return false;
    *content = (kw_input){rest->data + head, length};
    *rest = (kw_input){rest->data + head + length, rest->length - head - length};
    return true;
}

bool p11_public_spki(kw_input spki, struct p11_public *public)
{
    static const unsigned char rsa[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01};
    static const unsigned char ec[] = {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01};
    kw_input outer, algorithm, bits, identifier, numbers, modulus, exponent;
    if (!read_element(&spki, 0x30, &outer) || spki.length != 0 || !read_element(&outer, 0x30, &algorithm) ||
        !read_element(&outer, 0x03, &bits) || outer.length != 0 || bits.length < 1 || bits.data[0] != 0)
        return false;
    kw_input key = {bits.data + 1, bits.length - 1}, whole = algorithm;
    if (!read_element(&algorithm, 0x06, &identifier))
        return false;
    if (identifier.length == sizeof(rsa) && memcmp(identifier.data, rsa, sizeof(rsa)) == 0)
        return read_element(&key, 0x30, &numbers) && key.length == 0 && read_element(&numbers, 0x02, &modulus) &&
               read_element(&numbers, 0x02, &exponent) && numbers.length == 0 &&
               p11_public_rsa(modulus, exponent, public);
    if (identifier.length == sizeof(ec) && memcmp(identifier.data, ec, sizeof(ec)) == 0)
        return p11_public_ec(algorithm, key, public);
    return p11_public_ec(whole, key, public);
}

size_t p11_public_point(const struct p11_public *public, unsigned char point[P11_POINT_MAXIMUM])
{
    struct writer writer = {.room = point, .at = P11_POINT_MAXIMUM};
    size_t field = (public->bits + 7) / 8, length = public->type == KW_KEY_EC ? 2 * field + 1 : field;
    write_bytes(&writer, public->spki + (public->spki_length - length), length);
    write_head(&writer, 0x04, P11_POINT_MAXIMUM);
    size_t used = P11_POINT_MAXIMUM - writer.at;
    memmove(point, point + writer.at, used);
    return used;
}

/* ---- ECDSA and ECDH ------------------------------------------------------------------------------------------------------ */

size_t p11_ecdsa_maximum(uint32_t bits)
{
    size_t number =
        bits / 8 + 1; /* with the zero that keeps it positive, where the topmost bit is the first of a byte */
    number += number < 0x80 ? 2 : 3;
    return 2 * number + (2 * number < 0x80 ? 2 : 3);
}

size_t p11_ecdsa_encode(kw_input raw, unsigned char *der)
{
    unsigned char room[2 * (P11_POINT_MAXIMUM / 2 + 5) + 4];
    struct writer writer = {.room = room, .at = sizeof(room)};
    size_t half = raw.length / 2;
    write_integer(&writer, (kw_input){raw.data + half, half});
    write_integer(&writer, (kw_input){raw.data, half});
    write_head(&writer, 0x30, sizeof(room));
    if (writer.full)
        return 0;
    memcpy(der, room + writer.at, sizeof(room) - writer.at);
    return sizeof(room) - writer.at;
}

bool p11_peer_point(kw_input spki, kw_curve curve, unsigned char point[P11_POINT_MAXIMUM], size_t *length)
{
    static const char *const names[] = {
        [KW_CURVE_P256] = "prime256v1", [KW_CURVE_P384] = "secp384r1", [KW_CURVE_P521] = "secp521r1"};
    unsigned char *encoded = NULL;
    char group[64] = "";
    bool done = false;
    OSSL_LIB_CTX *library = p11_library_context();
    const unsigned char *at = spki.data;
    if (library == NULL || spki.data == NULL || spki.length == 0 || spki.length > 4096)
        return false;
    EVP_PKEY *peer = d2i_PUBKEY_ex(NULL, &at, (long)spki.length, library, NULL);
    EVP_PKEY_CTX *context = peer != NULL ? EVP_PKEY_CTX_new_from_pkey(library, peer, NULL) : NULL;
    if (context != NULL && at == spki.data + spki.length && EVP_PKEY_is_a(peer, "EC") &&
        EVP_PKEY_get_group_name(peer, group, sizeof(group), NULL) == 1 && strcmp(group, names[curve]) == 0 &&
        EVP_PKEY_public_check(context) == 1) {
        size_t got = EVP_PKEY_get1_encoded_public_key(peer, &encoded);
        size_t field = (p11_curve_bits(curve) + 7) / 8;
        done = got == 2 * field + 1 && encoded[0] == 0x04;
        if (done) {
            memcpy(point, encoded, got);
            *length = got;
        }
    }
    OPENSSL_free(encoded);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    return done;
}
