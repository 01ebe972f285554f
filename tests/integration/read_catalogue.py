#!/usr/bin/env python3
"""Verifies all that docs/crypto.md says of a server's state directory, with nothing of Keywright's: HMACs of rows, of the table meta and of the file
root-marks; signatures of roots; the records of a soft store, down to the private keys.

usage: read_catalogue.py STATE CATALOGUE-KEY PASSPHRASE     prints how many of each were found. Exit status 1: something does not verify.
"""
import hashlib
import hmac
import os
import sqlite3
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from unseal import field, hkdf_expand

TABLES = ("entry", "certificate", "record", "store", "journal", "root")
count = {}


def check(what, is_right):
    if not is_right:
        sys.exit("%s does not verify" % what)
    count[what] = count.get(what, 0) + 1


def encode(value):
    if value is None:
        return b"\0"
    if isinstance(value, int):
        return b"\1" + struct.pack(">q", value)
    return b"\2" + field(value.encode()) if isinstance(value, str) else b"\3" + field(value)


def check_rows(db, key):
    row_key, check_key = (hkdf_expand(key, b"keywright catalogue %s/1" % name) for name in (b"rows", b"check"))
    for table in TABLES:
        for *columns, generation, mac in db.execute("SELECT * FROM " + table):
            message = field(table.encode()) + struct.pack(">QI", generation, len(columns))
            message += b"".join(map(encode, columns))
            check(table, hmac.digest(row_key, message, "sha256") == mac)
    _, catalogue, created, key_check, checksum = db.execute("SELECT * FROM meta").fetchone()
    message = field(b"meta") + field(catalogue.encode()) + struct.pack(">q", created)
    check("key check", hmac.digest(check_key, message, "sha256") == key_check)
    check("checksum", hashlib.sha256(message + key_check).digest() == checksum)


def check_marks(path, key):
    marks = open(path, "rb").read()
    at = marks.rindex(b"mac ")
    check("root-marks", hmac.digest(hkdf_expand(key, b"root marks"), marks[:at], "sha256").hex().encode() == marks[at + 4:-1])


def check_roots(db):
    for master, version, spki, scheme, wraps, signature, chain in db.execute(
            "SELECT root.master, version, spki, scheme, wraps, signature, chain FROM root JOIN entry ON entry.id = root.master "
            "JOIN certificate ON certificate.id = entry.certificate"):
        public = x509.load_der_x509_certificate(chain).public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        check("public key of a root", hashlib.sha256(der).digest() == spki)
        message = b"keywright root/1" + bytes.fromhex(master) + struct.pack(">I", version) + spki
        message += field(scheme.encode()) + field(wraps)
        sha = hashes.SHA256()
        if scheme == "ecdsa-sha256":
            public.verify(signature, message, ec.ECDSA(sha))
        else:
            public.verify(signature, message, padding.PSS(padding.MGF1(sha), 32), sha)
        check("signature of " + scheme, True)


def check_soft_store(records, passphrase):
    kek_record = records[b"kek"]
    log2_n, r, p = struct.unpack_from(">BHH", kek_record, 5)
    wrapping = hashlib.scrypt(passphrase, salt=kek_record[10:42], n=1 << log2_n, r=r, p=p, maxmem=1 << 30, dklen=32)
    kek = AESGCM(wrapping).decrypt(kek_record[58:70], kek_record[70:118], kek_record[:70])
    check("kek", kek_record[:5] == b"KWSK\1" and hashlib.sha256(kek_record[:118]).digest() == kek_record[118:] and
          hmac.digest(kek, b"keywright softstore kek", "sha256")[:16] == kek_record[42:58])
    for name, value in records.items():
        if name.startswith(b"key/"):
            head = value[:20 + int.from_bytes(value[6:8], "big")]
            pkcs8 = AESGCM(kek).decrypt(value[8:20], value[len(head):], head + name)
            public = serialization.load_der_private_key(pkcs8, None).public_key()
            check("soft key", value[:5] == b"KWSR\1" and head[20:] == public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def main(state, catalogue_key, passphrase):
    key, passphrase = (open(path, "rb").read().rstrip(b"\n") for path in (catalogue_key, passphrase))
    db = sqlite3.connect(os.path.join(state, "catalogue.db"))
    check_rows(db, key)
    check_marks(os.path.join(state, "root-marks"), key)
    check_roots(db)
    check_soft_store({bytes(name): value for name, value in db.execute("SELECT name, value FROM record")}, passphrase)
    for what, number in sorted(count.items()):
        print(what, number)


main(*sys.argv[1:])
