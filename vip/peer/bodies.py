"""The engine's words as bytes, and back. Pure.

A heartbeat is short because it refers to what rarely changes by number: each gateway's `Say`, and
the names of the nodes it speaks of. What it says of them stands in columns, in the order of those
names. Sorted addresses are differences of numbers, mostly one byte each, and less compressed.
Fields may be added at the end of an array: who doesn't know them passes over them.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate, pairwise

import msgspec

from outgate.api.view import IPAddress
from outgate.vip.engine.words import Ack, Claim, Heard, Hearing, Heartbeat, OutSaid, Say
from outgate.vip.peer.words import Claims, Moved

INFLATED_MAX = 4 * 1024 * 1024
"""Bytes of a message when it is unpacked: more than 16,384 IPv6 addresses, each held and wanted."""

HEARINGS = (Hearing.ACKNOWLEDGES, Hearing.NEW, Hearing.WITHHOLDS, Hearing.UNHEARD)
"""By the number on the wire."""

_NUMBERS = {hearing: number for number, hearing in enumerate(HEARINGS)}
_LOW = (1 << 64) - 1
_ACK = struct.Struct("!QQ")

MALFORMED = (msgspec.MsgspecError, ValueError, IndexError, zlib.error, struct.error)
"""What reading nonsense raises."""

Packed = tuple[list[int], dict[int, list[int]]]
"""Addresses: IPv4, then IPv6's low halves by high half; each number but the first as distance."""


