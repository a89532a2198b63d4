"""What is sent and what it means when it comes back: who has it, ICMP echo, datagrams. Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

BROADCAST = b"\xff" * 6
ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
_ARP = struct.Struct("!HHBBH6s4s6s4s")  # RFC 826
_REQUEST, _REPLY = 1, 2
_IPV6 = struct.Struct("!IHBB16s16s")  # RFC 8200 §3
_ND = struct.Struct("!BBHI16sBB6s")  # RFC 4861 §4.3, §4.4, with one link-layer address (§4.6.1)
_ICMP6, _FROM_LINK = 58, 255
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_OPTION, _TARGET_OPTION = 1, 2
_SOLICITED = 1 << 30  # an answer, no announcement
_GROUP = IPv6Address("ff02::1:ff00:0").packed[:13]  # RFC 4291 §2.7.1; the target's last 3 bytes
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


def solicitations(*, mac: bytes, source: IPv6Address, target: IPv6Address) -> tuple[bytes, ...]:
    """Who has `target`? Asked of its solicited-node group, as those do who don't know, and of the
    address itself, as those do who want to know whether it is still there; both of everybody.
    """
    group, low = _GROUP + target.packed[-3:], target.packed[-3:]
    return (
        _solicitation(b"\x33\x33\xff" + low, mac, source, target, to=group),
        _solicitation(BROADCAST, mac, source, target, to=target.packed),
    )


def _solicitation(
    ether: bytes, mac: bytes, source: IPv6Address, target: IPv6Address, *, to: bytes
) -> bytes:
    def body(checksum: int) -> bytes:
        return _ND.pack(_SOLICITATION, 0, checksum, 0, target.packed, _SOURCE_OPTION, 1, mac)

    ends = source.packed + to
    checksum = _checksum(ends + struct.pack("!II", _ND.size, _ICMP6) + body(0))
    header = _IPV6.pack(6 << 28, _ND.size, _ICMP6, _FROM_LINK, source.packed, to)
    return ether + mac + struct.pack("!H", ETH_P_IPV6) + header + body(checksum)


def who_has(
    *, mac: bytes, source: IPv4Address | IPv6Address, target: IPv4Address | IPv6Address
) -> tuple[bytes, ...]:
    """The frames that ask who has `target`, in its family; TypeError if `source` is of another."""
    match source, target:
        case IPv4Address(), IPv4Address():
            return (arp_request(mac=mac, source=source, target=target),)
        case IPv6Address(), IPv6Address():
            return solicitations(mac=mac, source=source, target=target)
    raise TypeError(f"{source} can't ask for {target}")


@dataclass(frozen=True, slots=True)
class IsAt:
    """An answer: the address is at that MAC, a number."""

    address: IPv4Address | IPv6Address
    mac: int


def is_at(frame: bytes) -> IsAt | None:
    """What a frame answers, in either family; None if it is no answer."""
    return arp_reply(frame) or advertisement(frame)


def arp_reply(frame: bytes) -> IsAt | None:
    """What a frame answers; None if it is no answer: an announcement is none."""
    if len(frame) < 14 + _ARP.size or frame[12:14] != struct.pack("!H", ETH_P_ARP):
        return None
    _, _, _, _, operation, mac, address, _, target = _ARP.unpack_from(frame, 14)
    if operation != _REPLY or address == target:  # gratuitous, in the reply's form
        return None
    return IsAt(IPv4Address(address), int.from_bytes(mac))


def advertisement(frame: bytes) -> IsAt | None:
    """What a neighbour advertisement answers; None if it is none: an unsolicited one is none."""
    if len(frame) < 14 + _IPV6.size + _ND.size or frame[12:14] != struct.pack("!H", ETH_P_IPV6):
        return None
    _, _, next_header, hops, _, _ = _IPV6.unpack_from(frame, 14)
    if (next_header, hops) != (_ICMP6, _FROM_LINK):
        return None
    kind, _, _, flags, address, option, _, mac = _ND.unpack_from(frame, 14 + _IPV6.size)
    if kind != _ADVERTISEMENT or not flags & _SOLICITED or option != _TARGET_OPTION:
        return None
    return IsAt(IPv6Address(address), int.from_bytes(mac))


def echo_request(identity: int, number: int) -> bytes:
    """An ICMP echo; its sequence is the number's low 16 bits."""
    plain = _ECHO.pack(_ECHO_REQUEST, 0, 0, identity, number % _SEQUENCES)
    return _ECHO.pack(_ECHO_REQUEST, 0, _checksum(plain), identity, number % _SEQUENCES)


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


def _checksum(content: bytes) -> int:
    """The Internet's (RFC 1071), of a content of even length."""
    total: int = sum(struct.unpack(f"!{len(content) // 2}H", content))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
