"""nf_tables' netlink messages about set elements, as bytes. Pure.

libnftables reads all tables of the host before it writes an element (30 ms beside 10,000 policies),
and a lease is written ten times a second: so elements don't go by it.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache

from outgate.daemon.netlink import attribute, attributes, text
from outgate.vip.gate.model import TABLE, Change, Element, Family, Verb

# linux/netfilter/nfnetlink.h, nf_tables.h
_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
NEW_ELEMENTS, _DELSETELEM = _NFTABLES << 8 | 12, _NFTABLES << 8 | 14
GET_RULES = _NFTABLES << 8 | 7
GET_SETS, GET_ELEMENTS = _NFTABLES << 8 | 10, _NFTABLES << 8 | 13
GET_GENERATION, NEW_GENERATION = _NFTABLES << 8 | 16, _NFTABLES << 8 | 15
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_KEY, _DATA, _TIMEOUT, _EXPIRATION = 1, 2, 4, 5
_VALUE, _VERDICT, _VERDICT_CODE, _VERDICT_CHAIN = 1, 2, 1, 2
_NESTED = 0x8000
_GOTO = struct.pack("!i", -4)

# linux/netlink.h
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_HEADER = struct.Struct("=IHHII")
_NFGENMSG = struct.Struct("!BBH")

_PER_MESSAGE = 400
"""Elements: an attribute holds 64 KiB."""


def batch(changes: Sequence[Change], *, serial: int = 1) -> tuple[bytes, Sequence[int]]:
    """One transaction, and for each of its messages which change it is of, by index.

    The first message has the number `serial` + 1; the last is acknowledged if it is taken, each of
    them if it is not.
    """
    messages: list[tuple[int, int, bytes]] = []
    of: list[int] = []
    for index, change in enumerate(changes):
        for kind, flags, body in _messages(change):
            messages.append((kind, flags, body))
            of.append(index)
    edge = _NFGENMSG.pack(0, 0, _NFTABLES)
    parts = [_message(_BATCH_BEGIN, _REQUEST, serial, edge)]
    for number, (kind, flags, body) in enumerate(messages, start=1):
        last = _ACK if number == len(messages) else 0
        parts.append(_message(kind, _REQUEST | flags | last, serial + number, body))
    parts.append(_message(_BATCH_END, _REQUEST, serial + len(messages) + 1, edge))
    return b"".join(parts), of


@lru_cache(maxsize=64)  # of a set each, for elements that are asked for 20 times a second
def set_request(family: Family, name: str) -> bytes:
    """The body of a request for the elements of one set."""
    return _NFGENMSG.pack(family, 0, 0) + _names(name)


def element_requests(places: Sequence[tuple[Family, str, bytes]], *, serial: int) -> bytes:
    """Messages that ask for one element of a set each, numbered from `serial` on."""
    return b"".join(
        _message(
            GET_ELEMENTS,
            _REQUEST,
            serial + number,
            set_request(family, name)
            + attribute(_LIST_ELEMENTS | _NESTED, _element(Element(key), add=False)),
        )
        for number, (family, name, key) in enumerate(places)
    )


def table_request(family: Family) -> bytes:
    """The body of a request for all rules or sets of our table."""
    return _NFGENMSG.pack(family, 0, 0) + attribute(_LIST_TABLE, TABLE.encode() + b"\0")


def generation_request() -> bytes:
    """The body of a request for the ruleset's generation."""
    return _NFGENMSG.pack(0, 0, 0)


def content(payload: bytes) -> bytes:
    """An answer without its head, where the generation stands: the same as long as it says so."""
    return payload[_NFGENMSG.size :]


def body(payload: bytes) -> dict[int, bytes]:
    """The attributes of an answer."""
    return dict(attributes(payload[_NFGENMSG.size :]))


def elements(payload: bytes) -> Iterator[Element]:
    """Those of one answer; `timeout` is the time that is left, in milliseconds."""
    for _, raw in attributes(body(payload).get(_LIST_ELEMENTS, b"")):
        parts = dict(attributes(raw))
        key = dict(attributes(parts.get(_KEY, b""))).get(_VALUE, b"")
        chain = _chain(parts[_DATA]) if _DATA in parts else b""
        left = parts.get(_EXPIRATION, parts.get(_TIMEOUT))
        yield Element(
            key,
            goto=text(chain),
            timeout=int.from_bytes(left, "big") if left else 0,
        )


def _chain(data: bytes) -> bytes:
    verdict = dict(attributes(dict(attributes(data)).get(_VERDICT, b"")))
    return verdict.get(_VERDICT_CHAIN, b"")


def _messages(change: Change) -> Iterator[tuple[int, int, bytes]]:
    head = _NFGENMSG.pack(change.family, 0, 0) + _names(change.set)
    if change.verb is Verb.FLUSH:
        yield _DELSETELEM, 0, head
        return
    add = change.verb is Verb.ADD
    kind, flags = (NEW_ELEMENTS, _CREATE) if add else (_DELSETELEM, 0)
    for start in range(0, len(change.elements), _PER_MESSAGE):
        some = change.elements[start : start + _PER_MESSAGE]
        content = b"".join(_element(element, add=add) for element in some)
        yield kind, flags, head + attribute(_LIST_ELEMENTS | _NESTED, content)


def _element(element: Element, *, add: bool) -> bytes:
    parts = attribute(_KEY | _NESTED, attribute(_VALUE, element.key))
    if add and element.goto:
        verdict = attribute(_VERDICT_CODE, _GOTO) + attribute(
            _VERDICT_CHAIN, element.goto.encode() + b"\0"
        )
        parts += attribute(_DATA | _NESTED, attribute(_VERDICT | _NESTED, verdict))
    if add and element.timeout:
        parts += attribute(_TIMEOUT, element.timeout.to_bytes(8, "big"))
    return attribute(1 | _NESTED, parts)


def _names(name: str) -> bytes:
    return attribute(_LIST_TABLE, TABLE.encode() + b"\0") + attribute(
        _LIST_SET, name.encode() + b"\0"
    )


def _message(kind: int, flags: int, serial: int, content: bytes) -> bytes:
    length = _HEADER.size + len(content)
    return _HEADER.pack(length, kind, flags, serial, 0) + content + bytes(-length % 4)
