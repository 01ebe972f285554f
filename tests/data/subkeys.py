#!/usr/bin/env python3
"""Writes subkeys.h: subkeys and a seal that do not change any more, made by tests/integration/unseal.py and sealing.py.

usage: subkeys.py > subkeys.h
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import sealing  # noqa: E402
import unseal  # noqa: E402

ROOT = bytes(range(32))
MASTER = bytes(range(0x10, 0x20))

# class, version, purpose, context, length
NAMES = [
    (1, 1, "password", "", 32), (1, 1, "password", "database/sales", 32), (2, 1, "password", "", 32),
    (3, 1, "password", "", 48), (4, 1, "password", "", 64), (5, 1, "password", "", 32),
    (1, 2, "password", "", 32), (1, 0xffffffff, "p" * 255, "c" * 1024, 32),
    # As a store's passphrase is derived.
    (4, 1, "7c9e6679:passphrase", "", 32),
    # What is one field's and what the next one's matters.
    (1, 1, "passwordd", "atabase/sales", 32),
]

print("/* Made by subkeys.py, with root 00..1f and master key 10..1f. */")
print('static const char subkey_vector_root[] = "%s";' % ROOT.hex())
print('static const char subkey_vector_master[] = "%s";' % MASTER.hex())
print("static const struct {\n    int class;\n    uint32_t version;\n    const char *purpose, *context;\n    const char *subkey;\n"
      "} subkey_vectors[] = {")
for kind, version, purpose, context, length in NAMES:
    out = unseal.subkey(ROOT, kind, MASTER, version, purpose.encode(), context.encode(), length)
    print('    {%d, %du, "%s", "%s", "%s"},' % (kind, version, purpose, context, out.hex()))
print("};")
seal = sealing.make_seal(ROOT, b"database/sales", b"record 5", MASTER, 2, b"password", b"a password", bytes(range(24)))
print("static const struct {\n    const char *context, *associated, *plaintext, *seal;\n} seal_vector = {\n"
      '    "database/sales", "record 5", "a password", "%s",\n};' % seal.hex())
