"""What is said over a stream, as bytes, before it is sealed: pure.

A byte for the kind, then its content, big-endian. A new kind is a new number; unknown ones, and
whatever does not add up, raise NotOurs.
"""

import struct
from dataclasses import dataclass

from outgate.vip.flows.errors import NotOurs
from outgate.vip.flows.records import FlowRecord, decode, encode
from outgate.vip.flows.remapped import Changes

BATCH = 512
"""Flows in one message: 9 KB for IPv4, 21 for IPv6."""

_WANT, _FLOWS, _COMPLETE, _ADDED, _GONE, _FRESH = range(1, 7)
_COUNT = struct.Struct("!I")
_ID = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class Want:
    """To each source node, before a planned move: send me your flows of these egress ids."""

    egress_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Flows:
    """To the holder: flows of mine."""

    records: tuple[FlowRecord, ...]


@dataclass(frozen=True, slots=True)
class Complete:
    """To the holder, at the end: all my flows of these egress ids were sent, so many."""

    egress_ids: frozenset[int]
    count: int


Message = Want | Flows | Complete | Changes


def to_bytes(message: Message) -> list[bytes]:
    """The payloads that say it: one, but for changes, which may need several."""
    match message:
        case Want(ids):
            return [bytes((_WANT,)) + _ids(ids)]
        case Flows(records):
            return [bytes((_FLOWS,)) + encode(records)]
        case Complete(ids, count):
            return [bytes((_COMPLETE,)) + _COUNT.pack(count) + _ids(ids)]
        case Changes(added, gone, fresh):
            fresh_first = [bytes((_FRESH,))] if fresh else []
            return fresh_first + [
                bytes((kind,)) + encode(records[start : start + BATCH])
                for kind, records in ((_GONE, gone), (_ADDED, added))
                for start in range(0, len(records), BATCH)
            ]


def from_bytes(payload: bytes) -> Message:
    """What a payload says. Raises NotOurs."""
    kind, content = (payload[0], payload[1:]) if payload else (0, b"")
    match kind:
        case _ if kind == _WANT:
            return Want(_read_ids(content))
        case _ if kind == _FLOWS:
            return Flows(tuple(decode(content)))
        case _ if kind == _COMPLETE and len(content) >= _COUNT.size:
            (count,) = _COUNT.unpack_from(content)
            return Complete(_read_ids(content[_COUNT.size :]), count)
        case _ if kind == _ADDED:
            return Changes(added=tuple(decode(content)))
        case _ if kind == _GONE:
            return Changes(gone=tuple(decode(content)))
        case _ if kind == _FRESH and not content:
            return Changes(fresh=True)
    raise NotOurs(f"a message of kind {kind} and {len(payload)} bytes")


def _ids(ids: frozenset[int]) -> bytes:
    return b"".join(_ID.pack(id_) for id_ in sorted(ids))


def _read_ids(content: bytes) -> frozenset[int]:
    if len(content) % _ID.size:
        raise NotOurs(f"egress ids in {len(content)} bytes")
    return frozenset(id_ for (id_,) in _ID.iter_unpack(content))
