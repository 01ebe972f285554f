"""An issuer of licences, independent of the project: Python's own modules, and openssl for the signature. As docs/licence.md says.

issue_licence.py KEY CERTIFICATE [NAME=VALUE]...: prints a licence over these members. Options among them, which are not members:
alg=ES256 (default: what fits the key), header=JSON (members of the header besides), raw=FILE (that payload instead of members),
cut=NAME (leaves a member of the header out), flip=1 (changes the signature), nested=N (members nested N deep).
"""
import base64
import hashlib
import json
import subprocess
import sys
import tempfile


def run(*words, data=None):
    return subprocess.run(("openssl",) + words, input=data, check=True, capture_output=True).stdout


def url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(key, algorithm, data):
    if algorithm == "none":
        return b""
    if algorithm == "EdDSA":
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return run("pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", file.name)
    digest = "-sha" + algorithm[2:]
    options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if algorithm[0] == "P" else []
    made = run("dgst", digest, "-sign", key, *options, data=data)
    if algorithm[0] != "E":
        return made
    # ECDSA: JOSE wants the two numbers side by side, each as long as the curve's.
    length = {"256": 32, "384": 48, "512": 66}[algorithm[2:]]
    numbers = []
    for line in run("asn1parse", "-inform", "DER", data=made).decode().splitlines():
        if "INTEGER" in line:
            numbers.append(int(line.rsplit(":", 1)[1], 16).to_bytes(length, "big"))
    return b"".join(numbers)


def default_algorithm(key):
    text = run("pkey", "-in", key, "-noout", "-text").decode()
    if "ED25519" in text:
        return "EdDSA"
    for curve, algorithm in (("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512")):
        if curve in text:
            return algorithm
    return "PS256"


def main():
    key, certificate = sys.argv[1:3]
    members = dict(word.split("=", 1) for word in sys.argv[3:])
    options = {name: members.pop(name, None) for name in ("alg", "header", "raw", "cut", "flip", "nested")}
    algorithm = options["alg"] or default_algorithm(key)
    der = run("x509", "-in", certificate, "-outform", "DER")
    header = {"alg": algorithm, "typ": "keywright-licence+json", "x5t#S256": url(hashlib.sha256(der).digest())}
    header.update(json.loads(options["header"] or "{}"))
    if options["cut"]:
        del header[options["cut"]]
    claims = {"format": "keywright-licence/1", **members}
    if options["nested"]:
        for _ in range(int(options["nested"])):
            claims = {"format": "keywright-licence/1", "inner": claims}
    payload = json.dumps(claims).encode()
    if options["raw"]:
        with open(options["raw"], "rb") as file:
            payload = file.read()
    protected, body = url(json.dumps(header).encode()), url(payload)
    signature = bytearray(sign(key, algorithm, f"{protected}.{body}".encode()))
    if options["flip"]:
        signature[-1] ^= 1
    print(json.dumps({"payload": body, "protected": protected, "signature": url(bytes(signature))}))


main()
