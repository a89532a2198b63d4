"""Nodes with a driver each, on one LAN in memory, by one clock: no sockets, no threads, no waiting.

Gate, addresses and announcements are the fakes of `outgate.vip`; what they do is in one log per
node, in order. The API server swaps Leases; the segment answers for whoever may.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import count

from outgate.api.view import IPAddress
from outgate.vip.engine import events as ev
from outgate.vip.engine.actions import CheckReturnPath, Probe, ReadLeases, WriteLease
from outgate.vip.engine.events import Adopted, Record
from outgate.vip.engine.settings import DEFAULTS
from outgate.vip.fake import FakeLan
from outgate.vip.gate.fake import FakeGate
from outgate.vip.holder import Holder
from outgate.vip.model import Link
from outgate.vip.peer.keys import Keys
from outgate.vip.peer.words import Datagram
from outgate.vip.protocol import Group, Report, Word
from outgate.vip.segment import LanLink
from outgate.vip.segment.edge import Heard
from outgate.vip.shell.driver import Driver, Identity
from outgate.vip.shell.edges import Edges

KEYS = Keys({"one": b"k" * 32}, ("one",))
WALL = 1_000_000.0
WIRE, API = 0.0005, 0.005
"""Seconds one way: to another node; to the API server and back."""

QUIET = 1.0
"""Seconds after which the agent is told of all that has changed."""

VIP, VIP2, VIP6 = map(ip_address, ("203.0.113.7", "203.0.113.9", "2001:db8::7"))


class World:
    """The clock and what all nodes share. api: whether its server answers."""

    def __init__(self, *names: str) -> None:
        self.now = 100.0
        self.api = True
        self.records: dict[tuple[str, str], Record] = {}
        self.answering: dict[IPAddress, str] = {}
        self.addresses = {name: ip_address(f"192.0.2.{n}") for n, name in enumerate(names, 1)}
        self.nodes = {name: Node(self, name) for name in names}
        self.cut: set[str] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._version = count(1)

    def clock(self) -> float:
        return self.now

    def later(self, wait: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + wait, next(self._number), what))

    def run(self, seconds: float) -> None:
        """Everything that is due in that time, in order."""
        until = self.now + seconds
        while True:
            alive = [node for node in self.nodes.values() if node.runs]
            wakes = [(max(self.now, node.driver.next_turn()), node) for node in alive]
            wake, node = min(wakes, key=lambda one: one[0], default=(until + 1, None))
            if self._queue and self._queue[0][0] <= wake:
                if self._queue[0][0] > until:
                    break
                self.now, _, what = heapq.heappop(self._queue)
                what()
            elif node is not None and wake <= until:
                self.now = wake
                node.turns += 1
                node.driver.turn(now=self.now)
            else:
                break
        self.now = until

    def settle(self, *groups: Group, seconds: float = 15.0) -> None:
        """All are told, and have had time."""
        for node in self.nodes.values():
            node.told(*groups)
        self.run(seconds)

    def holders(self, address: IPAddress) -> list[str]:
        return [name for name, node in self.nodes.items() if node.answers(address)]

    def swap(self, action: WriteLease) -> ev.Event:
        record = action.record
        stands = self.records.get((record.gateway, record.node))
        if record.version != (stands.version if stands else ""):
            return ev.LeaseRefused(action.request)
        written = replace(record, version=str(next(self._version)))
        self.records[record.gateway, record.node] = written
        return ev.LeaseWritten(action.request, written)


class Node:
    """One node. lan: its links, and the log of what became of its addresses."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        number = str(world.addresses[name]).rpartition(".")[2]
        self.mac = f"02:aa:00:00:00:0{number}"
        networks = frozenset(map(ip_network, ("203.0.113.0/24", "2001:db8::/64")))
        self.lan = FakeLan(links={Link("eth0", self.mac, True, networks)})
        self.boot = 0
        self.start()

    def start(self, *, adopted: Iterable[Adopted] = ()) -> None:
        """A process, at first or after another."""
        self.boot += 1
        self.runs, self.turns, self.reported = True, 0, 0.0
        world = self.world
        self.gate = LoggedGate(world.clock, self.lan.log, adopted=adopted)
        self.segment = FakeSegment(self)
        self.leases = FakeLeases(self)
        self.voice = FakeVoice(self)
        lan = self.lan
        holder = Holder(addresses=lambda: lan, wire=lambda: lan, adopt=lambda: bool(lan.owned))
        self.driver = Driver(
            Edges(self.gate, holder, self.segment, self.leases, self.voice),
            Identity(boot=self.boot, wall=WALL),
            settings=DEFAULTS,
        )

    def carrier(self, *, up: bool) -> None:
        """Its link to the addresses' segment goes down, or comes up; the underlay is another."""
        self.lan.links = {replace(link, up=up) for link in self.lan.links}

    def answers(self, address: IPAddress) -> bool:
        held = any(one.address == address for one in self.lan.owned)
        return held and self.gate.answers(address)

    def told(self, *groups: Group, seq: int = 1, ids: Iterable[IPAddress] = ()) -> None:
        """The agent's word. ids: addresses of gateways that the node is no member of."""
        used = {*ids, *(ip_address(one) for group in groups for one in group.addresses)}
        nodes = {name: str(address) for name, address in self.world.addresses.items()}
        ordered = sorted(map(str, used))
        numbers = {address: number for number, address in enumerate(ordered, 1)}
        self.tell(Word(seq, self.name, "eth0", nodes, groups, numbers))

    def tell(self, word: Word) -> None:
        self.driver.told(word, now=self.world.now)
        if self.driver.here.codec is not None:
            self.driver.here.codec.keys = KEYS

    def report(self) -> Report:
        """What the agent knows after a quiet moment."""
        self.reported = max(self.reported, self.world.now) + QUIET
        return self.driver.report(now=self.reported)

    def noted(self) -> list[str]:
        return [note.what for note in self.report().notes]


