"""Connections follow their addresses: who is told of which flows, and what is made of them.

Each node tells its pods' flows to whoever has come to hold their egress ids, as soon as it hears of
that; before a planned move, and while a dead holder's time runs out, as soon as it is asked to. The
new holder makes entries of them. Gateway nodes tell each other the few flows whose port they had to
change. Nothing here holds up a claim: what is not there in time goes on by what the kernel picks up
by itself.

Behind it: `told` (whom this node has told), `preparing` (whom it waits for), `ports` (those that
were changed), `making` (the entries).
"""

import select
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from outgate.api.view import IPAddress
from outgate.vip.errors import VipError
from outgate.vip.flows.entries import Seen, Timeouts
from outgate.vip.flows.messages import Complete, Flows, Want, from_bytes, to_bytes
from outgate.vip.flows.remapped import Changes
from outgate.vip.flows.streams import Event, Lost, Received
from outgate.vip.flows.table import FlowTable, Inserter, apart, timeouts
from outgate.vip.flows.telling import Known, telling, unknown
from outgate.vip.flows.watch import RemappedWatch
from outgate.vip.shell.making import Making
from outgate.vip.shell.ports import Ports, Watch
from outgate.vip.shell.preparing import Preparing
from outgate.vip.shell.told import Told

log = structlog.get_logger()

Ids = frozenset[int]


class Seal(Protocol):
    """Whom frames can be proven to: `StreamSeal`."""

    def boot_of(self, node: str) -> int:
        """The life of a node that has said hello; 0 of others."""


class Line(Protocol):
    """To the other nodes: `Streams`."""

    def fileno(self) -> int:
        """Readable when there is something to do."""

    def know(self, addresses: frozenset[IPAddress]) -> None:
        """The nodes of the mesh."""

    def send(self, to: str, address: IPAddress, payloads: Iterator[bytes], *, now: float) -> None:
        """In order, behind what it was sent before."""

    def turn(self, *, now: float, reading: bool = True) -> list[Event]:
        """What has come of it."""

    def close(self) -> None:
        """Closes all connections."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The flow table of this thread's network namespace. The defaults are the real one.

    flows: those of this node's pods, by egress ids. apart: whether those of one id after the other.
    """

    flows: Callable[[Collection[int]], Iterator[list[Seen]]] | None = None
    inserter: Callable[[], Inserter] = Inserter
    watch: Callable[[], Watch] = RemappedWatch
    timeouts: Callable[[], Timeouts] = timeouts
    apart: Callable[[Collection[int]], bool] = apart


@dataclass(frozen=True, slots=True)
class Mesh:
    """What the agent says: this node, where the others are, and what the numbers stand for."""

    node: str
    nodes: Mapping[str, IPAddress]
    indexes: Mapping[str, int]
    ids: Mapping[IPAddress, int]
    members: Mapping[str, frozenset[str]]


