"""Connections follow their addresses: who is told of which flows, and what is made of them.

Each node tells its pods' flows to whoever has come to hold their egress ids, as soon as it hears of
that; before a planned move, as soon as it is asked to. The new holder makes entries of them, a few
at a time, so that no heartbeat waits. Gateway nodes tell each other the few flows whose port they
had to change. Nothing here holds up a claim: what is not there in time goes on by what the kernel
picks up by itself.
"""

import select
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import structlog

from outgate.api.view import IPAddress
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.peers import NEVER
from outgate.vip.errors import VipError
from outgate.vip.flows.entries import Entry, Seen, Timeouts, bound_elsewhere, bound_here, derive
from outgate.vip.flows.messages import Complete, Flows, Want, from_bytes, to_bytes
from outgate.vip.flows.records import FlowRecord
from outgate.vip.flows.remapped import Changes, Others
from outgate.vip.flows.streams import Lost, Received, Streams
from outgate.vip.flows.table import Inserter, local_flows, timeouts
from outgate.vip.flows.telling import telling
from outgate.vip.flows.watch import RemappedWatch
from outgate.vip.shell.sealing import StreamSeal

log = structlog.get_logger()

BUDGET = 0.004
"""Seconds of a turn in which entries are made; heartbeats are due every 100 ms."""

AGAIN = 10.0
"""Seconds in which a holder that was told of the flows of an egress id is not told again."""

ASK = 0.05
"""Seconds between questions to nodes that have not said hello yet."""

RESYNC = 300.0
"""Seconds between looks at all flows whose port was changed: events may be lost."""

Ids = frozenset[int]


@dataclass(frozen=True, slots=True)
class Mesh:
    """What the agent says: this node, where the others are, and what the numbers stand for."""

    node: str
    nodes: Mapping[str, IPAddress]
    indexes: Mapping[str, int]
    ids: Mapping[IPAddress, int]
    members: Mapping[str, frozenset[str]]


@dataclass(slots=True)
class _Wanted:
    """A planned move that waits for the flows of some ids."""

    key: tuple[str, frozenset[IPAddress]]
    ids: Ids
    unasked: set[str]
    waiting: set[str]
    until: float
    ask: float


