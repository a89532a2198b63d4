"""The frames that ask: ARP probe, solicitation of duplicate address detection, echo requests.

Scapy's templates (`outgate.vip.wire.templates`), patched; and the echo replies, read. Sends
nothing.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from outgate.api.view import IPAddress
from outgate.vip.wire import (
    ARP_SENDER_MAC,
    ARP_TARGET,
    ETHER_SOURCE,
    add_to_checksum,
    templates,
)

ETHER_DESTINATION = slice(0, 6)
SOLICITED_MAC_LOW = slice(3, 6)  # RFC 2464 §7: the group's last 32 bits, of which ff is there
SOLICITED_LOW = slice(51, 54)  # Ethernet 14, IPv6 destination at 24, its last 3 of 16 bytes
NS_CHECKSUM = slice(56, 58)
NS_TARGET = slice(62, 78)
IP4_CHECKSUM = slice(24, 26)  # Ethernet 14, RFC 791 §3.1
IP4_ADDRESSES = slice(26, 34)
IP6_ADDRESSES = slice(22, 54)
ECHO4_CHECKSUM = slice(36, 38)  # Ethernet 14, IPv4 20, RFC 792: checksum at 2
ECHO4_NUMBERS = slice(38, 42)  # identifier, sequence number
ECHO6_CHECKSUM = slice(56, 58)  # Ethernet 14, IPv6 40, RFC 4443 §4.1
ECHO6_NUMBERS = slice(58, 62)


class EchoReply(NamedTuple):
    """Who answered whom, and the MAC that the answer was sent to."""

    mac: bytes
    source: IPAddress
    destination: IPAddress
    identifier: int
    sequence: int


def probe(address: IPAddress, mac: bytes) -> bytes:
    """The question whether anybody uses the address, which teaches nobody anything.

    An ARP probe (RFC 5227 §2.1.1: sender address 0, broadcast), or a solicitation from :: to the
    solicited-node group (RFC 4862 §5.4.2). Raises WireRefused if the templates can't be built.
    """
    packed = address.packed
    if isinstance(address, IPv4Address):
        frame = bytearray(templates().request)
        frame[ETHER_SOURCE] = frame[ARP_SENDER_MAC] = mac
        frame[ARP_TARGET] = packed
        return bytes(frame)
    low = packed[-3:]
    frame = bytearray(templates().solicitation)
    frame[ETHER_SOURCE], frame[SOLICITED_MAC_LOW] = mac, low
    frame[SOLICITED_LOW], frame[NS_TARGET] = low, packed
    add_to_checksum(frame, NS_CHECKSUM, b"\0" + low + packed)
    return bytes(frame)


def echo_request(
    source: IPAddress,
    destination: IPAddress,
    *,
    mac: bytes,
    router_mac: bytes,
    identifier: int,
    sequence: int,
) -> bytes:
    """An echo request from an address of one family to another of it, both numbers of 16 bits.

    Raises WireRefused if the templates can't be built.
    """
    v4 = source.version == 4
    addresses = source.packed + destination.packed
    numbers = identifier.to_bytes(2) + sequence.to_bytes(2)
    frame = bytearray(templates().echo4 if v4 else templates().echo6)
    frame[ETHER_DESTINATION], frame[ETHER_SOURCE] = router_mac, mac
    if v4:
        frame[IP4_ADDRESSES], frame[ECHO4_NUMBERS] = addresses, numbers
        add_to_checksum(frame, IP4_CHECKSUM, addresses)
        add_to_checksum(frame, ECHO4_CHECKSUM, numbers)
    else:
        frame[IP6_ADDRESSES], frame[ECHO6_NUMBERS] = addresses, numbers
        add_to_checksum(frame, ECHO6_CHECKSUM, addresses + numbers)
    return bytes(frame)


def echo_reply(frame: bytes) -> EchoReply | None:
    """The echo reply in a frame; None if it is something else, or malformed."""
    source: IPAddress
    destination: IPAddress
    if frame[12:14] == b"\x08\x00" and frame[23:24] == b"\x01":
        at = 14 + 4 * (frame[14] & 0x0F)  # RFC 791 §3.1: IHL, in words
        addresses = frame[IP4_ADDRESSES]
        if at < 34 or len(frame) < at + 8 or frame[at] != 0:
            return None
        source, destination = IPv4Address(addresses[:4]), IPv4Address(addresses[4:])
    elif frame[12:14] == b"\x86\xdd" and frame[20:21] == b"\x3a":
        at = 54
        addresses = frame[IP6_ADDRESSES]
        if len(frame) < at + 8 or frame[at] != 129:
            return None
        source, destination = IPv6Address(addresses[:16]), IPv6Address(addresses[16:])
    else:
        return None
    identifier = int.from_bytes(frame[at + 4 : at + 6])
    return EchoReply(
        frame[ETHER_DESTINATION],
        source,
        destination,
        identifier,
        int.from_bytes(frame[at + 6 : at + 8]),
    )
