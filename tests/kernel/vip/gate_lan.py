"""Two gateway nodes with a gate each, and somebody outside who asks, sends and listens."""

import contextlib
import json
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Self, TypeVar

from kernel.harness import OUTSIDE4, OUTSIDE6, Namespace, Topology, pod_address

from outgate.api.view import IPAddress
from outgate.vip.gate.kernel import GateKernel
from outgate.vip.gate.state_file import StateFile

T = TypeVar("T")

EGRESS4, EGRESS6 = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")
OTHER4 = ip_address("198.51.100.8")
BOTH = (EGRESS4, EGRESS6)
GATEWAY = "lan/one"
PORT = 5300

_ETH_ALL, _IPV4, _ARP, _IPV6 = 3, 0x0800, 0x0806, 0x86DD
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_BROADCAST = b"\xff" * 6


class Node:
    """A node whose pod leaves with the egress addresses, and its gate."""

    def __init__(self, name: str, topology: Topology, path: Path) -> None:
        self.name, self.namespace, self.pod = name, topology.nodes[name], topology.pods[name]
        self._file = StateFile(path)
        self.gate = self.inside(lambda: GateKernel(self._file))
        link = json.loads(self.namespace.run("ip -j link show dev eth0"))[0]
        self.mac = str(link["address"])
        pod4, pod6 = pod_address(name, 4), pod_address(name, 6)
        self.namespace.run(
            "nft -f -",
            script=f"""table inet agent {{ chain out {{
                type nat hook postrouting priority srcnat - 1;
                ip saddr {pod4} snat to {EGRESS4}
                ip6 saddr {pod6} snat to {EGRESS6}
            }}
            }}""",
        )

    def inside(self, action: Callable[[], T]) -> T:
        return self.namespace.inside(action)

    def word(self, action: Callable[[GateKernel], T]) -> T:
        """Says something to the gate, in the node's namespace."""
        return self.inside(lambda: action(self.gate))

    def close(self) -> None:
        self.gate.close()

    def begin(self) -> Self:
        """The gate as at a node's first start: both addresses managed, and on the link."""
        assert self.word(lambda gate: gate.start()) == ()
        self.word(lambda gate: gate.manage(GATEWAY, BOTH))
        self.link(*BOTH)
        return self

    def link(self, *addresses: IPAddress) -> None:
        self.namespace.ip(
            *(
                f"addr add {a}/{a.max_prefixlen} dev eth0{' nodad' if a.version == 6 else ''}"
                for a in addresses
            )
        )

    def unlink(self, *addresses: IPAddress) -> None:
        self.namespace.ip(*(f"addr del {a}/{a.max_prefixlen} dev eth0" for a in addresses))

    def claim(self, seconds: float, *addresses: IPAddress, epoch: int = 1) -> float:
        """Until when it was claimed."""
        until = time.monotonic() + seconds
        self.word(lambda gate: gate.claim(GATEWAY, addresses or BOTH, epoch=epoch, until=until))
        return until

    def counter(self, name: str, family: str = "inet") -> int:
        listing = self.namespace.run(f"nft -j list counter {family} outgate_vip {name}")
        return int(json.loads(listing)["nftables"][1]["counter"]["packets"])

    def restarted(self) -> GateKernel:
        """A gate of a new process, in place of the old one, whose sockets closed with it."""
        self.gate.close()
        self.gate = self.inside(lambda: GateKernel(self._file))
        return self.gate

    def send_from_pod(self, version: int) -> None:
        """One datagram to the outside, which would leave with the egress address."""
        with self.pod.socket(_family(version), socket.SOCK_DGRAM) as sender:
            sender.sendto(b"out", (str(OUTSIDE4 if version == 4 else OUTSIDE6), PORT))


