"""The frames that speak of an address, as scapy builds them: a process of its own, for a moment.

`python -m outgate.vip.frames` prints them, for `outgate.vip.wire`, which patches address and MAC
in. So the 20 MB that scapy takes are gone when that is done; nothing else imports this module.
"""

import sys
from collections.abc import Iterator
from types import ModuleType

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES_MAC = "33:33:00:00:00:01"  # RFC 2464 §7 of ff02::1
SOLICITED = "ff02::1:ff00:0"  # RFC 4291 §2.7.1: the target's low 24 bits are patched in
SOLICITED_MAC = "33:33:ff:00:00:00"  # RFC 2464 §7 of it
NO_MAC = "00:00:00:00:00:00"


def templates() -> Iterator[bytes]:
    """The gratuitous ARP request, its reply form, the neighbour advertisement (RFC 5227 §3,
    RFC 5944 §4.6, RFC 4861 §7.2.6); the solicitation of duplicate address detection (RFC 4862
    §5.4.2); the echo requests (RFC 792, RFC 4443 §4.1).

    All of them about the address 0 at the MAC 0. In the order of `outgate.vip.wire.Templates`.
    """
    from scapy.layers import inet, inet6, l2  # noqa: PLC0415

    ether = l2.Ether(dst=BROADCAST, src=NO_MAC)
    for form in (1, 2):
        arp = l2.ARP(op=form, hwsrc=NO_MAC, psrc="0.0.0.0", hwdst=NO_MAC, pdst="0.0.0.0")
        yield bytes(ether / arp)
    yield bytes(
        l2.Ether(dst=ALL_NODES_MAC, src=NO_MAC)
        / inet6.IPv6(src="::", dst="ff02::1", hlim=255)
        / inet6.ICMPv6ND_NA(R=0, S=0, O=1, tgt="::")
        / inet6.ICMPv6NDOptDstLLAddr(lladdr=NO_MAC)
    )
    yield bytes(
        l2.Ether(dst=SOLICITED_MAC, src=NO_MAC)
        / inet6.IPv6(src="::", dst=SOLICITED, hlim=255)
        / inet6.ICMPv6ND_NS(tgt="::")
    )
    # The identification is 0, as an unfragmented packet's may be (RFC 6864 §4.1).
    yield bytes(
        l2.Ether(dst=NO_MAC, src=NO_MAC)
        / inet.IP(src="0.0.0.0", dst="0.0.0.0", id=0, flags="DF")
        / inet.ICMP(type=8, id=0, seq=0)
    )
    yield bytes(
        l2.Ether(dst=NO_MAC, src=NO_MAC)
        / inet6.IPv6(src="::", dst="::")
        / inet6.ICMPv6EchoRequest(id=0, seq=0)
    )


def prepare() -> None:
    """Make the first import of scapy's layers a light one."""
    from scapy.config import conf  # noqa: PLC0415

    # Else importing a layer reads the node's whole route table: 29 s with 20,000 routes.
    conf.route_autoload = conf.route6_autoload = False
    # Vendor and Bluetooth name tables: 20 MB that no frame of ours needs.
    for name, data in (("manuf", ""), ("bluetoothids", {})):
        stub = ModuleType(f"scapy.libs.{name}")
        stub.DATA = data  # type: ignore[attr-defined]
        sys.modules.setdefault(f"scapy.libs.{name}", stub)


if __name__ == "__main__":
    prepare()
    for template in templates():
        print(template.hex())
