#!/usr/bin/env python3
"""Writes pkcs1_rejection.h: what RSA PKCS#1 v1.5 decryption with implicit rejection answers to ciphertexts that are not well formed.

The answers are those of OpenSSL (the libcrypto of Python's `cryptography` package, which must be 3.2 or newer), and are computed
here a second time after draft-irtf-cfrg-rsa-guidance. The two must agree.

usage: pkcs1_rejection.py > pkcs1_rejection.h
"""
import hashlib
import hmac
import secrets
import sys
import textwrap

from cryptography.hazmat.primitives.asymmetric import padding, rsa


def prf(key, label, length):
    out = b""
    counter = 0
    while len(out) < length:
        out += hmac.digest(key, counter.to_bytes(2, "big") + label + (8 * length).to_bytes(2, "big"), "sha256")
        counter += 1
    return out[:length]


def candidates(key, size):
    lengths = prf(key, b"length", 256)
    bits = (1 << (size - 10).bit_length()) - 1
    return [int.from_bytes(lengths[at:at + 2], "big") & bits for at in range(0, 256, 2)]


def rejection(seed, ciphertext):
    key = hmac.digest(seed, ciphertext, "sha256")
    size = len(ciphertext)
    fitting = [candidate for candidate in candidates(key, size) if candidate < size - 10]
    return prf(key, b"message", size)[size - fitting[-1]:] if fitting else b""


def ends_at_the_limit(seed, ciphertext):
    """Whether a length that is just too long comes behind the last one that fits."""
    size = len(ciphertext)
    near = [candidate for candidate in candidates(hmac.digest(seed, ciphertext, "sha256"), size) if candidate <= size - 10]
    return near[-1:] == [size - 10]


def hex_literal(data):
    lines = textwrap.wrap(data.hex(), 100) or [""]
    return "\n         ".join(f'"{line}"' for line in lines)


def blocks(size, encrypt, seed):
    """Malformed in each way there is."""
    filled = bytes(secrets.choice(range(1, 256)) for _ in range(size))
    yield "random", b"\0" + secrets.token_bytes(size - 1)
    yield "first byte", b"\1\2" + filled[2:40] + b"\0" + filled[41:]
    yield "block type", b"\0\1" + filled[2:40] + b"\0" + filled[41:]
    yield "no zero", b"\0\2" + filled[2:]
    yield "seven bytes of padding", b"\0\2" + filled[2:9] + b"\0" + filled[10:]
    yield "zero at once", b"\0\2\0" + filled[3:]
    block = b"\0"
    while not ends_at_the_limit(seed, encrypt(block)):
        block = b"\0" + secrets.token_bytes(size - 1)
    yield "a length just too long", block


def main():
    print("/* Made by pkcs1_rejection.py. */")
    print("static const struct {\n    const char *name, *seed, *ciphertext, *block, *message;\n} rejections[] = {")
    for bits in (2048, 3072):
        key = rsa.generate_private_key(65537, bits)
        numbers = key.private_numbers()
        modulus, size = numbers.public_numbers.n, bits // 8
        seed = hashlib.sha256(numbers.d.to_bytes(size, "big")).digest()


        def encrypt(block):
            return pow(int.from_bytes(block, "big"), numbers.public_numbers.e, modulus).to_bytes(size, "big")

        for name, block in blocks(size, encrypt, seed):
            if int.from_bytes(block, "big") >= modulus:
                sys.exit("the modulus is too small for this block")
            ciphertext = encrypt(block)
            message = key.decrypt(ciphertext, padding.PKCS1v15())
            if message != rejection(seed, ciphertext):
                sys.exit(f"{name}: libcrypto answers otherwise")
            print(f'    {{"{bits}, {name}",\n         {hex_literal(seed)},\n         {hex_literal(ciphertext)},')
            print(f"         {hex_literal(block)},\n         {hex_literal(message)}}},")
    print("};")


main()