class Handover:
    """For one thread, in its network namespace. `now` is the loop's monotonic clock."""

    def __init__(self, streams: Line, seal: Seal, *, kernel: Kernel | None = None) -> None:
        self._streams, self._seal, self._kernel = streams, seal, kernel or Kernel()
        self._mesh = Mesh("", {}, {}, {}, {})
        self._now = 0.0
        self._told = Told()
        self._preparing = Preparing()
        self._ports = Ports(self._say, boot_of=seal.boot_of)
        self._table = FlowTable()
        self._flows = self._kernel.flows or self._table.local
        self._making = Making(self._ports.others, flows=self._flows)
        self._prepared: set[int] = set()
        self._begun = False
        self._epoll = select.epoll()
        self._epoll.register(streams.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """For a selector: readable when `turn` has something to do."""
        return self._epoll.fileno()

    def know(self, mesh: Mesh) -> None:
        """What the agent says now."""
        self._mesh = mesh
        self._streams.know(frozenset(mesh.nodes.values()))
        self._making.know({id_: address for address, id_ in mesh.ids.items()}, index=self._index())
        self._preparing.only(mesh.nodes)
        members = frozenset[str]().union(*mesh.members.values())
        self._ports.know(members - {mesh.node})
        if members:
            self._begin()

    def moved(self, holder: str, addresses: Iterable[IPAddress], *, now: float) -> None:
        """These are at another node now: it is told of our pods' flows."""
        ids = self._ids(addresses)
        self._tell(holder, ids, self._told.known(holder, ids, now=now), now)

    def prepare(
        self,
        gateway: str,
        addresses: frozenset[IPAddress],
        *,
        holder: str = "",
        until: float,
        now: float,
    ) -> None:
        """All nodes are asked for their flows of these, since they are to come here."""
        mesh = self._mesh
        ids = self._ids(addresses)
        self._prepared -= ids
        self._making.expect(ids, holder=holder, until=until)
        self._preparing.begin(
            gateway,
            {address: mesh.ids.get(address) for address in addresses},
            frozenset(mesh.nodes) - {mesh.node},
            until=until,
            now=now,
        )
        self._ask(now)

    def claimed(self, addresses: Iterable[IPAddress], *, came_from: str = "", now: float) -> None:
        """These are here now: our own pods' flows leave from here.

        The first of what can be made is made at once, for a few milliseconds: to be called before
        others hear of the claim.
        """
        ids = self._ids(addresses)
        self._making.claimed(ids, holder=came_from, guessed=ids - self._prepared)
        self._prepared -= ids
        self._making.turn(now=now)

    def released(
        self, addresses: Iterable[IPAddress], *, to: str, pass_on: float, now: float
    ) -> None:
        """These are not here any more: our own pods' flows take the tunnel. to: "" if unknown."""
        ids = self._ids(addresses)
        known = self._told.known(to, ids, now=now) if to in self._mesh.nodes else {}

        def tell(some: list[Seen]) -> None:
            records = unknown(some, index=self._index(), known=known)
            if records:
                self._send(to, iter(to_bytes(Flows(records))), self._now)

        self._making.released(ids, tell=tell, pass_on=pass_on, now=now)

    def turn(self, *, now: float) -> list[tuple[str, frozenset[IPAddress]]]:
        """Does what is due, for a few milliseconds; what is prepared now, as (gateway, addresses).

        A planned move may come in parts: what is complete first is told first.
        """
        self._now = now
        for event in self._streams.turn(now=now, reading=self._making.room):
            if isinstance(event, Received):
                self._heard(event.sender, event.payload, now)
            elif isinstance(event, Lost):
                log.info("flows not handed over", peer=event.peer, why=event.reason)
                self._told.lost(event.peer, now=now)
                self._preparing.lost(event.peer, now=now)
                self._ports.lost(event.peer)
        self._ports.turn(now=now)
        if now >= self._told.next_due():
            for holder, ids in self._told.again(now=now):
                self._tell(holder, ids, self._told.known(holder, ids, now=now), now)
        self._making.turn(now=now)
        self._ask(now)
        return self._ready(now)

    def next_due(self) -> float:
        """When `turn` is due although `fileno` says nothing."""
        parts = (self._making, self._ports, self._told, self._preparing)
        return min(part.next_due() for part in parts)

    def close(self) -> None:
        """Closes all sockets."""
        self._epoll.close()
        self._streams.close()
        self._making.close()
        self._ports.close()
        self._table.close()

    def _begin(self) -> None:
        """This node may become a gateway node."""
        if self._begun:
            return
        try:
            inserter, watch = self._kernel.inserter(), self._kernel.watch()
        except VipError as error:
            log.error("flows can't be taken over", error=str(error))
            return
        self._begun = True
        self._making.begin(inserter, self._kernel.timeouts())
        self._ports.begin(watch)
        self._epoll.register(watch.fileno(), select.EPOLLIN)

    def _ids(self, addresses: Iterable[IPAddress]) -> Ids:
        found = (self._mesh.ids.get(address) for address in addresses)
        return frozenset(id_ for id_ in found if id_ is not None)

    def _index(self) -> int:
        return self._mesh.indexes.get(self._mesh.node, 0)

    def _tell(self, holder: str, ids: Ids, known: Known, now: float) -> None:
        if ids:
            self._send(holder, self._payloads(ids, known), now)

    def _payloads(self, ids: Ids, known: Known) -> Iterator[bytes]:
        """One id after the other, as long as the kernel's table is not walked too often for it."""
        parts = [[id_] for id_ in sorted(ids)] if self._kernel.apart(ids) else [sorted(ids)]
        for part in parts:
            yield from telling(self._flows(part), part, index=self._index(), known=known)

    def _say(self, member: str, changes: Changes) -> None:
        self._send(member, iter(to_bytes(changes)), self._now)

    def _send(self, to: str, payloads: Iterator[bytes], now: float) -> None:
        address = self._mesh.nodes.get(to)
        if address is None:
            return
        try:
            self._streams.send(to, address, payloads, now=now)
        except OSError as error:
            log.warning("flows not handed over", peer=to, why=str(error))

    def _ask(self, now: float) -> None:
        for node, ids in self._preparing.ask(lambda node: self._seal.boot_of(node) != 0, now=now):
            self._send(node, iter(to_bytes(Want(ids))), now)

    def _heard(self, sender: str, payload: bytes, now: float) -> None:
        try:
            message = from_bytes(payload)
        except VipError as error:
            log.warning("flows not understood", peer=sender, why=str(error))
            return
        match message:
            case Want(ids):
                self._tell(sender, ids, self._told.known(sender, ids, now=now, anew=True), now)
            case Flows(records):
                self._making.take(records)
            case Complete(ids, _):
                # Behind the flows that were told before: they are made by then.
                self._making.then(lambda: self._preparing.complete(sender, ids))
            case Changes():
                self._ports.hear(sender, message)

    def _ready(self, now: float) -> list[tuple[str, frozenset[IPAddress]]]:
        found = []
        for gateway, addresses, missing in self._preparing.ready(now=now):
            if missing:
                log.info("flows not all here in time", gateway=gateway, missing=sorted(missing))
            else:
                self._prepared |= self._ids(addresses)
            found.append((gateway, addresses))
        return found
