"""A node's flow table, and the lines between nodes, in memory: what the hand-over works with."""

import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass, field
from ipaddress import ip_address

import msgspec

from outgate.api.view import IPAddress
from outgate.vip.flows.entries import LOCAL, Entry, Seen, Timeouts
from outgate.vip.flows.records import TCP, FlowRecord
from outgate.vip.flows.remapped import Changes, Own
from outgate.vip.flows.streams import Event, Lost, Received
from outgate.vip.flows.table import Inserter, Made
from outgate.vip.shell.handover import Handover, Kernel, Mesh

VIP, VIP2 = ip_address("198.51.100.7"), ip_address("198.51.100.8")
IDS = {VIP: 7, VIP2: 8}
GATEWAY = "internet"
OUT = ip_address("203.0.113.10").packed
NODES = {name: ip_address(f"192.0.2.{number}") for number, name in enumerate("abcw", start=1)}
INDEXES = {name: number for number, name in enumerate("abcw", start=1)}
MEMBERS = frozenset("abc")

Key = tuple[bytes, int]
"""Source and port: all goes to one destination."""


def pod(node: str) -> bytes:
    return bytes((10, 244, INDEXES[node], 5))


def flow(node: str, port: int, *, id_: int = 7, live: bool = True) -> Seen:
    """Of a node's pod, through the tunnel."""
    return Seen(
        protocol=TCP,
        source=pod(node),
        destination=OUT,
        from_=port,
        to=443,
        reply_source=OUT,
        reply_to=443,
        bound=pod(node),
        port=port,
        mark=id_ << 16 | LOCAL | 1,
        live=live,
        assured=True,
    )


class FakeTable(Inserter):
    """own: this node's pods' flows; came: those of the tunnel. log: what was done, in order.

    forgotten: called when a flow has been. Refuses, as the kernel does, an entry whose port behind
    the address another has.
    """

    def __init__(self) -> None:
        self.forgotten: Callable[[], None] = lambda: None
        self.own: dict[Key, Seen] = {}
        self.came: dict[Key, Entry] = {}
        self.log: list[str] = []
        self.read = 0
        self.made = Made()

    def flows(self, ids: Collection[int]) -> Iterator[list[Seen]]:
        for seen in [one for one in self.own.values() if one.mark >> 16 in ids]:
            self.read += 1
            yield [seen]

    def insert(self, entries: Iterable[Entry], *, replace: bool = True) -> Iterator[int]:
        for entry in entries:
            key = entry.source, entry.from_
            if key in self.came and not replace:
                continue
            if (entry.bound, entry.port) in self._taken(but=key):
                self.log.append(f"taken {entry.port}")
                continue
            self.came[key] = entry
            self.log.append(f"made {entry.from_}")
            yield 1

    def _taken(self, *, but: Key) -> set[Key]:
        """What the outside sees of all others."""
        came = {(one.bound, one.port) for key, one in self.came.items() if key != but}
        own = {(one.bound, one.port) for key, one in self.own.items() if key != but}
        return came | own

    def rebind(self, entries: Iterable[Entry]) -> Iterator[int]:
        for entry in entries:
            key = entry.source, entry.from_
            self.own[key] = msgspec.structs.replace(
                self.own[key], bound=entry.bound, port=entry.port
            )
            self.log.append(f"bound {entry.from_}")
            yield 1

    def drop(self, entries: Iterable[Entry]) -> Iterator[int]:
        for entry in entries:
            del self.own[entry.source, entry.from_]
            self.log.append(f"dropped {entry.from_}")
            yield 1

    def forget(self, egress_ids: Set[int]) -> Iterator[int]:
        for key, entry in list(self.came.items()):
            if entry.mark >> 16 in egress_ids:
                del self.came[key]
                self.forgotten()
                yield 1

    def close(self) -> None:
        """There is nothing to close."""


class FakeWatch:
    """A kernel in which no port was changed, but for what the test says."""

    def __init__(self) -> None:
        self.own, self.overrun, self.news = Own(), False, Changes()
        self._end, self._other = socket.socketpair()

    def fileno(self) -> int:
        return self._end.fileno()

    def turn(self) -> Changes:
        news, self.news = self.news, Changes()
        for record in news.added:
            self.own.began(record)
        return news

    def resync(self) -> Iterator[Changes]:
        self.overrun = False
        yield Changes()

    def close(self) -> None:
        self._end.close()
        self._other.close()