class Outside:
    """A host on the segment, with packet sockets."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        link = json.loads(namespace.run("ip -j link show dev eth0"))[0]
        self.mac = bytes.fromhex(str(link["address"]).replace(":", ""))
        self._packets = namespace.inside(self._open)

    @staticmethod
    def _open() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_ALL))
        made.bind(("eth0", _ETH_ALL))
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        return made

    def close(self) -> None:
        self._packets.close()

    def question(self, address: IPAddress) -> None:
        """Asks the segment once who has the address."""
        if address.version == 4:
            frame = _BROADCAST + self.mac + struct.pack("!H", _ARP)
            frame += struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self.mac + OUTSIDE4.packed
            frame += bytes(6) + address.packed
        else:
            frame = solicitation(self.mac, address)
        self._packets.send(frame)

    def answers(self, address: IPAddress, *, within: float) -> Iterator[tuple[float, str]]:
        """When, and from which MAC, somebody said that he has the address.

        When: as the kernel has stamped the frame, by the monotonic clock; on a busy machine a test
        reads it tens of milliseconds later.
        """
        end = time.monotonic() + within
        while (left := end - time.monotonic()) > 0:
            if select.select([self._packets], [], [], left)[0]:
                frame, extra, _, _ = self._packets.recvmsg(2048, 64)
                if mac := _speaks_of(frame, address):
                    seconds, nanoseconds = struct.unpack("=qq", extra[0][2])
                    behind = time.time() - seconds - nanoseconds / 1e9
                    yield time.monotonic() - behind, mac

    def who_has(self, address: IPAddress, *, within: float = 0.15) -> frozenset[str]:
        """The MACs of all who answer."""
        self.drain()
        self.question(address)
        return frozenset(mac for _, mac in self.answers(address, within=within))

    def seen(self, address: IPAddress, *, within: float = 0.15) -> int:
        """How many packets, of any kind, came with the address as source."""
        end = time.monotonic() + within
        count = 0
        while (left := end - time.monotonic()) > 0:
            if select.select([self._packets], [], [], left)[0]:
                count += _source(self._packets.recv(2048)) == address
        return count

    def left_from(self, node: Node, version: int) -> bool:
        """Whether what the node's pod sends comes here with the egress address."""
        self.drain()
        node.send_from_pod(version)
        return self.seen(EGRESS4 if version == 4 else EGRESS6) > 0

    def send_to(self, node: Node, address: IPAddress, *, port: int = PORT) -> None:
        """A datagram straight to the node's MAC, as after a move that this host missed."""
        family = _family(address.version)
        self.namespace.ip(f"neigh replace {address} dev eth0 lladdr {node.mac} nud permanent")
        with self.namespace.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"in", (str(address), port))
        self.namespace.ip(f"neigh del {address} dev eth0")

    def send(self, frame: bytes) -> None:
        """As it is."""
        self._packets.send(frame)

    def protocols(self, mac: str, *, within: float = 0.4) -> list[int]:
        """Of the IP packets that came from that MAC, without neighbour discovery."""
        end = time.monotonic() + within
        found = []
        while (left := end - time.monotonic()) > 0:
            if select.select([self._packets], [], [], left)[0]:
                frame = self._packets.recv(2048)
                (kind,) = struct.unpack_from("!H", frame, 12)
                if frame[6:12].hex(":") != mac:
                    continue
                if kind == _IPV4:
                    found.append(frame[23])
                elif kind == _IPV6 and not (frame[20] == 58 and 133 <= frame[54] <= 137):
                    found.append(frame[20])
        return found

    def drain(self) -> None:
        """Forgets what has come."""
        while select.select([self._packets], [], [], 0)[0]:
            self._packets.recv(2048)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Node, Node, Outside]]:
    """The nodes `first` and `second`, and the outside; all gone afterwards."""
    with contextlib.ExitStack() as stack:
        topology = Topology()
        stack.callback(topology.delete)
        outside = Outside(topology.outside)
        stack.callback(outside.close)
        first = Node("first", topology, path / "first.json")
        stack.callback(first.close)
        second = Node("second", topology, path / "second.json")
        stack.callback(second.close)
        yield first, second, outside


def solicitation(mac: bytes, target: IPAddress) -> bytes:
    """A neighbour solicitation (RFC 4861 §4.3), by scapy."""
    from scapy.config import conf

    conf.route_autoload = conf.route6_autoload = False
    from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
    from scapy.layers.l2 import Ether

    colons = mac.hex(":")
    group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | (int(target) & 0xFFFFFF))
    last = target.packed[-3:].hex(":")
    frame = (
        Ether(src=colons, dst=f"33:33:ff:{last}")
        / IPv6(src=str(OUTSIDE6), dst=str(group), hlim=255)
        / ICMPv6ND_NS(tgt=str(target))
        / ICMPv6NDOptSrcLLAddr(lladdr=colons)
    )
    return bytes(frame)


def _family(version: int) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _speaks_of(frame: bytes, address: IPAddress) -> str:
    """The MAC that this ARP packet or advertisement gives for the address."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == _ARP and frame[28:32] == address.packed:
        return frame[22:28].hex(":")
    if kind == _IPV6 and frame[20] == 58 and frame[54] == 136 and frame[62:78] == address.packed:
        return frame[6:12].hex(":")
    return ""


def _source(frame: bytes) -> IPAddress | None:
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == _ARP:
        return ip_address(frame[28:32])
    if kind == _IPV6:
        return ip_address(frame[22:38])
    return ip_address(frame[26:30]) if kind == 0x0800 else None
