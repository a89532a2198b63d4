"""Who speaks for which address in a frame, as bytes: ARP, neighbour solicitation, advertisement.

Pure, and quick: it sees every such frame of a LAN. Whatever is malformed says nothing.
"""

from typing import NamedTuple

ETHERTYPE = slice(12, 14)  # IEEE 802.3
ARP = b"\x08\x06"
IPV6 = b"\x86\xdd"

ARP_FORM = slice(14, 20)  # RFC 826: hardware and protocol types and lengths
ETHERNET_IPV4 = b"\x00\x01\x08\x00\x06\x04"
ARP_SENDER_MAC = slice(22, 28)
ARP_SENDER = slice(28, 32)
ARP_TARGET = slice(38, 42)
NEXT_AND_HOPS = slice(20, 22)  # RFC 8200 §3
ICMP6_FROM_LINK = b"\x3a\xff"  # RFC 4861 §7.1: 255 hops, so nobody has forwarded it
IP6_SOURCE = slice(22, 38)
ND_TYPE_AND_CODE = slice(54, 56)
SOLICITATION = b"\x87\x00"  # RFC 4861 §4.3
ADVERTISEMENT = b"\x88\x00"  # RFC 4861 §4.4
ND_TARGET = slice(62, 78)
ND_OPTIONS = 78
SOURCE_OPTION, TARGET_OPTION = 1, 2  # RFC 4861 §4.6.1: link-layer addresses

_NO_ADDRESS4 = bytes(4)
_NO_ADDRESS6 = bytes(16)


class Spoken(NamedTuple):
    """A host that speaks for an address: it uses it, or asks whether it may (probing)."""

    address: bytes
    mac: bytes
    probing: bool


def spoken(frame: bytes) -> Spoken | None:
    """Who speaks for what in this frame, from its Ethernet header on; None if nobody does.

    ARP: the sender, in requests and replies; a probe (sender 0) asks for its target (RFC 5227
    §2.1.1). An advertisement speaks for its target, a solicitation for its source; one from :: asks
    for its target (RFC 4862 §5.4.3).
    """
    if frame[ETHERTYPE] == ARP:
        return _arp(frame)
    if frame[ETHERTYPE] == IPV6 and frame[NEXT_AND_HOPS] == ICMP6_FROM_LINK:
        return _nd(frame)
    return None


def mac_text(mac: bytes) -> str:
    """Lower case with colons."""
    return mac.hex(":")


def _arp(frame: bytes) -> Spoken | None:
    if (
        len(frame) < 42
        or frame[ARP_FORM] != ETHERNET_IPV4
        or frame[20:22] not in (b"\0\1", b"\0\2")
    ):
        return None
    sender = frame[ARP_SENDER]
    if sender != _NO_ADDRESS4:
        return Spoken(sender, frame[ARP_SENDER_MAC], probing=False)
    if frame[21] == 1:
        return Spoken(frame[ARP_TARGET], frame[ARP_SENDER_MAC], probing=True)
    return None


def _nd(frame: bytes) -> Spoken | None:
    if len(frame) < ND_OPTIONS:
        return None
    kind = frame[ND_TYPE_AND_CODE]
    if kind == ADVERTISEMENT:
        mac = _option(frame, TARGET_OPTION)
        return Spoken(frame[ND_TARGET], mac, probing=False) if mac else None
    if kind != SOLICITATION:
        return None
    source = frame[IP6_SOURCE]
    if source == _NO_ADDRESS6:
        return Spoken(frame[ND_TARGET], frame[6:12], probing=True)
    mac = _option(frame, SOURCE_OPTION)
    return Spoken(source, mac, probing=False) if mac else None


def _option(frame: bytes, kind: int) -> bytes:
    """The link-layer address in an option of this kind, else the sender's; b"" if malformed."""
    at, end = ND_OPTIONS, min(len(frame), 54 + int.from_bytes(frame[18:20]))
    while at + 8 <= end:
        if frame[at + 1] == 0:
            return b""  # RFC 4861 §4.6: the packet must be discarded
        if frame[at] == kind:
            return frame[at + 2 : at + 8]
        at += 8 * frame[at + 1]
    return frame[6:12]
