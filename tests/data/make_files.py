#!/usr/bin/env python3
"""Makes files that no tool at hand writes: make_files.py WHAT OUTPUT [INPUT...]

ber        a PKCS#12 file in BER: indefinite lengths, and the content in pieces, as NSS, macOS and Windows send it
pbmac1     a PKCS#12 file without a MAC gets one of RFC 9579; the password is PASSWORD of the environment
same       an RSA key in PKCS#8 (DER) whose two primes are the same
exponent   one whose public exponent is 1
roca       one as a chip with the ROCA defect makes it
off-curve  a P-256 key in PKCS#8 (DER), its point moved off the curve
v2         an Ed25519 key in PKCS#8 (DER) as RFC 5958 has it, with its public key
latin      standard input, each byte encoded as a character in UTF-8, as OpenSSL 1.0 took a password
"""
import hashlib
import hmac
import math
import os
import secrets
import subprocess
import sys

# ---- DER -------------------------------------------------------------------------------------------------------


def der(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(value):
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(text):
    numbers = [int(part) for part in text.split(".")]
    content = b""
    for number in [40 * numbers[0] + numbers[1]] + numbers[2:]:
        piece = bytes([number & 0x7F])
        while number >= 0x80:
            number >>= 7
            piece = bytes([0x80 | (number & 0x7F)]) + piece
        content += piece
    return der(0x06, content)


def read(data):
    """The elements that follow one another in data, as (tag, content)."""
    elements = []
    while data:
        size, start = data[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start], "big")
        elements.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return elements


def indefinite(tag, *parts):
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def pfx(data):
    """version, content type, content of the authenticated safe, and the rest (the MAC)."""
    version, safe, *rest = read(read(data)[0][1])
    kind, content = read(safe[1])
    return version, kind, read(content[1])[0][1], b"".join(der(*element) for element in rest)


# ---- PKCS#12 -----------------------------------------------------------------------------------------------------


def ber(data):
    version, kind, content, mac = pfx(data)
    pieces = [der(0x04, content[at : at + 100]) for at in range(0, len(content), 100)]
    return indefinite(0x30, der(*version), indefinite(0x30, der(*kind), indefinite(0xA0, indefinite(0x24, *pieces))), mac)


def pbmac1(data):
    version, kind, content, _ = pfx(data)
    salt, iterations = secrets.token_bytes(16), 2048
    key = hashlib.pbkdf2_hmac("sha256", os.environ["PASSWORD"].encode(), salt, iterations, 32)
    algorithm = der(0x30, oid("1.2.840.113549.2.9"), der(0x05))
    function = der(0x30, oid("1.2.840.113549.1.5.12"), der(0x30, der(0x04, salt), integer(iterations), integer(32), algorithm))
    how = der(0x30, oid("1.2.840.113549.1.5.14"), der(0x30, function, algorithm))
    digest = hmac.new(key, content, "sha256").digest()
    mac = der(0x30, der(0x30, how, der(0x04, digest)), der(0x04, b"unused"), integer(1))
    safe = der(0x30, der(*kind), der(0xA0, der(0x04, content)))
    return der(0x30, der(*version), safe, mac)


# ---- Keys ----------------------------------------------------------------------------------------------------------


def prime():
    made = subprocess.run(["openssl", "prime", "-generate", "-bits", "1024"], capture_output=True, check=True)
    return int(made.stdout)


def roca_prime():
    """k * M + (65537^a mod M), M the product of the first primes (Nemec et al., 2017)."""
    product = math.prod(n for n in range(2, 702) if all(n % d for d in range(2, math.isqrt(n) + 1)))
    while True:
        power = pow(65537, secrets.randbits(200), product)
        found = (secrets.randbits(1024) | 3 << 1022) // product * product + power
        if found >> 1022 == 3 and all(pow(base, found - 1, found) == 1 for base in (2, 3, 5)):
            return found


def rsa(p, q, exponent=65537):
    private = pow(exponent, -1, (p - 1) * (q - 1))
    inverse = pow(q, -1, p) if p != q else 1
    key = der(0x30, *map(integer, (0, p * q, exponent, private, p, q, private % (p - 1), private % (q - 1), inverse)))
    return der(0x30, integer(0), der(0x30, oid("1.2.840.113549.1.1.1"), der(0x05)), der(0x04, key))


def pkcs8(*options):
    made = subprocess.run(["openssl", "genpkey", "-outform", "DER", *options], capture_output=True, check=True)
    return made.stdout


def off_curve():
    key = pkcs8("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    return key[:-1] + bytes([key[-1] ^ 1])


def v2():
    key = pkcs8("-algorithm", "ED25519")
    public = subprocess.run(
        ["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=key, capture_output=True, check=True
    ).stdout[-32:]
    algorithm, private = read(read(key)[0][1])[1:3]
    return der(0x30, integer(1), der(*algorithm), der(*private), der(0x81, b"\0" + public))


def main():
    what, output, *inputs = sys.argv[1:]
    content = [open(name, "rb").read() for name in inputs]
    makers = {
        "ber": ber,
        "pbmac1": pbmac1,
        "same": lambda: (lambda p: rsa(p, p))(prime()),
        "exponent": lambda: rsa(prime(), prime(), 1),
        "roca": lambda: rsa(roca_prime(), roca_prime()),
        "off-curve": off_curve,
        "v2": v2,
        "latin": lambda: sys.stdin.buffer.read().decode("latin-1").encode("utf-8"),
    }
    with open(output, "wb") as file:
        file.write(makers[what](*content))


main()