@dataclass
class FakeLine:
    """Streams to the other nodes of the world: each piece arrives with the sender's next turn."""

    world: "Flows"
    node: str
    waiting: dict[str, list[Iterator[bytes]]] = field(default_factory=dict)
    came: list[Event] = field(default_factory=list)
    known: frozenset[IPAddress] = frozenset()
    reading: bool = True

    def __post_init__(self) -> None:
        self._end, self._other = socket.socketpair()

    def fileno(self) -> int:
        return self._end.fileno()

    def know(self, addresses: frozenset[IPAddress]) -> None:
        self.known = addresses

    def send(self, to: str, address: IPAddress, payloads: Iterator[bytes], *, now: float) -> None:
        assert address == NODES[to]
        self.waiting.setdefault(to, []).append(payloads)

    def turn(self, *, now: float, reading: bool = True) -> list[Event]:
        self.reading = reading
        for to in list(self.waiting):
            if to in self.world.cut or self.node in self.world.cut:
                del self.waiting[to]
                self.came.append(Lost(to, "cut"))
            elif self.world.lines[to].reading:
                self._send(to)
        came, self.came = (self.came, []) if reading else ([], self.came)
        return came

    def _send(self, to: str) -> None:
        queue = self.waiting[to]
        payload = next(queue[0], None)
        if payload is None:
            queue.pop(0)
            if not queue:
                del self.waiting[to]
        elif payload:
            self.world.lines[to].came.append(Received(self.node, payload))

    def close(self) -> None:
        self._end.close()
        self._other.close()


class FakeSeal:
    """Who has said hello to everybody."""

    def __init__(self, world: "Flows") -> None:
        self._world = world

    def boot_of(self, node: str) -> int:
        return self._world.boots.get(node, 0)


class Flows:
    """Gateway nodes a, b and c, and a worker w, by one clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.boots = dict.fromkeys(NODES, 1)
        self.cut: set[str] = set()
        self.tables = {name: FakeTable() for name in NODES}
        self.watches = {name: FakeWatch() for name in NODES}
        self.lines = {name: FakeLine(self, name) for name in NODES}
        self.prepared: list[tuple[str, frozenset[IPAddress]]] = []
        self.nodes = {name: self._handover(name) for name in NODES}
        for name in NODES:
            self.know(name, MEMBERS)
        self.run(1.0)

    def _handover(self, name: str) -> Handover:
        table, watch = self.tables[name], self.watches[name]
        kernel = Kernel(table.flows, lambda: table, lambda: watch, Timeouts, lambda _: True)
        return Handover(self.lines[name], FakeSeal(self), kernel=kernel)

    def know(self, name: str, members: frozenset[str]) -> None:
        groups = {GATEWAY: members} if name in members else {}
        self.nodes[name].know(Mesh(name, NODES, INDEXES, IDS, groups))

    def run(self, seconds: float) -> None:
        """Everybody turns, each 10 ms, but for when nothing is due."""
        until = self.now + seconds
        while self.now < until:
            under_way = any(line.waiting or line.came for line in self.lines.values())
            due = min(handover.next_due() for handover in self.nodes.values())
            step = self.now + 0.01
            self.now = step if under_way else min(max(step, due), until)
            for handover in self.nodes.values():
                self.prepared += handover.turn(now=self.now)

    def close(self) -> None:
        for handover in self.nodes.values():
            handover.close()

    def begin(self, *flows: Seen) -> None:
        for one in flows:
            name = next(name for name in NODES if pod(name) == one.source)
            self.tables[name].own[one.source, one.from_] = one

    def remap(self, holder: str, of: str, port: int, *, to: int) -> None:
        """The holder's source NAT has changed the port of that node's pod."""
        record = FlowRecord(TCP, 7, INDEXES[of], pod(of), OUT, port, 443, to)
        self.watches[holder].news = Changes(added=(record,))

    def prepare(
        self, at: str, *addresses: IPAddress, holder: str = "a", within: float = 3.0
    ) -> None:
        self.nodes[at].prepare(
            GATEWAY, frozenset(addresses), holder=holder, until=self.now + within, now=self.now
        )

    def claim(self, at: str, *addresses: IPAddress, came_from: str = "a") -> None:
        """All others hear of it."""
        self.nodes[at].claimed(addresses, came_from=came_from, now=self.now)
        for name, handover in self.nodes.items():
            if name != at and name not in self.cut:
                handover.moved(at, addresses, now=self.now)

    def release(self, at: str, *addresses: IPAddress, to: str = "", pass_on: float = 5.0) -> None:
        self.nodes[at].released(addresses, to=to, pass_on=pass_on, now=self.now)

    def there(self, at: str) -> dict[int, int]:
        """Ports of what came by the tunnel, and what the outside sees."""
        return {entry.from_: entry.port for entry in self.tables[at].came.values()}