class Handover:
    """For one thread, in its network namespace. `now` is the loop's monotonic clock."""

    def __init__(self, streams: Streams, seal: StreamSeal) -> None:
        self._streams, self._seal = streams, seal
        self._mesh = Mesh("", {}, {}, {}, {})
        self._addresses: dict[int, IPAddress] = {}
        self._timeouts = Timeouts()
        self._inserter: Inserter | None = None
        self._watch: RemappedWatch | None = None
        self._others = Others()
        self._jobs: deque[Iterator[object]] = deque()
        self._wanted: list[_Wanted] = []
        self._told: dict[tuple[str, int], float] = {}
        self._forget: dict[int, float] = {}
        self._resync = FOREVER
        self._resyncing: Iterator[Changes] | None = None
        self._epoll = select.epoll()
        self._epoll.register(streams.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """For a selector: readable when `turn` has something to do."""
        return self._epoll.fileno()

    def know(self, mesh: Mesh) -> None:
        """What the agent says now."""
        self._mesh = mesh
        self._addresses = {id_: address for address, id_ in mesh.ids.items()}
        self._streams.know(frozenset(mesh.nodes.values()))
        if mesh.members:
            self._begin()

    def moved(self, holder: str, addresses: Iterable[IPAddress], *, now: float) -> None:
        """These are at another node now: it is told of our pods' flows."""
        ids = self._ids(addresses)
        fresh = frozenset(id_ for id_ in ids if self._told.get((holder, id_), NEVER) < now - AGAIN)
        if fresh:
            self._tell(holder, fresh, now)

    def prepare(
        self,
        gateway: str,
        addresses: frozenset[IPAddress],
        *,
        until: float,
        now: float,
    ) -> None:
        """All nodes are asked for their flows of these, since they are to come here as planned."""
        others = set(self._mesh.nodes) - {self._mesh.node}
        wanted = _Wanted(
            (gateway, addresses), self._ids(addresses), others, set(others), until, now
        )
        self._wanted.append(wanted)
        self._ask(wanted, now)

    def claimed(self, addresses: Iterable[IPAddress], *, now: float) -> None:
        """These are here now: our own pods' flows leave from here."""
        ids = self._ids(addresses)
        for id_ in ids:
            self._forget.pop(id_, None)
        self._jobs.appendleft(self._rebinding(ids, here=True))

    def released(
        self, addresses: Iterable[IPAddress], *, to: str, pass_on: float, now: float
    ) -> None:
        """These are not here any more: our own pods' flows take the tunnel. to: "" if unknown."""
        ids = self._ids(addresses)
        if to and to in self._mesh.nodes:
            self._tell(to, ids, now)
        self._jobs.append(self._rebinding(ids, here=False))
        self._forget |= dict.fromkeys(ids, now + pass_on)

    def turn(self, *, now: float) -> list[tuple[str, frozenset[IPAddress]]]:
        """Does what is due, for a few milliseconds; the planned moves that are prepared now."""
        for event in self._streams.turn(now=now):
            if isinstance(event, Received):
                self._heard(event.sender, event.payload, now)
            elif isinstance(event, Lost):
                log.info("flows not handed over", peer=event.peer, why=event.reason)
        self._watch_ports(now)
        self._forget_old(now)
        self._work()
        for wanted in self._wanted:
            if now >= wanted.ask:
                self._ask(wanted, now)
        done = [one for one in self._wanted if not one.waiting or now >= one.until]
        self._wanted = [one for one in self._wanted if one not in done]
        return [one.key for one in done]

    def next_due(self) -> float:
        """When `turn` is due although `fileno` says nothing."""
        if self._jobs or self._resyncing is not None:
            return NEVER
        asks = (min(one.ask if one.unasked else FOREVER, one.until) for one in self._wanted)
        return min((*asks, *self._forget.values(), self._resync), default=FOREVER)

    def close(self) -> None:
        """Closes all sockets."""
        self._epoll.close()
        self._streams.close()
        if self._inserter is not None:
            self._inserter.close()
        if self._watch is not None:
            self._watch.close()

    def _begin(self) -> None:
        """This node may become a gateway node."""
        if self._inserter is not None:
            return
        try:
            self._inserter, self._watch = Inserter(), RemappedWatch()
        except VipError as error:
            log.error("flows can't be taken over", error=str(error))
            return
        self._timeouts = timeouts()
        self._epoll.register(self._watch.fileno(), select.EPOLLIN)
        self._resync = NEVER

    def _ids(self, addresses: Iterable[IPAddress]) -> Ids:
        return frozenset(
            id_ for address in addresses if (id_ := self._mesh.ids.get(address)) is not None
        )

    def _tell(self, holder: str, ids: Ids, now: float) -> None:
        recent = {key: when for key, when in self._told.items() if when >= now - AGAIN}
        self._told = recent | dict.fromkeys(((holder, id_) for id_ in ids), now)
        index = self._mesh.indexes.get(self._mesh.node, 0)
        self._send(holder, telling(local_flows(ids), ids, index=index), now)

    def _send(self, to: str, payloads: Iterator[bytes], now: float) -> None:
        address = self._mesh.nodes.get(to)
        if address is None:
            return
        try:
            self._streams.send(to, address, payloads, now=now)
        except OSError as error:
            log.warning("flows not handed over", peer=to, why=str(error))

    def _ask(self, wanted: _Wanted, now: float) -> None:
        """Those who have said hello; the others a little later."""
        wanted.ask = now + ASK
        for node in sorted(wanted.unasked):
            if self._seal.knows(node):
                wanted.unasked.discard(node)
                self._send(node, iter(to_bytes(Want(wanted.ids))), now)

    def _heard(self, sender: str, payload: bytes, now: float) -> None:
        try:
            message = from_bytes(payload)
        except VipError as error:
            log.warning("flows not understood", peer=sender, why=str(error))
            return
        match message:
            case Want(ids):
                self._tell(sender, ids, now)
            case Flows(records):
                self._jobs.append(self._taking(records))
            case Complete(ids, _):
                self._jobs.append(self._completed(sender, ids))
            case Changes():
                self._others.hear(sender, message)

    def _taking(self, records: tuple[FlowRecord, ...]) -> Iterator[object]:
        if self._inserter is not None:
            yield from self._inserter.insert(self._entries(records))

    def _entries(self, records: tuple[FlowRecord, ...]) -> Iterator[Entry]:
        for record in self._others.amended(records):
            address = self._addresses.get(record.egress_id)
            if address is not None and len(address.packed) == len(record.pod):
                yield derive(record, address, self._timeouts)

    def _completed(self, sender: str, ids: Ids) -> Iterator[object]:
        for wanted in self._wanted:
            if wanted.ids <= ids:
                wanted.waiting.discard(sender)
                wanted.unasked.discard(sender)
        yield None

    def _rebinding(self, ids: Ids, *, here: bool) -> Iterator[object]:
        if self._inserter is None:
            return
        for some in local_flows(ids):
            entries = [entry for seen in some if (entry := self._rebound(seen, here=here))]
            yield from self._inserter.rebind(entries)

    def _rebound(self, seen: Seen, *, here: bool) -> Entry | None:
        if not here:
            return bound_elsewhere(seen, self._timeouts)
        address = self._addresses.get(seen.mark >> 16)
        return None if address is None else bound_here(seen, address, self._timeouts)

    def _work(self) -> None:
        until = time.monotonic() + BUDGET
        while self._jobs and time.monotonic() < until:
            try:
                next(self._jobs[0])
            except StopIteration:
                self._jobs.popleft()
            except VipError as error:
                log.warning("flows not taken over", error=str(error))
                self._jobs.popleft()

    def _watch_ports(self, now: float) -> None:
        """Which flows had their port changed here, for the other members to know."""
        watch = self._watch
        if watch is None:
            return
        try:
            self._share(watch.turn(), now)
            if self._resyncing is None and (watch.overrun or now >= self._resync):
                self._resync = now + RESYNC
                self._resyncing = watch.resync()
                self._share(Changes(fresh=True, added=tuple(watch.own)), now)
            if self._resyncing is not None:
                changes = next(self._resyncing, None)
                if changes is None:
                    self._resyncing = None
                else:
                    self._share(changes, now)
        except VipError as error:
            self._resyncing = None
            log.warning("changed ports not known", error=str(error))

    def _share(self, changes: Changes, now: float) -> None:
        if not changes:
            return
        members = frozenset[str]().union(*self._mesh.members.values()) - {self._mesh.node}
        for member in sorted(members):
            if self._seal.knows(member):
                self._send(member, iter(to_bytes(changes)), now)

    def _forget_old(self, now: float) -> None:
        due = sorted(id_ for id_, when in self._forget.items() if now >= when)
        for id_ in due:
            del self._forget[id_]
        if due and self._inserter is not None:
            self._jobs.append(self._inserter.forget(due))
