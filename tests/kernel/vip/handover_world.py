"""Three nodes whose hand-over, gate and rules are real, and the choreography of a move.

As in the product: both gateway nodes prepare source NAT for both addresses, the gate decides who
may use them, and each address has an egress id of its own.
"""

import contextlib
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from kernel.cluster import EGRESS4, EGRESS6, ID, Cluster, Wish
from kernel.harness import (
    NODES,
    OUTSIDE4,
    OUTSIDE6,
    PATIENCE,
    Namespace,
    Topology,
    node_address,
    pod_address,
)
from kernel.vip.flows_world import INDEXES

from outgate.api.view import DataPathSettings, HeldEgress, IPAddress, NodeView
from outgate.vip.flows.streams import Streams
from outgate.vip.gate.kernel import GateKernel
from outgate.vip.gate.state_file import StateFile
from outgate.vip.peer.keys import Keys
from outgate.vip.shell.handover import Handover, Mesh
from outgate.vip.shell.sealing import StreamSeal

ID6 = ID + 1
BOTH: frozenset[IPAddress] = frozenset((EGRESS4, EGRESS6))
GATEWAY = "internet"
PORT = 7790
LEASE = 60.0
LONG = 30.0
"""Seconds that a hand-over may take on a busy machine."""

_KEYS = Keys({"one": b"k" * 32}, ("one",))
_BOOTS = {name: number for number, name in enumerate(NODES, start=1)}
_MESH = Mesh(
    node="",
    nodes={name: node_address(name, 4) for name in NODES},
    indexes=INDEXES,
    ids={EGRESS4: ID, EGRESS6: ID6},
    members={GATEWAY: frozenset(("first", "second"))},
)


class TwoIds(Cluster):
    """The cluster with an id for each address, prepared on both gateway nodes."""

    def view(self, name: str, wish: Wish) -> NodeView:
        view = super().view(name, wish)
        held = (HeldEgress(ID, EGRESS4, None), HeldEgress(ID6, None, EGRESS6))
        return replace(
            view,
            policies={key: replace(one, egress6=ID6) for key, one in view.policies.items()},
            next_hops={ID: wish.holder, ID6: wish.holder} if wish.holder else {},
            held=() if name == "worker" else held,
        )


