"""The frames that tell a LAN where an address lives, and the socket that sends them.

Scapy builds one template of each form, in a process of its own (`outgate.vip.frames`, 0.4 s, at
the first frame, or before by `warm`); address and MAC are patched in, since building each frame
costs 0.7 ms and a failover may announce thousands.
"""

import contextlib
import socket
import subprocess
import sys
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

from outgate.api.view import IPAddress
from outgate.daemon.closing import Closing
from outgate.vip.errors import WireRefused

ETHER_SOURCE = slice(6, 12)
ARP_SENDER_MAC = slice(22, 28)  # Ethernet 14, RFC 826: sender hardware address at 8
ARP_SENDER = slice(28, 32)  # sender protocol address at 14
ARP_TARGET_MAC = slice(32, 38)  # target hardware address at 18
ARP_TARGET = slice(38, 42)  # target protocol address at 24
IP6_SOURCE = slice(22, 38)  # Ethernet 14, RFC 8200 §3: source address at 8
NA_CHECKSUM = slice(56, 58)  # Ethernet 14, IPv6 40, RFC 4443 §2.1: checksum at 2
NA_TARGET = slice(62, 78)  # RFC 4861 §4.4: target address at 8 of the ICMPv6 message
NA_MAC = slice(80, 86)  # RFC 4861 §4.6.1: the option's link-layer address at 2

_SO_SNDBUFFORCE = 32  # asm-generic/socket.h; needs CAP_NET_ADMIN
_SEND_BUFFER = 4 << 20
"""Bytes; a waiting frame takes some 0.8 KB: all frames of 2,000 addresses."""

BUILD_SECONDS = 60
"""That the process which builds templates may take: on a busy node, seconds."""


class Templates(NamedTuple):
    """Frames about the address 0 at the MAC 0, to be patched: `outgate.vip.frames` builds them."""

    request: bytes
    reply: bytes
    advertisement: bytes
    solicitation: bytes
    echo4: bytes
    echo6: bytes


def frames(address: IPAddress, mac: str) -> tuple[bytes, ...]:
    """The frames that announce an address at a MAC.

    IPv4: the gratuitous request (RFC 5227 §3) and the reply form (RFC 5944 §4.6), because some
    receivers take only one of the two. IPv6: an unsolicited neighbour advertisement with the
    override flag (RFC 4861 §7.2.6) to all nodes.
    Raises WireRefused if the templates can't be built.
    """
    built = templates()
    hardware = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, IPv4Address):
        # A receiver takes the reply form as gratuitous only if both MACs are the sender's (Linux).
        return (
            _arp(built.request, address, hardware),
            _arp(built.reply, address, hardware, target=hardware),
        )
    return (_advertisement(built.advertisement, address, hardware),)


def warm() -> None:
    """Builds what the first frame needs, so that taking an address need not wait for it.

    Raises WireRefused if that can't be done.
    """
    templates()


def _arp(template: bytes, address: IPv4Address, mac: bytes, *, target: bytes = bytes(6)) -> bytes:
    frame = bytearray(template)
    frame[ETHER_SOURCE] = frame[ARP_SENDER_MAC] = mac
    frame[ARP_TARGET_MAC] = target
    frame[ARP_SENDER] = frame[ARP_TARGET] = address.packed
    return bytes(frame)


def _advertisement(template: bytes, address: IPv6Address, mac: bytes) -> bytes:
    frame = bytearray(template)
    frame[ETHER_SOURCE] = frame[NA_MAC] = mac
    frame[IP6_SOURCE] = frame[NA_TARGET] = address.packed
    add_to_checksum(frame, NA_CHECKSUM, 2 * address.packed + mac)
    return bytes(frame)


def add_to_checksum(frame: bytearray, checksum: slice, added: bytes) -> None:
    """Corrects a checksum for words that were 0 and are not any more (RFC 1624).

    added: those words, each as often as it stands in the checksummed bytes; of even length.
    """
    # 0xffff is 0 in ones' complement: the bytes as one big number are the sum of their words.
    total = (int.from_bytes(frame[checksum]) ^ 0xFFFF) + int.from_bytes(added) % 0xFFFF
    total = (total & 0xFFFF) + (total >> 16)
    frame[checksum] = ((total & 0xFFFF) ^ 0xFFFF).to_bytes(2)


@cache
def templates() -> Templates:
    """What scapy builds, once in a process' life. Raises WireRefused if that can't be done."""
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
    return Templates(*map(bytes.fromhex, built.stdout.split()))


class Wire(Protocol):
    """A LAN to speak to."""

    def announce(self, address: IPAddress, *, interface: str, mac: str) -> None:
        """Sends the address's frames. Raises WireRefused if the link takes none."""


class LinkSockets:
    """One kept AF_PACKET socket for each link that is sent on (needs CAP_NET_RAW).

    Bound, since naming the link with each frame costs a system call more. Nothing is received, and
    nothing is waited for: a link whose queue is full refuses.
    """

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}

    def send(self, frame: bytes, *, interface: str) -> None:
        """Sends a whole frame on the link. Raises OSError."""
        kept = self._sockets.get(interface)
        if kept is not None:
            try:
                kept.send(frame)
            except BlockingIOError:
                raise  # the queue is full, the socket is fine
            except OSError:
                self._sockets.pop(interface).close()  # perhaps it is another link of that name now
            else:
                return
        self._bound(interface).send(frame)

    def _bound(self, interface: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            # Without CAP_NET_ADMIN the system's limit has to do: slower links then refuse sooner.
            with contextlib.suppress(PermissionError):
                made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)
            made.bind((interface, 0))
        except OSError:
            made.close()
            raise
        self._sockets[interface] = made
        return made

    def close(self) -> None:
        """Closes the sockets."""
        while self._sockets:
            self._sockets.popitem()[1].close()


class RawWire(Closing):
    """Announces on real links, by raw sockets that are kept (needs CAP_NET_RAW)."""

    def __init__(self) -> None:
        try:
            # Kept: to close it takes as long as to close one that hears, see `segment.taps`.
            self._proof = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            raise WireRefused(f"no raw socket (is CAP_NET_RAW missing?): {error}") from error
        self._sockets = LinkSockets()

    def announce(self, address: IPAddress, *, interface: str, mac: str) -> None:
        """Sends the address's frames on the link. Raises WireRefused."""
        try:
            for frame in frames(address, mac):
                self._sockets.send(frame, interface=interface)
        except OSError as error:
            raise WireRefused(f"announce {address} on {interface}: {error}") from error

    def close(self) -> None:
        """Closes the sockets."""
        self._sockets.close()
        self._proof.close()