class HeartbeatBody(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A heartbeat without its sender and boot, which the header has.

    names, says: numbers of messages. boots, counters, ages, hearings: of the first names.
    outs: (gateway, ((node, epoch, age), ...)), gateway and node by their place among the names.
    """

    counter: int
    api: bool
    lease: float
    names: int
    says: tuple[int, ...]
    boots: list[int]
    counters: list[int]
    ages: list[float]
    hearings: bytes
    outs: list[tuple[int, list[tuple[int, int, float]]]]


class Names(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The names that heartbeats refer to."""

    names: tuple[str, ...]


class SayBody(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A `Say`."""

    gateway: str
    serial: int
    epoch: int
    fit: bool
    inside: bool
    joined: bool
    claims: list[tuple[int, Packed]]
    wants: Packed
    asks: Packed
    out: list[str]


Kept = tuple[str, ...] | Say
"""What a heartbeat refers to by a number."""

_encoder = msgspec.msgpack.Encoder()
_heartbeats = msgspec.msgpack.Decoder(HeartbeatBody)
_kept = msgspec.msgpack.Decoder(Names | SayBody)
_needs = msgspec.msgpack.Decoder(list[tuple[int, tuple[int, ...]]])
_moves = msgspec.msgpack.Decoder(dict[str, list[tuple[int, Packed]]])

_v4 = lru_cache(maxsize=32_768)(IPv4Address)  # so that equal addresses are mostly the same object
_v6 = lru_cache(maxsize=32_768)(IPv6Address)


def names_of(heartbeat: Heartbeat) -> tuple[str, ...]:
    """All names that the heartbeat needs, those of `peers` first and in their order."""
    others = set(heartbeat.outs)
    for out in heartbeat.outs.values():
        others |= out.keys()
    return (*heartbeat.peers, *sorted(others - heartbeat.peers.keys()))


def encode_heartbeat(
    heartbeat: Heartbeat, *, table: Sequence[str], names: int, says: tuple[int, ...]
) -> bytes:
    """The heartbeat, with what it refers to by number. table: what `names` is the number of."""
    peers = heartbeat.peers.values()
    index = {name: place for place, name in enumerate(table)} if heartbeat.outs else {}
    body = HeartbeatBody(
        heartbeat.counter,
        heartbeat.api,
        heartbeat.lease,
        names,
        says,
        [heard.boot for heard in peers],
        [heard.counter for heard in peers],
        [heard.age for heard in peers],
        bytes([_NUMBERS[heard.hearing] for heard in peers]),
        [
            (index[gateway], [(index[node], said.epoch, said.age) for node, said in out.items()])
            for gateway, out in heartbeat.outs.items()
        ],
    )
    return _encoder.encode(body)


def decode_heartbeat(data: bytes) -> HeartbeatBody:
    """The heartbeat as it came. Raises one of MALFORMED."""
    body = _heartbeats.decode(data)
    if not len(body.boots) == len(body.counters) == len(body.ages) == len(body.hearings):
        raise ValueError("columns of different lengths")
    return body


def resolve(
    body: HeartbeatBody,
    *,
    node: str,
    boot: int,
    names: tuple[str, ...],
    says: Mapping[str, Say],
) -> Heartbeat:
    """The heartbeat as the engine sees it. Raises one of MALFORMED if it isn't of these names."""
    if len(body.boots) > len(names):
        raise ValueError("more columns than names")
    hearings = map(HEARINGS.__getitem__, body.hearings)
    heard = map(Heard, body.boots, body.counters, body.ages, hearings)
    outs = {
        names[gateway]: {names[out]: OutSaid(epoch, age) for out, epoch, age in said}
        for gateway, said in body.outs
    }
    peers = dict(zip(names, heard, strict=False))
    return Heartbeat(node, boot, body.counter, body.api, body.lease, outs, peers, says)


def encode_kept(kept: Kept) -> bytes:
    """What heartbeats refer to, packed."""
    if isinstance(kept, tuple):
        return _deflate(Names(kept))
    return _deflate(
        SayBody(
            kept.gateway,
            kept.serial,
            kept.epoch,
            kept.fit,
            kept.inside,
            kept.joined,
            [(claim.epoch, pack(claim.addresses)) for claim in kept.claims],
            pack(kept.wants),
            pack(kept.asks),
            sorted(kept.out),
        )
    )


def decode_kept(data: bytes) -> Kept:
    """What heartbeats refer to. Raises one of MALFORMED."""
    body = _kept.decode(_inflate(data))
    if isinstance(body, Names):
        return body.names
    return Say(
        body.gateway,
        body.serial,
        body.epoch,
        body.fit,
        body.inside,
        body.joined,
        tuple(Claim(epoch, unpack(packed)) for epoch, packed in body.claims),
        unpack(body.wants),
        unpack(body.asks),
        frozenset(body.out),
    )


def encode_ack(ack: Ack) -> bytes:
    """Which heartbeat was heard; the header has by whom."""
    return _ACK.pack(ack.boot, ack.counter)


def decode_ack(data: bytes, *, node: str) -> Ack:
    """The acknowledgement of that node. Raises one of MALFORMED."""
    boot, counter = _ACK.unpack(data)
    return Ack(node, boot, counter)


def encode_need(missing: Mapping[int, tuple[int, ...]]) -> bytes:
    """Messages that are missing: number → which parts, () for all."""
    return _encoder.encode(list(missing.items()))


def decode_need(data: bytes) -> dict[int, tuple[int, ...]]:
    """Messages that the other misses. Raises one of MALFORMED."""
    return dict(_needs.decode(data))


def encode_moved(claims: Claims) -> bytes:
    """Where addresses are, packed."""
    return _deflate(
        {
            gateway: [(claim.epoch, pack(claim.addresses)) for claim in taken]
            for gateway, taken in claims.items()
        }
    )


def decode_moved(data: bytes, *, node: str) -> Moved:
    """What that node says it holds. Raises one of MALFORMED."""
    said = _moves.decode(_inflate(data))
    return Moved(
        node,
        {
            gateway: tuple(Claim(epoch, unpack(packed)) for epoch, packed in taken)
            for gateway, taken in said.items()
        },
    )


def pack(addresses: Iterable[IPAddress]) -> Packed:
    """The addresses as sorted distances."""
    v4: list[int] = []
    v6: dict[int, list[int]] = {}
    for address in addresses:
        number = int(address)
        if address.version == 4:
            v4.append(number)
        else:
            v6.setdefault(number >> 64, []).append(number & _LOW)
    return _distances(v4), {high: _distances(lows) for high, lows in sorted(v6.items())}


def unpack(packed: Packed) -> frozenset[IPAddress]:
    """The addresses. Raises ValueError if a number is none."""
    v4, v6 = packed
    found: list[IPAddress] = list(map(_v4, accumulate(v4)))
    for high, distances in v6.items():
        for low in accumulate(distances):
            if not 0 <= low <= _LOW:
                raise ValueError(f"not half an address: {low}")
            found.append(_v6(high << 64 | low))
    return frozenset(found)


def _distances(numbers: list[int]) -> list[int]:
    numbers.sort()
    return [*numbers[:1], *(after - before for before, after in pairwise(numbers))]


def _deflate(value: object) -> bytes:
    return zlib.compress(_encoder.encode(value))


def _inflate(data: bytes) -> bytes:
    """Unpacks, but no more than is sensible. Raises ValueError, zlib.error."""
    stream = zlib.decompressobj()
    whole = stream.decompress(data, INFLATED_MAX)
    if not stream.eof or stream.unused_data:
        raise ValueError("not one whole packed message")
    return whole