class LoggedGate(FakeGate):
    """Says in the log what it was asked."""

    def __init__(
        self, clock: Callable[[], float], log: list[str], *, adopted: Iterable[Adopted]
    ) -> None:
        super().__init__(clock, adopted=adopted)
        self.log = log

    def claim(
        self, gateway: str, addresses: Iterable[IPAddress], *, epoch: int, until: float
    ) -> None:
        super().claim(gateway, addresses, epoch=epoch, until=until)
        self.log.append(f"claim {_texts(addresses)}")

    def release(self, addresses: Iterable[IPAddress], *, pass_on: float = 0.0) -> None:
        if owned := _texts(one for one in addresses if one in self.owned):
            self.log.append(f"release {owned}")
        super().release(addresses, pass_on=pass_on)

    def forget(self, gateway: str) -> None:
        super().forget(gateway)
        self.log.append(f"forget {gateway}")


class FakeSegment:
    """Asks the world. answers: what is heard at the next turn, as the test says."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._due: list[tuple[float, Probe]] = []
        self.heard: list[Heard] = []
        self.held: frozenset[IPAddress] = frozenset()
        self.links: tuple[LanLink, ...] = ()
        self.checked: list[CheckReturnPath] = []
        self.sought: list[tuple[frozenset[IPAddress], str]] = []

    def know(
        self,
        links: Iterable[LanLink],
        *,
        macs: Iterable[str],
        place: Callable[[IPAddress], str],
    ) -> Mapping[str, str]:
        self.links = tuple(links)
        return {}

    def hold(self, addresses: Iterable[IPAddress]) -> None:
        self.held = frozenset(addresses)

    def probe(self, probe: Probe, *, now: float) -> None:
        self._due.append((now + probe.wait, probe))

    def check(self, check: CheckReturnPath) -> None:
        self.checked.append(check)

    def seek(self, addresses: Iterable[IPAddress], *, interface: str) -> None:
        self.sought.append((frozenset(addresses), interface))

    def turn(self, *, now: float) -> tuple[Heard, ...]:
        said, self.heard = self.heard, []
        for due, probe in list(self._due):
            if due <= now:
                self._due.remove((due, probe))
                said.append(ev.Probed(probe.probe, self._who(probe.addresses)))
        return tuple(said)

    def next_due(self) -> float | None:
        if self.heard:
            return self._node.world.now
        return min((due for due, _ in self._due), default=None)

    def _who(self, addresses: Iterable[IPAddress]) -> dict[IPAddress, str]:
        world = self._node.world
        found = {one: world.answering[one] for one in addresses if one in world.answering}
        for node in world.nodes.values():
            if node is not self._node:
                found |= {one: node.mac for one in addresses if node.answers(one)}
        return found


class FakeLeases:
    """The API server's answers, a little later."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._driver_of = node.boot
        self.uids: Mapping[str, str] = {}

    def submit(self, action: ReadLeases | WriteLease) -> None:
        self._node.world.later(API, lambda: self._answer(action))

    def own(self, uids: Mapping[str, str]) -> None:
        self.uids = dict(uids)

    def _answer(self, action: ReadLeases | WriteLease) -> None:
        node, world = self._node, self._node.world
        event: ev.Event
        if not node.runs or node.boot != self._driver_of:
            return
        if not world.api:
            event = ev.ApiFailed(action.request)
        elif isinstance(action, ReadLeases):
            event = ev.LeasesRead(action.request, tuple(world.records.values()))
        else:
            event = world.swap(action)
        node.driver.happen(event, now=world.now)


class FakeVoice:
    """Datagrams, to whoever runs and is not cut off. sent: how many."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.sent = 0

    def send(self, datagrams: Iterable[Datagram]) -> int:
        some = list(datagrams)
        self.sent += len(some)
        for to, data in some:
            self._node.world.later(WIRE, lambda to=to, data=data: self._arrive(to, data))  # type: ignore[misc]
        return len(some)

    def _arrive(self, to: IPAddress, data: bytes) -> None:
        world = self._node.world
        for name, address in world.addresses.items():
            if address == to and world.nodes[name].runs and not {name, self._node.name} & world.cut:
                source = world.addresses[self._node.name]
                world.nodes[name].driver.heard(data, source, now=world.now)


def group(
    *addresses: IPAddress,
    gateway: str = "internet",
    members: Iterable[str] = ("a", "b"),
    unfit: str = "",
) -> Group:
    names = tuple(members)
    return Group(gateway, f"uid-{gateway}", tuple(map(str, addresses)), names, names, unfit=unfit)


def _texts(addresses: Iterable[IPAddress]) -> str:
    return " ".join(sorted(map(str, addresses)))
