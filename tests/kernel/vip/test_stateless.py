"""What comes for an egress address and belongs to no flow is dropped, and nobody answers it.

One reset, or one ICMP error, would end a flow whose state is on its way to its new holder.
"""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernel.harness import OUTSIDE4, OUTSIDE6
from kernel.vip.gate_lan import BOTH, Node, Outside, opened

from outgate.api.view import IPAddress

pytestmark = pytest.mark.kernel

World = tuple[Node, Outside]

LONG = 30.0
KINDS = ("SYN", "ACK in the middle", "FIN", "UDP", "echo request", "echo reply")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as (first, _, outside):
        # As a gateway node forwards: it tracks all that it sees.
        first.namespace.run(
            "nft -f -",
            script="table inet tracks { chain c { type filter hook forward priority 0;"
            " ct state new accept; }; }",
        )
        yield first.begin(), outside


def stays(node: Node) -> None:
    """Never claimed: the address is on the link, and somebody else's."""


def holds(node: Node) -> None:
    node.claim(LONG)


def gave_up(node: Node) -> None:
    node.claim(LONG)
    node.word(lambda gate: gate.release(BOTH))


def passes_on(node: Node) -> None:
    """What is late for the last holder is as little its own as before."""
    node.claim(LONG)
    node.word(lambda gate: gate.release(BOTH, pass_on=LONG))


@pytest.mark.parametrize("state", [holds, stays, gave_up, passes_on])
@pytest.mark.parametrize("address", BOTH, ids=str)
def test_no_packet_without_a_flow_is_answered(
    world: World, address: IPAddress, state: Callable[[Node], None]
) -> None:
    node, outside = world
    state(node)
    frames = [frame(outside.mac, node.mac, address, kind) for kind in KINDS]
    before = dropped(node)

    with answers(outside, node.mac) as heard:
        for one in frames:
            outside.send(one)
        assert heard() == []

    assert dropped(node) == before + len(KINDS)
    assert not tracked(node, address), "nor does it cost an entry"


@pytest.mark.parametrize("address", BOTH, ids=str)
def test_the_same_packets_are_answered_where_there_is_no_gate(
    world: World, address: IPAddress
) -> None:
    node, outside = world
    node.claim(LONG)
    node.namespace.run("nft delete table inet outgate_vip")

    with answers(outside, node.mac) as heard:
        for kind in KINDS:
            outside.send(frame(outside.mac, node.mac, address, kind))
        found = heard()

    protocol = socket.IPPROTO_ICMP if address.version == 4 else socket.IPPROTO_ICMPV6
    assert found.count(socket.IPPROTO_TCP) >= 2, "resets"
    assert found.count(protocol) >= 2, "an echo, and that there is no such port"


def dropped(node: Node) -> int:
    return sum(node.counter(name) for name in ("arriving", "local"))


def tracked(node: Node, address: IPAddress) -> str:
    family = "ipv4" if address.version == 4 else "ipv6"
    return node.namespace.run(f"conntrack -L -f {family} -d {address}", check=False)


@contextlib.contextmanager
def answers(outside: Outside, mac: str) -> Iterator[Callable[[], list[int]]]:
    """The protocols of the IP packets that came from the node, without those of ND."""
    outside.drain()

    def heard() -> list[int]:
        return [one for one in outside.protocols(mac) if one]

    yield heard


def frame(source: bytes, to: str, address: IPAddress, kind: str) -> bytes:
    """A packet to the address, straight to the node's MAC; by scapy, which knows checksums."""
    from scapy.config import conf

    conf.route_autoload = conf.route6_autoload = False
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
    from scapy.layers.l2 import Ether

    six = address.version == 6
    inner = {
        "SYN": TCP(sport=443, dport=40000, flags="S", seq=1),
        "ACK in the middle": TCP(sport=443, dport=40001, flags="PA", seq=9999, ack=77) / b"data",
        "FIN": TCP(sport=443, dport=40002, flags="FA", seq=9999, ack=77),
        "UDP": UDP(sport=53, dport=40003) / b"data",
        "echo request": ICMPv6EchoRequest(id=7) if six else ICMP(type=8, id=7),
        "echo reply": ICMPv6EchoReply(id=8) if six else ICMP(type=0, id=8),
    }[kind]
    ip = (
        IPv6(src=str(OUTSIDE6), dst=str(address))
        if six
        else IP(src=str(OUTSIDE4), dst=str(address))
    )
    return bytes(Ether(src=source.hex(":"), dst=to) / ip / inner)
