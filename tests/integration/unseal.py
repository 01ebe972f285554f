#!/usr/bin/env python3
"""Opens seals, makes them, and derives keys: written from docs/crypto.md, with nothing of Keywright's.

usage: unseal.py root KEY.pem < wraps > root            the root, of a row's column `wraps` and the master key's private key
       unseal.py open ROOT CONTEXT ASSOCIATED < seal > text
       unseal.py seal ROOT CONTEXT ASSOCIATED MASTER VERSION PURPOSE < text > seal
       unseal.py key ROOT LOCATOR > public.der          the public key of a certificate in the store `derived`
ROOT is a file; CONTEXT, ASSOCIATED and PURPOSE are text; MASTER is an id. Exit status 1: what it read is not valid.
"""
import hmac, os, struct, sys  # noqa: E401
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def field(data):
    return struct.pack(">I", len(data)) + data


def take_field(data):
    length, = struct.unpack_from(">I", data)
    return data[4:4 + length], data[4 + length:]


def hkdf_expand(key, info, length=32):
    out = block = b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def subkey(root, kind, master, version, purpose, context, length=32):
    info = b"keywright/1" + bytes([kind]) + master + struct.pack(">I", version) + field(purpose) + field(context)
    return hkdf_expand(root, info, length)


def xaes(key, nonce):
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    doubled = int.from_bytes(aes.update(bytes(16)), "big") << 1
    mask = doubled ^ (0x87 | 1 << 128) if doubled >> 128 else doubled
    blocks = [int.from_bytes(bytes([0, i]) + b"X\0" + nonce[:12], "big") ^ mask for i in (1, 2)]
    return AESGCM(aes.update(b"".join(block.to_bytes(16, "big") for block in blocks))), nonce[12:]


def make_seal(root, context, associated, master, version, purpose, text, nonce):
    header = b"KWS\1" + master + struct.pack(">IB", version, len(purpose)) + purpose
    gcm, iv = xaes(subkey(root, 1, master, version, purpose, context), nonce)
    return header + nonce + gcm.encrypt(iv, text, header + associated)


def open_seal(root, context, associated, seal):
    magic, master, version, length = struct.unpack_from(">4s16sIB", seal)
    purpose, nonce, rest = seal[25:25 + length], seal[25 + length:49 + length], seal[49 + length:]
    if magic != b"KWS\1" or length == 0 or version == 0 or len(rest) < 16:
        raise ValueError
    gcm, iv = xaes(subkey(root, 1, master, version, purpose, context), nonce)
    return gcm.decrypt(iv, rest, seal[:25 + length] + associated)


def unwrap(key, spki_hash, algorithm, ciphertext):
    if algorithm.startswith(b"rsa-oaep-"):
        sha = getattr(hashes, algorithm[9:].decode().upper())()
        return key.decrypt(ciphertext, padding.OAEP(padding.MGF1(sha), sha, None))
    ephemeral, sealed = take_field(ciphertext)
    shared = key.exchange(ec.ECDH(), serialization.load_der_public_key(ephemeral))
    info = field(algorithm) + spki_hash + field(ephemeral)
    wrapping = hkdf_expand(hmac.digest(b"keywright root/1", shared, "sha256"), info)
    return AESGCM(wrapping).decrypt(bytes(12), sealed, b"")


def spki_of(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


ORDERS = {"ec-p256": (ec.SECP256R1(), 40, 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551),
          "ec-p384": (ec.SECP384R1(), 56, int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16))}


def derived_key(root, locator):
    _, master, version, name, key_id = locator.split(":")
    curve, length, order = ORDERS.get(name, (None, 32, 0))
    data = subkey(root, 3, bytes.fromhex(master), int(version), name.encode(), bytes.fromhex(key_id), length)
    if curve is None:
        return ed25519.Ed25519PrivateKey.from_private_bytes(data)
    return ec.derive_private_key(int.from_bytes(data, "big") % (order - 1) + 1, curve)


def read_root(key, wraps):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki_of(key))
    spki_hash, rest = digest.finalize(), wraps[1:]
    for _ in range(wraps[0]):
        recipient, (algorithm, rest) = rest[1:33], take_field(rest[33:])
        ciphertext, rest = take_field(rest)
        if recipient == spki_hash:
            plain = unwrap(key, spki_hash, algorithm, ciphertext)
            if plain[:16] != b"keywright root/1" or len(plain) != 68:
                raise ValueError
            return plain[36:]
    raise ValueError


def main(verb, *words):
    data, file = b"" if verb == "key" else sys.stdin.buffer.read(), open(words[0], "rb").read()
    if verb == "root":
        out = read_root(serialization.load_pem_private_key(file, None), data)
    elif verb == "key":
        out = spki_of(derived_key(file, words[1]))
    elif verb == "open":
        out = open_seal(file, words[1].encode(), words[2].encode(), data)
    else:
        out = make_seal(file, words[1].encode(), words[2].encode(), bytes.fromhex(words[3]), int(words[4]),
                        words[5].encode(), data, os.urandom(24))
    sys.stdout.buffer.write(out)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (InvalidTag, ValueError, struct.error):
        sys.exit(1)
