"""The form of a datagram, and its proof. Pure.

    header      magic and version, kind, proofs, part, parts, boot, counter, echo, number,
                sender, receiver
    keys        the ids of the keys, 16 bytes each
    proofs      16 bytes each, by these keys
    body        this part's bytes

A proof is over header, ids, and the SHA-256 of the body: the body of a heartbeat is hashed once,
however many are to hear it. Nodes are named by 16 bytes of a hash: names may have 253.
"""

import hashlib
import struct
from enum import IntEnum
from hmac import compare_digest
from typing import NamedTuple

from outgate.vip.peer.errors import Refusal, Refused
from outgate.vip.peer.keys import ACTIVE_MAX, ID_MAX, PROOF, Key, Keys

MAGIC = b"OG\x01"
"""Ours, and the version: what has another is not looked at."""

DATAGRAM_MAX = 1200
"""Bytes of a datagram: with IPv6 and UDP headers less than IPv6's least MTU (RFC 8200 §5)."""

HEADER = struct.Struct("!3sBBHHQQQQ16s16s")
BODY_MAX = DATAGRAM_MAX - HEADER.size - ACTIVE_MAX * (ID_MAX + PROOF)


class Kind(IntEnum):
    """What a datagram is.

    HELLO: nothing but its header. HEARTBEAT, ACK: the engine's. PART: of something that heartbeats
    refer to by its number. NEED: of which the sender misses parts. MOVED, MOVED_ACK: see `moves`.
    """

    HELLO = 1
    HEARTBEAT = 2
    ACK = 3
    PART = 4
    NEED = 5
    MOVED = 6
    MOVED_ACK = 7


class Header(NamedTuple):
    """Whatever is said of a datagram besides its body.

    boot, counter: of the sender's process, of its datagrams to this receiver. echo: the
    receiver's boot, as the sender knows it, or 0. number: of the message that this is part
    `part` of `parts` of. sender, receiver: `identity` of their names.
    """

    magic: bytes
    kind: int
    proofs: int
    part: int
    parts: int
    boot: int
    counter: int
    echo: int
    number: int
    sender: bytes
    receiver: bytes


class Piece(NamedTuple):
    """A body, with its hash, which is the same for all receivers."""

    body: bytes
    digest: bytes


def piece(body: bytes) -> Piece:
    """The body, hashed."""
    return Piece(body, hashlib.sha256(body).digest())


def identity(node: str) -> bytes:
    """How a node is named in a header."""
    return hashlib.blake2b(node.encode(), digest_size=16).digest()


def seal(header: bytes, piece: Piece, active: tuple[Key, ...]) -> bytes:
    """The datagram, proven by each of the keys."""
    if len(active) == 1:  # nearly always
        (key,) = active
        head = header + key.label
        return head + key.prove(head + piece.digest) + piece.body
    head = header + b"".join(key.label for key in active)
    proofs = b"".join(key.prove(head + piece.digest) for key in active)
    return head + proofs + piece.body


def read(data: bytes) -> Header:
    """What a datagram says it is; nothing of it is proven. Raises Refused."""
    if len(data) < HEADER.size or len(data) > DATAGRAM_MAX:
        raise Refused(Refusal.MALFORMED)
    header = Header._make(HEADER.unpack_from(data))
    if (
        header.magic != MAGIC
        or not 1 <= header.proofs <= ACTIVE_MAX
        or len(data) < HEADER.size + header.proofs * (ID_MAX + PROOF)
    ):
        raise Refused(Refusal.MALFORMED)
    return header


def prove(data: bytes, header: Header, keys: Keys) -> bytes:
    """The body, if all proofs by keys that are known here are right, and there is one.

    A proof by a key that is unknown here says nothing. Raises Refused.
    """
    labels = HEADER.size
    proofs = labels + header.proofs * ID_MAX
    end = proofs + header.proofs * PROOF
    body = data[end:]
    message = data[:proofs] + hashlib.sha256(body).digest()
    known = 0
    for index in range(header.proofs):
        label = data[labels + index * ID_MAX : labels + (index + 1) * ID_MAX]
        key = keys.by_label.get(label)
        if key is None:
            continue
        known += 1
        proof = data[proofs + index * PROOF : proofs + (index + 1) * PROOF]
        if not compare_digest(proof, key.prove(message)):
            raise Refused(Refusal.FORGED)
    if not known:
        raise Refused(Refusal.UNKNOWN_KEY)
    return body
