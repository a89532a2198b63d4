"""The frames' bytes, against scapy's own and the RFCs' fields."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.frames import prepare
from outgate.vip.wire import frames

prepare()  # before scapy's layers, so that they come in as in the process that builds templates

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402

MAC = "02:aa:00:00:00:01"
VIP4 = IPv4Address("203.0.113.7")
VIP6 = IPv6Address("2001:db8::7")


def test_the_gratuitous_request_is_as_rfc_5227_has_it() -> None:
    request = Ether(frames(VIP4, MAC)[0])
    assert (request.dst, request.src, request.type) == ("ff:ff:ff:ff:ff:ff", MAC, 0x0806)
    arp = request[ARP]
    assert (arp.hwtype, arp.ptype, arp.hwlen, arp.plen, arp.op) == (1, 0x0800, 6, 4, 1)
    assert (arp.hwsrc, arp.psrc) == (MAC, str(VIP4))
    assert (arp.hwdst, arp.pdst) == ("00:00:00:00:00:00", str(VIP4))


def test_the_reply_form_has_the_sender_as_target_too() -> None:
    reply = Ether(frames(VIP4, MAC)[1])
    assert (reply.dst, reply.src) == ("ff:ff:ff:ff:ff:ff", MAC)
    arp = reply[ARP]
    assert (arp.op, arp.hwsrc, arp.psrc) == (2, MAC, str(VIP4))
    assert (arp.hwdst, arp.pdst) == (MAC, str(VIP4))


def test_the_advertisement_is_as_rfc_4861_has_it() -> None:
    (frame,) = frames(VIP6, MAC)
    advertisement = Ether(frame)
    assert (advertisement.dst, advertisement.src) == ("33:33:00:00:00:01", MAC)
    ip = advertisement[IPv6]
    assert (ip.src, ip.dst, ip.hlim, ip.nh) == (str(VIP6), "ff02::1", 255, 58)
    na = advertisement[ICMPv6ND_NA]
    assert (na.type, na.code, na.R, na.S, na.O, na.tgt) == (136, 0, 0, 0, 1, str(VIP6))
    assert advertisement[ICMPv6NDOptDstLLAddr].lladdr == MAC


@given(st.ip_addresses(v=4))
def test_patched_arp_frames_are_scapys_byte_for_byte(address: IPv4Address) -> None:
    text = str(address)
    ether = Ether(dst="ff:ff:ff:ff:ff:ff", src=MAC)
    zero = "00:00:00:00:00:00"
    assert frames(address, MAC) == (
        bytes(ether / ARP(op=1, hwsrc=MAC, psrc=text, hwdst=zero, pdst=text)),
        bytes(ether / ARP(op=2, hwsrc=MAC, psrc=text, hwdst=MAC, pdst=text)),
    )


@given(st.ip_addresses(v=6))
def test_patched_advertisements_are_scapys_byte_for_byte(address: IPv6Address) -> None:
    whole = (
        Ether(dst="33:33:00:00:00:01", src=MAC)
        / IPv6(src=str(address), dst="ff02::1", hlim=255)
        / ICMPv6ND_NA(R=0, S=0, O=1, tgt=str(address))
        / ICMPv6NDOptDstLLAddr(lladdr=MAC)
    )
    assert frames(address, MAC) == (bytes(whole),)


@pytest.mark.parametrize("address", [VIP4, VIP6])
def test_a_frame_names_the_mac_that_it_was_made_for(address: IPv4Address | IPv6Address) -> None:
    other = "02:aa:00:00:00:02"
    for frame in frames(address, other):
        assert bytes.fromhex(other.replace(":", "")) in frame
        assert bytes.fromhex(MAC.replace(":", "")) not in frame
