"""Checks vectors.json with pyca/cryptography: python3 verify.py

It is also how short a reader in another language can be.
"""

import base64
import binascii
import json
import pathlib
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Problem(Exception):
    """Has the name of a problem as its text."""


def decode(text):
    """Decodes base64 that has its one canonical form."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Problem("malformed") from None
    if base64.b64encode(data).decode() != text:
        raise Problem("malformed")
    return data


def open_sealed(keys, sealed):
    """Returns the plaintext of a text, by the keys' ids."""
    parts = sealed.split(":")
    if len(parts) != 3 or not ID.fullmatch(parts[0]) or parts[0].endswith(".primary"):
        raise Problem("malformed")
    key_id, iv, ciphertext = parts[0], decode(parts[1]), decode(parts[2])
    if len(iv) != 12 or len(ciphertext) < 16:
        raise Problem("malformed")
    if key_id not in keys:
        raise Problem("unknown-kid")
    if len(keys[key_id]) != 32:
        raise Problem("bad-key")
    try:
        return AESGCM(keys[key_id]).decrypt(iv, ciphertext, key_id.encode())
    except InvalidTag:
        raise Problem("bad-ciphertext") from None


def seal(key_id, key, iv, plaintext):
    """Returns the text of a plaintext."""
    ciphertext = AESGCM(key).encrypt(iv, plaintext, key_id.encode())
    return ":".join([key_id, *(base64.b64encode(part).decode() for part in (iv, ciphertext))])


def problem_of(keys, sealed):
    """Returns the name of the problem of a text, or None if it opens."""
    try:
        open_sealed(keys, sealed)
    except Problem as problem:
        return str(problem)
    return None


def main():
    """Checks every vector both ways."""
    file = pathlib.Path(__file__).with_name("vectors.json")
    vectors = json.loads(file.read_text(encoding="utf-8"))
    keys = {key_id: bytes.fromhex(key) for key_id, key in vectors["keys"].items()}
    for case in vectors["valid"]:
        key, iv, plaintext = (bytes.fromhex(case[part]) for part in ("key", "iv", "plaintext"))
        assert open_sealed({case["id"]: key}, case["sealed"]) == plaintext, case["name"]
        assert seal(case["id"], key, iv, plaintext) == case["sealed"], case["name"]
    for case in vectors["invalid"]:
        assert problem_of(keys, case["sealed"]) == case["problem"], case["name"]
    print(len(vectors["valid"]) + len(vectors["invalid"]), "vectors agree")


if __name__ == "__main__":
    main()
