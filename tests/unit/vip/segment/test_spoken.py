"""Who speaks for what, in frames that scapy built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.frames import prepare
from outgate.vip.segment.spoken import Spoken, mac_text, spoken

prepare()  # before scapy's layers, so that they come in as in the process that builds templates

from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.packet import Packet, Raw  # noqa: E402

MAC, OTHER = "02:bb:00:00:00:01", "02:bb:00:00:00:02"
VIP4, HOST4 = "203.0.113.7", "203.0.113.9"
VIP6, HOST6 = "2001:db8::7", "2001:db8::9"
PACKED = {
    VIP4: bytes([203, 0, 113, 7]),
    VIP6: bytes.fromhex("20010db8000000000000000000000007"),
    HOST6: bytes.fromhex("20010db8000000000000000000000009"),
}
ETHER = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff")


def _nd(source: str, message: Packet, hops: int = 255) -> Packet:
    return ETHER / IPv6(src=source, dst="ff02::1", hlim=hops) / message


@pytest.mark.parametrize(
    ("frame", "address", "mac", "probing"),
    [
        (ETHER / ARP(op=1, hwsrc=MAC, psrc=VIP4, pdst=HOST4), VIP4, MAC, False),
        (ETHER / ARP(op=2, hwsrc=OTHER, psrc=VIP4, pdst=HOST4), VIP4, OTHER, False),
        (ETHER / ARP(op=1, hwsrc=MAC, psrc=VIP4, pdst=VIP4), VIP4, MAC, False),
        (ETHER / ARP(op=1, hwsrc=MAC, psrc="0.0.0.0", pdst=VIP4), VIP4, MAC, True),
        (_nd(VIP6, ICMPv6ND_NA(tgt=VIP6)), VIP6, MAC, False),
        (_nd(HOST6, ICMPv6ND_NA(tgt=VIP6)), VIP6, MAC, False),
        (
            _nd(VIP6, ICMPv6ND_NA(tgt=VIP6) / ICMPv6NDOptDstLLAddr(lladdr=OTHER)),
            VIP6,
            OTHER,
            False,
        ),
        (_nd("::", ICMPv6ND_NS(tgt=VIP6)), VIP6, MAC, True),
        (
            _nd(HOST6, ICMPv6ND_NS(tgt=VIP6) / ICMPv6NDOptSrcLLAddr(lladdr=OTHER)),
            HOST6,
            OTHER,
            False,
        ),
    ],
)
def test_a_frame_says_who_speaks_for_what(
    frame: Packet, address: str, mac: str, probing: bool
) -> None:
    said = spoken(bytes(frame))
    assert said is not None
    assert (said.address, mac_text(said.mac), said.probing) == (PACKED[address], mac, probing)


@pytest.mark.parametrize(
    "frame",
    [
        ETHER / ARP(op=2, hwsrc=MAC, psrc="0.0.0.0", pdst=VIP4),
        ETHER / ARP(op=3, hwsrc=MAC, psrc=VIP4, pdst=VIP4),
        ETHER / ARP(hwtype=6, op=1, hwsrc=MAC, psrc=VIP4, pdst=VIP4),
        _nd(VIP6, ICMPv6ND_NA(tgt=VIP6), hops=254),
        _nd(VIP6, ICMPv6ND_NA(tgt=VIP6, code=1)),
        _nd(VIP6, ICMPv6ND_NA(tgt=VIP6) / Raw(bytes(8))),
        ETHER / IPv6(src=VIP6, dst=HOST6),
        ETHER / Raw(b"\0" * 60),
    ],
)
def test_what_is_malformed_or_from_afar_or_something_else_says_nothing(frame: Packet) -> None:
    assert spoken(bytes(frame)) is None


WHOLE = [
    bytes(ETHER / ARP(op=1, hwsrc=MAC, psrc=VIP4, pdst=HOST4)),
    bytes(_nd(VIP6, ICMPv6ND_NA(tgt=VIP6) / ICMPv6NDOptDstLLAddr(lladdr=OTHER))),
    bytes(_nd("::", ICMPv6ND_NS(tgt=VIP6))),
]


@given(st.one_of(st.binary(max_size=128), st.sampled_from(WHOLE)), st.data())
def test_no_frame_raises_cut_or_changed_as_it_may_be(frame: bytes, data: st.DataObject) -> None:
    cut = bytearray(frame[: data.draw(st.integers(0, len(frame)))])
    for _ in range(data.draw(st.integers(0, 4)) if cut else 0):
        cut[data.draw(st.integers(0, len(cut) - 1))] = data.draw(st.integers(0, 255))
    said = spoken(bytes(cut))
    assert said is None or _whole(said)


def _whole(said: Spoken) -> bool:
    return len(said.address) in (4, 16) and len(said.mac) == 6
