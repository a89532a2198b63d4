"""What must be true of the whole cluster, looked at whenever it could have become false.

Two holders of an address can only come to be where one of them claims, or where the segment heals,
if no refresh revives what has run out; that one is looked for all the time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Claim
from outgate.vip.engine.events import Record
from outgate.vip.engine.settings import Partition, Settings
from sim.node import Node
from sim.world import HOSTS, World

CALM = 1.2
"""Seconds without faults after which nothing may move any more, and everything is held: `settle`,
by a slow clock, and one turn."""


LOOK = 0.1
"""Seconds between looks that nothing calls for: less than half a lease."""


class Violated(Exception):
    """An invariant does not hold; the message says which, when, and for whom."""


@dataclass(slots=True)
class Cause:
    """When a node, or everybody, was last hit by a fault that may move its addresses."""

    node: dict[str, float]
    all: float = 0.0


class Checker:
    """Watches one schedule."""

    def __init__(
        self,
        world: World,
        nodes: Mapping[str, Node],
        *,
        addresses: Iterable[IPAddress],
        settings: Settings,
    ) -> None:
        self._world, self._nodes, self._settings = world, nodes, settings
        self.addresses = tuple(addresses)
        self.cause = Cause(dict.fromkeys(nodes, 0.0))
        self.faulty = True
        self.strict_epochs = settings.partition is Partition.CONSISTENCY
        self.moves = 0
        self.failback = False
        self._excused = float("-inf")
        self.records: Callable[[], Mapping[tuple[str, str], Record]] = dict
        self._epochs: dict[IPAddress, int] = {}
        self._own_epochs: dict[tuple[IPAddress, str], int] = {}
        self._seen: dict[IPAddress, float] = {}
        self._last: dict[IPAddress, str] = {}
        for node in nodes.values():
            node.claimed = self.claimed
            node.crashed = self.forgot
            node.replaced = self.restarted

    def claimed(self, node: Node, claim: Claim) -> None:
        """A node has just claimed addresses."""
        for address in sorted(claim.addresses, key=str):
            self._rises(node, claim, address)
            self._has_cause(node, address)
            self._last[address] = node.name
            self._alone(address)

    def watch(self) -> None:
        """Looks now, and again and again."""
        for address in self.addresses:
            if self._alone(address):
                self._seen[address] = self._world.now
        self._world.at(self._world.now + LOOK, self.watch)

    def restarted(self, node: Node) -> None:
        """A planned restart ends now; it may have begun long ago."""
        self.cause.node[node.name] = self._world.now

    def forgot(self, node: Node) -> None:
        """A node has lost its power, and with it what it knew of epochs; others may know less."""
        known = max((record.epoch for record in self.records().values()), default=0)
        known = max(known, *(other.epoch for other in self._nodes.values()))
        for address in self.addresses:
            self._own_epochs.pop((address, node.name), None)
            self._epochs[address] = min(self._epochs.get(address, 0), known)

    def swapped(self, new: Record, old: Record | None) -> None:
        """A Lease was written."""
        if old is not None and new.epoch < old.epoch:
            raise self._wrong(f"the epoch of the Lease of {new.node} fell: {old} -> {new}")

    def healed(self) -> None:
        """The segment has changed: who was apart may now be together."""
        self._world.net.healed = self._world.now
        self._excused = self._world.now + self._heartbeat()
        for address in self.addresses:
            self._alone(address)

    def settled(self) -> None:
        """After a time of calm: everything that somebody can hold is held, by one."""
        for address in self.addresses:
            able = [n.name for n in self._nodes.values() if self._able(n, address)]
            holders = [n.name for n in self._nodes.values() if n.answers(address)]
            if able and len(holders) != 1:
                raise self._wrong(
                    f"{address} is held by {holders or 'nobody'} after {CALM} s of calm, "
                    f"able are {able}"
                )

    def _able(self, node: Node, address: IPAddress) -> bool:
        return (
            node.runs
            and node.up
            and node.fit
            and any(
                address in m.addresses and node.name in m.eligible
                for m in node.memberships.values()
            )
        )

    def _alone(self, address: IPAddress) -> int:
        """How many answer for it; raises Violated if two answer the same host."""
        holders = [node for node in self._nodes.values() if node.answers(address)]
        seen = self._doubled(holders) if len(holders) > 1 else None
        if not seen:
            return len(holders)
        now = self._world.now
        if self._settings.partition is Partition.AVAILABILITY:
            left = max(self._excused, self._world.net.healed + self._heartbeat()) - now
            if left > 0:
                self._world.at(now + left + 1e-6, self._alone, address)
                return len(holders)
        host, names = seen
        raise self._wrong(f"{host} is answered by {names} for {address}")

    def _doubled(self, holders: list[Node]) -> tuple[str, list[str]] | None:
        for host in HOSTS:
            names = [n.name for n in holders if self._world.reaches(host, n.name)]
            if len(names) > 1:
                return host, names
        return None

    def _heartbeat(self) -> float:
        """How long two may answer after the segment has healed: until the next heartbeat."""
        s, net = self._settings, self._world.net
        late = net.delay[1] + max(net.lag.values(), default=0.0)
        one = s.interval * s.skew + 2 * late + 0.3 * s.interval
        # A lost heartbeat, or no process to hear it: until the kernel, or the second one, ends it.
        if net.loss or net.underlay_cut or not all(n.runs for n in self._nodes.values()):
            one += s.lease * s.skew
        return one

    def _rises(self, node: Node, claim: Claim, address: IPAddress) -> None:
        mine = (address, node.name)
        before = self._own_epochs.get(mine, 0)
        if self.strict_epochs:
            before = max(before, self._epochs.get(address, 0))
        if claim.epoch <= before:
            raise self._wrong(f"{node.name} claims {address} at {claim.epoch}, {before} was before")
        self._own_epochs[mine] = claim.epoch
        self._epochs[address] = max(claim.epoch, self._epochs.get(address, 0))

    def _has_cause(self, node: Node, address: IPAddress) -> None:
        before = self._last.get(address)
        if before is None:
            return
        self.moves += before != node.name
        # What was lost with a cause has none any more when somebody can take it at last.
        since = self._seen.get(address, self._world.now) - CALM
        hit = max(self.cause.all, self.cause.node[before])
        if self.failback:
            hit = max(hit, self.cause.node[node.name])
        if not self.faulty and hit < since:
            raise self._wrong(f"{node.name} takes {address} of {before} without a cause")

    def _wrong(self, what: str) -> Violated:
        return Violated(f"at {self._world.now:.4f}: {what}")
