"""The keys of the mesh as a value, and how the files of a Secret are read. Pure.

Each key is a file, named by its id; `active` lists the ids that are sent with. See the package.
"""

import binascii
import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping

from outgate.vip.peer.errors import KeysBad

ACTIVE = "active"
ACTIVE_MAX = 2
ID_MAX = 16
"""Bytes of an id in a datagram."""
KEY_MIN = 16
"""Bytes of the weakest key that is taken: 128 bits, as strong as the proof."""
KEY_MAX = 4096
PROOF = 16
"""Bytes of a proof. RFC 2104 §5: not less than half of the hash's 32."""

_BLOCK = 64  # of SHA-256: RFC 2104 §2
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Key:
    """One key, with the work done that is the same for each message (RFC 2104 §4)."""

    def __init__(self, name: str, secret: bytes) -> None:
        self.name = name
        self.label = name.encode().ljust(ID_MAX, b"\0")
        if len(secret) > _BLOCK:
            secret = hashlib.sha256(secret).digest()
        padded = secret.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def prove(self, message: bytes) -> bytes:
        """HMAC-SHA-256 of the message, its first 16 bytes."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[:PROOF]


class Keys:
    """The keys that are believed, and those of them that are sent with, both by their ids."""

    def __init__(self, secrets: Mapping[str, bytes], active: tuple[str, ...]) -> None:
        made = {name: Key(name, secret) for name, secret in secrets.items()}
        self.by_label = {key.label: key for key in made.values()}
        self.active = tuple(made[name] for name in active)

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of all keys, sorted: for logs and metrics."""
        return tuple(sorted(key.name for key in self.by_label.values()))


NO_KEYS = Keys({}, ())
"""Nothing is believed, and nothing can be sent."""


def parse(files: Mapping[str, bytes]) -> Keys:
    """The keys in a Secret's files: name → content. Raises KeysBad."""
    if ACTIVE not in files:
        raise KeysBad(f"no file {ACTIVE}: it must have the id of the key to send with")
    secrets = {
        name: _secret(name, content) for name, content in sorted(files.items()) if name != ACTIVE
    }
    return Keys(secrets, _active(files[ACTIVE], secrets))


def _active(content: bytes, secrets: Mapping[str, bytes]) -> tuple[str, ...]:
    try:
        names = tuple(content.decode("ascii").split())
    except UnicodeDecodeError as error:
        raise KeysBad(f"{ACTIVE}: not text; it must have one or two ids of keys") from error
    if not 1 <= len(names) <= ACTIVE_MAX or len(set(names)) < len(names):
        raise KeysBad(f"{ACTIVE}: has {len(names)} ids; it must have one, or two different ones")
    for name in names:
        if name not in secrets:
            there = ", ".join(secrets) or "none"
            raise KeysBad(f"{ACTIVE}: there is no key {name!r}; the keys are: {there}")
    return names


def _secret(name: str, content: bytes) -> bytes:
    """The key's bytes: what the content is the base64 of, if that is long enough, or itself."""
    if len(name) > ID_MAX or not _ID.fullmatch(name):
        raise KeysBad(
            f"{name!r}: an id of a key has 1 to {ID_MAX} letters, digits, dots, dashes or "
            "underscores, a letter or digit first"
        )
    if len(content) > KEY_MAX:
        raise KeysBad(f"{name}: {len(content)} bytes are no key; at most {KEY_MAX}")
    try:
        decoded = b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    secret = decoded if len(decoded) >= KEY_MIN else content
    if len(secret) < KEY_MIN:
        raise KeysBad(f"{name}: a key has at least {KEY_MIN} bytes, raw or as base64")
    return secret