class Party:
    """A node's hand-over, in a thread that lives in its namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.name, self._namespace = namespace.role, namespace
        self.prepared: list[frozenset[IPAddress]] = []
        self.failed: BaseException | None = None
        self._told: queue.SimpleQueue[Callable[[Handover], None] | None] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def tell(self, word: Callable[[Handover], None]) -> None:
        """Says something to the hand-over, and waits until it has heard."""
        heard = threading.Event()

        def say(handover: Handover) -> None:
            word(handover)
            heard.set()

        self._told.put(say)
        self._wake.send(b"x")
        assert heard.wait(LONG), self.failed

    def end(self) -> None:
        self._told.put(None)
        self._wake.send(b"x")
        self._thread.join()
        self._wake.close()
        self._woken.close()
        assert self.failed is None, self.failed

    def _live(self) -> None:
        try:
            self._namespace.inside(self._serve)
        except BaseException as error:  # handed to the test
            self.failed = error

    def _serve(self) -> None:
        seal = StreamSeal(
            self.name,
            boot=_BOOTS[self.name],
            keys=lambda: _KEYS,
            boot_of=lambda node: _BOOTS.get(node, 0),
        )
        address = node_address(self.name, 4)
        streams = Streams(address=address, port=PORT, sealer=seal, opener=seal)
        with contextlib.closing(Handover(streams, seal)) as handover:
            members = {} if self.name == "worker" else _MESH.members
            handover.know(replace(_MESH, node=self.name, members=members))
            while True:
                self.prepared += (some for _, some in handover.turn(now=time.monotonic()))
                wait = min(max(handover.next_due() - time.monotonic(), 0.0), 1.0)
                ends = handover.fileno(), self._woken.fileno()
                if ends[1] in select.select(ends, [], [], wait)[0]:
                    self._woken.recv(1)
                    word = self._told.get()
                    if word is None:
                        return
                    word(handover)


class World:
    """The nodes. The address is at `first`, and moves to `second`."""

    def __init__(self, stack: contextlib.ExitStack, path: Path) -> None:
        topology = self.topology = Topology()
        stack.callback(topology.delete)
        self.cluster = TwoIds(topology, DataPathSettings())
        self.cluster.program(Wish())
        self.gates: dict[str, GateKernel] = {}
        for name in ("first", "second"):
            file = StateFile(path / f"{name}.json")
            gate = topology.nodes[name].inside(lambda file=file: GateKernel(file))  # type: ignore[misc]
            stack.callback(gate.close)
            self.gates[name] = gate
            self.gate(name, lambda gate: gate.start())
            self.gate(name, lambda gate: gate.manage(GATEWAY, BOTH))
        self.claim("first", epoch=1)
        self.parties: dict[str, Party] = {}
        for name in NODES:
            self.parties[name] = Party(topology.nodes[name])
            stack.callback(self.parties[name].end)
        self.parties["first"].tell(lambda one: one.claimed(BOTH, now=time.monotonic()))

    def gate(self, name: str, word: Callable[[GateKernel], object]) -> None:
        """Says something to a node's gate."""
        self.topology.nodes[name].inside(lambda: word(self.gates[name]))

    def claim(self, name: str, *, epoch: int) -> None:
        until = time.monotonic() + LEASE
        self.gate(name, lambda gate: gate.claim(GATEWAY, BOTH, epoch=epoch, until=until))

    def prepare(self) -> list[frozenset[IPAddress]]:
        """The second node asks for all flows; what was complete at a time, in that order."""
        second = self.parties["second"]
        now = time.monotonic()
        second.tell(
            lambda one: one.prepare(GATEWAY, BOTH, holder="first", until=now + LONG, now=now)
        )
        while frozenset[IPAddress]().union(*second.prepared) != BOTH:
            assert time.monotonic() < now + LONG, f"not in time: {second.prepared}"
            assert second.failed is None, second.failed
            threading.Event().wait(0.002)
        return second.prepared

    def move(self) -> None:
        """As planned: the flows are there before the address."""
        self.prepare()
        self.gate("first", lambda gate: gate.release(BOTH, pass_on=1.0))
        now = time.monotonic()
        self.parties["first"].tell(
            lambda one: one.released(BOTH, to="second", pass_on=1.0, now=now)
        )
        self._take(NODES)

    def crash(self) -> None:
        """The first node is cut off; nobody has asked for anything."""
        self.topology.nodes["first"].ip("link set eth0 down")
        self._take(("worker", "second"))

    def _take(self, hearing: tuple[str, ...]) -> None:
        now = time.monotonic()
        self.claim("second", epoch=2)
        self.cluster.place("second")
        self.parties["second"].tell(lambda one: one.claimed(BOTH, came_from="first", now=now))
        for name in hearing:
            if name != "second":
                self.parties[name].tell(lambda one: one.moved("second", BOTH, now=now))
            self.cluster.program_node(name, Wish(holder="second"))


class Echo:
    """Echo requests of a pod, and replies that the outside sends whenever it wants to."""

    def __init__(self, pod: Namespace, outside: Namespace, *, version: int) -> None:
        self._version, self._identifier = version, 4711
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        self._pod = pod.socket(family, socket.SOCK_RAW, protocol)
        self._pod.bind((str(pod_address(pod.role.removesuffix("pod"), version)), 0))
        self._outside = outside.socket(family, socket.SOCK_RAW, protocol)
        server = OUTSIDE4 if version == 4 else OUTSIDE6
        self._pod.sendto(echo(version, self._identifier, request=True), (str(server), 0))
        assert self._hears()

    def goes_on(self) -> bool:
        """Whether a reply that comes now finds its pod."""
        address = EGRESS4 if self._version == 4 else EGRESS6
        self._outside.sendto(echo(self._version, self._identifier), (str(address), 0))
        return self._hears()

    def close(self) -> None:
        self._pod.close()
        self._outside.close()

    def _hears(self) -> bool:
        end = time.monotonic() + PATIENCE
        wanted = bytes((0 if self._version == 4 else 129, 0)), struct.pack("!H", self._identifier)
        while time.monotonic() < end:
            try:
                packet = self._pod.recv(2048)
            except TimeoutError:
                return False
            body = packet[20:] if self._version == 4 else packet
            if (body[:2], body[4:6]) == wanted:
                return True
        return False


def echo(version: int, identifier: int, *, request: bool = False) -> bytes:
    """An ICMP or ICMPv6 echo; of the latter the kernel makes the checksum."""
    kind = (8 if request else 0) if version == 4 else (128 if request else 129)
    body = struct.pack("!BBHHH", kind, 0, 0, identifier, 1)
    total = sum(struct.unpack("!4H", body))
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return struct.pack("!BBHHH", kind, 0, checksum, identifier, 1)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[World]:
    """The world; all of it is gone afterwards."""
    with contextlib.ExitStack() as stack:
        yield World(stack, path)
