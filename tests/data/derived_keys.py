"""Derived certificate keys, computed without OpenSSL and without the library: RFC 5869, FIPS 186-5 A.2.1, RFC 8032.

    derived_keys.py FILE      checks every row of derived_keys.tsv
    derived_keys.py --make    writes rows
"""
import hashlib
import hmac
import sys

CERTIFICATE = 3  # the class

CURVES = {  # p, n, G, object identifier in DER; a is -3
    "ec-p256": (
        0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
         0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5),
        "2a8648ce3d030107"),
    "ec-p384": (
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        (0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
         0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F),
        "2b81040022"),
}


def hkdf_expand(root, info, length):
    out, block = b"", b""
    for number in range(1, 256):
        if len(out) >= length:
            break
        block = hmac.new(root, block + info + bytes([number]), hashlib.sha256).digest()
        out += block
    return out[:length]


def field(data):
    return len(data).to_bytes(4, "big") + data


def subkey(root, master, version, key, key_id, length):
    info = (b"keywright/1" + bytes([CERTIFICATE]) + master + version.to_bytes(4, "big") + field(key.encode())
            + field(key_id))
    return hkdf_expand(root, info, length)


def add(left, right, p):
    if left is None or right is None:
        return left or right
    if left[0] == right[0]:
        if (left[1] + right[1]) % p == 0:
            return None
        slope = (3 * left[0] ** 2 - 3) * pow(2 * left[1], -1, p)
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, p)
    x = (slope * slope - left[0] - right[0]) % p
    return x, (slope * (left[0] - x) - left[1]) % p


def multiply(scalar, point, p):
    result = None
    while scalar:
        if scalar & 1:
            result = add(result, point, p)
        point = add(point, point, p)
        scalar >>= 1
    return result


def der(tag, *parts):
    body = b"".join(parts)
    return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)])) + body


def ec(key, root, master, version, key_id):
    p, n, generator, oid = CURVES[key]
    size = (n.bit_length() + 7) // 8
    c = int.from_bytes(subkey(root, master, version, key, key_id, size + 8), "big")
    d = c % (n - 1) + 1
    x, y = multiply(d, generator, p)
    algorithm = der(0x30, der(6, bytes.fromhex("2a8648ce3d0201")), der(6, bytes.fromhex(oid)))
    point = b"\x04" + x.to_bytes(size, "big") + y.to_bytes(size, "big")
    return d.to_bytes(size, "big"), der(0x30, algorithm, der(3, b"\0", point))


def ed25519(root, master, version, key_id):
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    seed = subkey(root, master, version, "ed25519", key_id, 32)
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = scalar & ((1 << 254) - 8) | (1 << 254)
    y = 4 * pow(5, -1, p) % p
    square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    x = pow(square, (p + 3) // 8, p)
    if (x * x - square) % p:
        x = x * pow(2, (p - 1) // 4, p) % p
    base = (x if x % 2 == 0 else p - x, y)

    def plus(left, right):
        product = d * left[0] * right[0] * left[1] * right[1]
        return ((left[0] * right[1] + left[1] * right[0]) * pow(1 + product, -1, p) % p,
                (left[1] * right[1] + left[0] * right[0]) * pow(1 - product, -1, p) % p)

    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = plus(result, base)
        base = plus(base, base)
        scalar >>= 1
    public = (result[1] | (result[0] & 1) << 255).to_bytes(32, "little")
    return seed, der(0x30, der(0x30, der(6, bytes.fromhex("2b6570"))), der(3, b"\0", public))


def compute(root, master, version, key, key_id):
    if key == "ed25519":
        return ed25519(root, master, version, key_id)
    return ec(key, root, master, version, key_id)


def make():
    print("# root\tmaster\tversion\tkey\tkey id\tprivate\tSubjectPublicKeyInfo")
    for number, key in enumerate(["ec-p256", "ec-p384", "ed25519"] * 3):
        root = hashlib.sha256(b"root %d" % (number // 6)).digest()
        master = hashlib.sha256(b"master %d" % (number // 3)).digest()[:16]
        key_id = hashlib.sha256(b"key %d" % number).digest()[:16]
        version = [1, 2, 0xFFFFFFFF][number // 3]
        private, spki = compute(root, master, version, key, key_id)
        print(root.hex(), master.hex(), version, key, key_id.hex(), private.hex(), spki.hex(), sep="\t")


def check(path):
    rows = [line.rstrip("\n").split("\t") for line in open(path, encoding="ascii") if not line.startswith("#")]
    for root, master, version, key, key_id, private, spki in rows:
        own = compute(bytes.fromhex(root), bytes.fromhex(master), int(version), key, bytes.fromhex(key_id))
        if own != (bytes.fromhex(private), bytes.fromhex(spki)):
            sys.exit(f"{path}: {key} {key_id}: is {own[0].hex()} {own[1].hex()}")
    if not rows:
        sys.exit(f"{path}: no rows")


if sys.argv[1] == "--make":
    make()
else:
    check(sys.argv[1])
