"""What is sent and what it means when it comes back: ARP, ICMP echo, our own datagrams. Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

BROADCAST = b"\xff" * 6
ETH_P_ARP = 0x0806
_ARP = struct.Struct("!HHBBH6s4s6s4s")  # RFC 826
_REQUEST, _REPLY = 1, 2
_ECHO = struct.Struct("!BBHHH")  # RFC 792
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_DATAGRAM = struct.Struct("!4sII")
_MAGIC = b"ogfo"
_SEQUENCES = 1 << 16


def arp_request(*, mac: bytes, source: IPv4Address, target: IPv4Address) -> bytes:
    """Who has `target`? Asked of everybody, so that all who would answer do."""
    return (BROADCAST + mac + struct.pack("!H", ETH_P_ARP)) + _ARP.pack(
        1, 0x0800, 6, 4, _REQUEST, mac, source.packed, bytes(6), target.packed
    )


@dataclass(frozen=True, slots=True)
class IsAt:
    """An answer: the address is at that MAC, a number."""

    address: IPv4Address
    mac: int


def arp_reply(frame: bytes) -> IsAt | None:
    """What a frame answers; None if it is no answer: an announcement is none."""
    if len(frame) < 14 + _ARP.size or frame[12:14] != struct.pack("!H", ETH_P_ARP):
        return None
    _, _, _, _, operation, mac, address, _, target = _ARP.unpack_from(frame, 14)
    if operation != _REPLY or address == target:  # gratuitous, in the reply's form
        return None
    return IsAt(IPv4Address(address), int.from_bytes(mac))


def echo_request(identity: int, number: int) -> bytes:
    """An ICMP echo; its sequence is the number's low 16 bits."""
    plain = _ECHO.pack(_ECHO_REQUEST, 0, 0, identity, number % _SEQUENCES)
    total = sum(struct.unpack("!4H", plain))
    total = (total & 0xFFFF) + (total >> 16)
    return _ECHO.pack(_ECHO_REQUEST, 0, ~total & 0xFFFF, identity, number % _SEQUENCES)


def echo_reply(packet: bytes, identity: int, last: int) -> int | None:
    """The number of the probe that a packet (IPv4 header included) answers; None if it is none.

    last: the last number that was sent. Of the numbers with this sequence, it is the latest.
    """
    header = (packet[0] & 0xF) * 4 if packet else 0
    if len(packet) < header + _ECHO.size:
        return None
    kind, _, _, whose, sequence = _ECHO.unpack_from(packet, header)
    if kind != _ECHO_REPLY or whose != identity:
        return None
    number = last - (last - sequence) % _SEQUENCES
    return number if number >= 0 else None


def datagram(probe: int, number: int) -> bytes:
    """The content of a UDP probe."""
    return _DATAGRAM.pack(_MAGIC, probe, number)


def read_datagram(content: bytes) -> tuple[int, int] | None:
    """Of which series it is, and its number; None if it is none of ours."""
    if len(content) != _DATAGRAM.size or not content.startswith(_MAGIC):
        return None
    _, probe, number = _DATAGRAM.unpack(content)
    return probe, number
