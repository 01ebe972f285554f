#!/usr/bin/env python3
"""Makes seals and derives keys, as unseal.py opens them: written from docs/crypto.md, with nothing of Keywright's.

usage: sealing.py seal ROOT CONTEXT ASSOCIATED MASTER VERSION PURPOSE < text > seal
       sealing.py key ROOT LOCATOR > public.der         the public key of a certificate in the store `derived`
ROOT is a file; CONTEXT, ASSOCIATED and PURPOSE are text; MASTER is an id.
"""
import os, struct, sys  # noqa: E401
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from unseal import spki_of, subkey, xaes


def make_seal(root, context, associated, master, version, purpose, text, nonce):
    header = b"KWS\1" + master + struct.pack(">IB", version, len(purpose)) + purpose
    gcm, iv = xaes(subkey(root, 1, master, version, purpose, context), nonce)
    return header + nonce + gcm.encrypt(iv, text, header + associated)


ORDERS = {"ec-p256": (ec.SECP256R1(), 40, 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551),
          "ec-p384": (ec.SECP384R1(), 56, int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16))}


def derived_key(root, locator):
    _, master, version, name, key_id = locator.split(":")
    curve, length, order = ORDERS.get(name, (None, 32, 0))
    data = subkey(root, 3, bytes.fromhex(master), int(version), name.encode(), bytes.fromhex(key_id), length)
    if curve is None:
        return ed25519.Ed25519PrivateKey.from_private_bytes(data)
    return ec.derive_private_key(int.from_bytes(data, "big") % (order - 1) + 1, curve)


def main(verb, file, *words):
    with open(file, "rb") as opened:
        root = opened.read()
    if verb == "key":
        out = spki_of(derived_key(root, words[0]))
    else:
        out = make_seal(root, words[0].encode(), words[1].encode(), bytes.fromhex(words[2]), int(words[3]), words[4].encode(),
                        sys.stdin.buffer.read(), os.urandom(24))
    sys.stdout.buffer.write(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
