"""The frames that tell a LAN where an address lives, and the socket that sends them.

Scapy builds one template of each form, in a process of its own (`outgate.vip.frames`, 0.4 s, at
the first frame, or before by `warm`); address and MAC are patched in, since building each frame
costs 0.7 ms and a failover may announce thousands.
"""

import socket
import struct
import subprocess
import sys
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Protocol, Self

from outgate.api.view import IPAddress
from outgate.vip.errors import WireRefused

ETH_P_ALL = 0x0003  # linux/if_ether.h; only sent with, nothing is received

ETHER_SOURCE = slice(6, 12)
ARP_SENDER_MAC = slice(22, 28)  # Ethernet 14, RFC 826: sender hardware address at 8
ARP_SENDER = slice(28, 32)  # sender protocol address at 14
ARP_TARGET_MAC = slice(32, 38)  # target hardware address at 18
ARP_TARGET = slice(38, 42)  # target protocol address at 24
IP6_SOURCE = slice(22, 38)  # Ethernet 14, RFC 8200 §3: source address at 8
NA_CHECKSUM = slice(56, 58)  # Ethernet 14, IPv6 40, RFC 4443 §2.1: checksum at 2
NA_TARGET = slice(62, 78)  # RFC 4861 §4.4: target address at 8 of the ICMPv6 message
NA_MAC = slice(80, 86)  # RFC 4861 §4.6.1: the option's link-layer address at 2

BUILD_SECONDS = 60
"""That the process which builds templates may take: on a busy node, seconds."""


def frames(address: IPAddress, mac: str) -> tuple[bytes, ...]:
    """The frames that announce an address at a MAC.

    IPv4: the gratuitous request (RFC 5227 §3) and the reply form (RFC 5944 §4.6), because some
    receivers take only one of the two. IPv6: an unsolicited neighbour advertisement with the
    override flag (RFC 4861 §7.2.6) to all nodes.
    Raises WireRefused if the templates can't be built.
    """
    request, reply, advertisement = _templates()
    hardware = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, IPv4Address):
        # A receiver takes the reply form as gratuitous only if both MACs are the sender's (Linux).
        return (
            _arp(request, address, hardware),
            _arp(reply, address, hardware, target=hardware),
        )
    return (_advertisement(advertisement, address, hardware),)


def warm() -> None:
    """Builds what the first frame needs, so that taking an address need not wait for it.

    Raises WireRefused if that can't be done.
    """
    _templates()


def _arp(template: bytes, address: IPv4Address, mac: bytes, *, target: bytes = bytes(6)) -> bytes:
    frame = bytearray(template)
    frame[ETHER_SOURCE] = frame[ARP_SENDER_MAC] = mac
    frame[ARP_TARGET_MAC] = target
    frame[ARP_SENDER] = frame[ARP_TARGET] = address.packed
    return bytes(frame)


def _advertisement(template: bytes, address: IPv6Address, mac: bytes) -> bytes:
    """The address stands twice in the checksummed bytes, the MAC once: add them (RFC 1624)."""
    frame = bytearray(template)
    frame[ETHER_SOURCE] = frame[NA_MAC] = mac
    frame[IP6_SOURCE] = frame[NA_TARGET] = address.packed
    (checksum,) = struct.unpack("!H", frame[NA_CHECKSUM])
    total = (~checksum & 0xFFFF) + sum(struct.unpack("!19H", 2 * address.packed + mac))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    frame[NA_CHECKSUM] = struct.pack("!H", ~total & 0xFFFF)
    return bytes(frame)


@cache
def _templates() -> tuple[bytes, ...]:
    build = [sys.executable, "-I", "-m", "outgate.vip.frames"]
    try:
        built = subprocess.run(
            build, check=True, capture_output=True, text=True, timeout=BUILD_SECONDS
        )
    except subprocess.CalledProcessError as error:
        words = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        raise WireRefused(f"no frames are built: {words[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WireRefused(f"no frames are built: {error}") from error
    return tuple(map(bytes.fromhex, built.stdout.split()))


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
