#!/usr/bin/env python3
"""Opens seals: written from docs/crypto.md, with nothing of Keywright's.

usage: unseal.py root KEY.pem < wraps > root            the root, of a row's column `wraps` and the master key's private key
       unseal.py open ROOT CONTEXT ASSOCIATED < seal > text
ROOT is a file; CONTEXT and ASSOCIATED are text. Exit status 1: what it read is not valid.
"""
import hmac, struct, sys  # noqa: E401
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
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


def main(verb, file, *words):
    data = sys.stdin.buffer.read()
    with open(file, "rb") as opened:
        content = opened.read()
    if verb == "root":
        out = read_root(serialization.load_pem_private_key(content, None), data)
    else:
        out = open_seal(content, words[0].encode(), words[1].encode(), data)
    sys.stdout.buffer.write(out)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (InvalidTag, ValueError, struct.error):
        sys.exit(1)
