"""ICMP and ICMPv6 echo messages as bytes (RFC 792; RFC 4443 §4). Pure."""

import struct
from typing import Literal

Family = Literal[4, 6]

REQUEST: dict[Family, int] = {4: 8, 6: 128}
REPLY: dict[Family, int] = {4: 0, 6: 129}
HEADER = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""


def request(token: bytes, *, family: Family) -> bytes:
    """An echo request that carries the token.

    The kernel puts in the identifier of an unprivileged socket, and ICMPv6's checksum, which
    covers addresses that only it knows.
    """
    bare = HEADER.pack(REQUEST[family], 0, 0, 0, 1) + token
    if family == 6:
        return bare
    return HEADER.pack(REQUEST[family], 0, checksum(bare), 0, 1) + token


def answers(data: bytes, token: bytes, *, family: Family, with_header: bool = False) -> bool:
    """Whether this is the reply to the request with that token.

    with_header: the IPv4 header is before it, as a raw socket gives it.
    """
    start = (data[0] & 0x0F) * 4 if with_header and data else 0
    message = data[start:]
    return (
        len(message) >= HEADER.size
        and message[0] == REPLY[family]
        and message[HEADER.size :] == token
    )


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
