"""The frames that tell a LAN where an address lives, and the socket that sends them.

Scapy builds one template of each form; an address is patched in, since building each frame costs
0.7 ms and a failover may announce thousands. Scapy is imported at the first frame, never earlier:
it costs 0.5 s and 57 MB, and most nodes hold nothing.
"""

import socket
import struct
import sys
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from types import ModuleType, TracebackType
from typing import Protocol, Self

from outgate.api.view import IPAddress
from outgate.vip.errors import WireRefused

ETH_P_ALL = 0x0003  # linux/if_ether.h; only sent with, nothing is received
BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES_MAC = "33:33:00:00:00:01"  # RFC 2464 §7 of ff02::1

ARP_SENDER = slice(28, 32)  # Ethernet 14, RFC 826: sender protocol address at 14
ARP_TARGET = slice(38, 42)  # RFC 826: target protocol address at 24
IP6_SOURCE = slice(22, 38)  # Ethernet 14, RFC 8200 §3: source address at 8
NA_CHECKSUM = slice(56, 58)  # Ethernet 14, IPv6 40, RFC 4443 §2.1: checksum at 2
NA_TARGET = slice(62, 78)  # RFC 4861 §4.4: target address at 8 of the ICMPv6 message


def frames(address: IPAddress, mac: str) -> tuple[bytes, ...]:
    """The frames that announce an address at a MAC.

    IPv4: the gratuitous request (RFC 5227 §3) and the reply form (RFC 5944 §4.6), because some
    receivers take only one of the two. IPv6: an unsolicited neighbour advertisement with the
    override flag (RFC 4861 §7.2.6) to all nodes.
    """
    if isinstance(address, IPv4Address):
        return tuple(_arp(template, address) for template in _arp_templates(mac))
    return (_advertisement(_na_template(mac), address),)


def warm() -> None:
    """Loads what the first frame needs (0.5 s), so that taking an address need not wait for it."""
    for layer in ("scapy.layers.l2", "scapy.layers.inet6"):
        _scapy(layer)


def _arp(template: bytes, address: IPv4Address) -> bytes:
    frame = bytearray(template)
    frame[ARP_SENDER] = frame[ARP_TARGET] = address.packed
    return bytes(frame)


def _advertisement(template: bytes, address: IPv6Address) -> bytes:
    """The address stands twice in the checksummed bytes: add it twice (RFC 1624)."""
    frame = bytearray(template)
    frame[IP6_SOURCE] = frame[NA_TARGET] = address.packed
    (checksum,) = struct.unpack("!H", frame[NA_CHECKSUM])
    total = (~checksum & 0xFFFF) + 2 * sum(struct.unpack("!8H", address.packed))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    frame[NA_CHECKSUM] = struct.pack("!H", ~total & 0xFFFF)
    return bytes(frame)


@cache
def _arp_templates(mac: str) -> tuple[bytes, bytes]:
    l2 = _scapy("scapy.layers.l2")
    ether = l2.Ether(dst=BROADCAST, src=mac)
    zero = {"hwsrc": mac, "psrc": "0.0.0.0", "pdst": "0.0.0.0"}
    # A receiver takes the reply form as gratuitous only if both MACs are the sender's (Linux).
    request = ether / l2.ARP(op=1, hwdst="00:00:00:00:00:00", **zero)
    reply = ether / l2.ARP(op=2, hwdst=mac, **zero)
    return bytes(request), bytes(reply)


@cache
def _na_template(mac: str) -> bytes:
    l2, inet6 = _scapy("scapy.layers.l2"), _scapy("scapy.layers.inet6")
    return bytes(
        l2.Ether(dst=ALL_NODES_MAC, src=mac)
        / inet6.IPv6(src="::", dst="ff02::1", hlim=255)
        / inet6.ICMPv6ND_NA(R=0, S=0, O=1, tgt="::")
        / inet6.ICMPv6NDOptDstLLAddr(lladdr=mac)
    )


@cache
def _scapy(module: str) -> ModuleType:
    from importlib import import_module  # noqa: PLC0415

    from scapy.config import conf  # noqa: PLC0415

    # Else importing a layer reads the node's whole route table: 29 s with 20,000 routes.
    conf.route_autoload = conf.route6_autoload = False
    if "scapy.layers.l2" not in sys.modules:
        # Vendor and Bluetooth name tables: 20 MB that no frame of ours needs.
        for name, data in (("manuf", ""), ("bluetoothids", {})):
            stub = ModuleType(f"scapy.libs.{name}")
            stub.DATA = data  # type: ignore[attr-defined]
            sys.modules.setdefault(f"scapy.libs.{name}", stub)
    return import_module(module)


class Wire(Protocol):
    """A LAN to speak to."""

    def announce(self, address: IPAddress, *, interface: str, mac: str) -> None:
        """Sends the address's frames. Raises WireRefused if the link takes none."""


class RawWire:
    """Sends on real links by one kept AF_PACKET socket (needs CAP_NET_RAW)."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            raise WireRefused(f"no raw socket (is CAP_NET_RAW missing?): {error}") from error

    def announce(self, address: IPAddress, *, interface: str, mac: str) -> None:
        """Sends the address's frames on the link. Raises WireRefused."""
        try:
            for frame in frames(address, mac):
                self._socket.sendto(frame, (interface, ETH_P_ALL))
        except OSError as error:
            raise WireRefused(f"announce {address} on {interface}: {error}") from error

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
