"""A node: the engine, a kernel whose elements run out by themselves, and a clock that drifts.

The kernel answers for an address while its element lives, whatever the process does. A process may
be stopped between its decision and the effect; what it then does too late must do nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from outgate.api.view import IPAddress
from outgate.vip.engine import actions as act
from outgate.vip.engine import events as ev
from outgate.vip.engine.engine import Engine
from outgate.vip.engine.settings import Settings
from sim.apiserver import ApiServer
from sim.world import World

LATE = 1e-6
"""Seconds that timers are late: rounding must not make one early."""


@dataclass(slots=True)
class Element:
    """A kernel element: the epoch of the claim (kept beside it), and when it runs out (local)."""

    gateway: str
    epoch: int
    until: float


class Node:
    """One gateway node. rate: seconds of its clock in a second of the world."""

    def __init__(
        self,
        name: str,
        *,
        world: World,
        api: ApiServer,
        settings: Settings,
        rate: float,
        memberships: Iterable[ev.Membership],
    ) -> None:
        self.name, self.rate = name, rate
        self._world, self._api, self._settings = world, api, settings
        self._offset = world.random.uniform(0, 1000)
        self.memberships = {m.gateway: m for m in memberships}
        self.fit = True
        self.kernel: dict[IPAddress, Element] = {}
        self.engine: Engine | None = None
        self.paused = False
        self.up = True
        self._boot = 0
        self._epoch = 0
        self._wake = float("inf")
        self._inbox: list[ev.Event] = []
        self._stashed: list[act.Action] = []
        self.peers: dict[str, Node] = {}
        self.claimed: Callable[[Node, act.Claim], None] = lambda node, claim: None
        self.replaced: Callable[[Node], None] = lambda node: None
        self.crashed: Callable[[Node], None] = lambda node: None
        self.after: Callable[[Node], None] | None = None
        self.seen: Callable[[act.Action], object] = lambda action: None
        self.probing: dict[IPAddress, list[dict[IPAddress, str]]] = {}
        self._leaving = False
        self._armed = False

    def clock(self) -> float:
        """The node's own monotonic time."""
        return self._offset + self._world.now * self.rate

    def real(self, local: float) -> float:
        """When its clock shows that."""
        return (local - self._offset) / self.rate

    def answers(self, address: IPAddress) -> bool:
        """Whether its kernel answers for the address now."""
        if not self.kernel:
            return False
        element = self.kernel.get(address)
        return element is not None and self.up and self.clock() < element.until

    @property
    def epoch(self) -> int:
        """The highest epoch that it knows of, or has kept on its disk."""
        return max(self._epoch, self.engine.epoch if self.engine is not None else 0)

    @property
    def runs(self) -> bool:
        """Whether a process is there and not stopped."""
        return self.engine is not None and not self.paused

    def start(self) -> None:
        """Starts the process; it finds what the kernel still holds."""
        self._boot += 1
        now = self.clock()
        adopted = [
            ev.Adopted(element.gateway, address, element.epoch, element.until)
            for address, element in sorted(self.kernel.items(), key=str)
            if element.until > now
        ]
        self._leaving = self._armed = False
        self._wake = float("inf")
        self.engine = Engine(
            self.name,
            boot=self._boot,
            now=now,
            settings=self._settings,
            adopted=adopted,
            epoch=self._epoch,
        )
        self._world.tell(self.name, "starts, boot", self._boot, "adopts", len(adopted))
        for gateway in sorted(self.memberships):
            self.happen(self.memberships[gateway])
            if not self.fit:
                self.happen(ev.FitnessChanged(gateway, False))

    def kill(self) -> None:
        """The process dies; the kernel goes on."""
        if self.engine is not None:
            self._epoch = self.epoch
        self.engine = None
        self.paused = False
        self._inbox.clear()
        self._stashed.clear()
        self.probing.clear()

    def crash(self) -> None:
        """Power off: the kernel is gone, and all it knew."""
        self.kill()
        self.kernel.clear()
        self.up = False
        self._epoch = 0
        self.crashed(self)

    def boot(self) -> None:
        """Power on."""
        self.up = True
        self.start()

    def pause(self, *, midway: bool) -> None:
        """SIGSTOP; midway: as soon as it has decided to hold, and before it does so."""
        if self.runs:
            self._armed = midway
            self.paused = not midway

    def resume(self) -> None:
        """SIGCONT: does what it was about to, then hears what has come meanwhile."""
        self._armed = False
        if not self.paused:
            return
        self.paused = False
        stashed, self._stashed = self._stashed, []
        self._do(stashed)
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            self.happen(event)
        self._sleep()

    def happen(self, event: ev.Event) -> None:
        """Something happens to the process, if there is one."""
        engine = self.engine
        if engine is None:
            return
        if self.paused:
            if len(self._inbox) < 200:
                self._inbox.append(event)
            return
        actions = engine.handle(event, now=self.clock())
        if self._armed and any(isinstance(a, act.Refresh | act.Claim) for a in actions):
            self._armed, self.paused = False, True
            self._stashed += actions
        elif actions:
            self._do(actions)
        if self.after is not None:
            self.after(self)
        if not isinstance(event, ev.AckHeard):  # it only ever gives more time
            self._sleep()

    def happens_to(self, boot: int, event: ev.Event) -> None:
        """The same, if the process is still the one that asked."""
        if boot == self._boot:
            self.happen(event)

    def told(self, membership: ev.Membership) -> None:
        """The agent says something new."""
        self.memberships[membership.gateway] = membership
        self.happen(membership)

    def _sleep(self) -> None:
        if self.engine is None:
            return
        wake = self.real(self.engine.next_wake()) + LATE
        now = self._world.now
        wake = max(wake, now)
        if not now < self._wake <= wake:
            self._wake = wake
            self._world.at(wake, self._tick, self._boot, wake)

    def _tick(self, boot: int, wake: float) -> None:
        if self._wake == wake:
            self._wake = float("inf")
        if boot != self._boot or self.engine is None or self.paused:
            return
        due = self.real(self.engine.next_wake())
        if due > self._world.now:
            self._sleep()
        else:
            self.happen(ev.Tick())

    def _do(self, actions: Iterable[act.Action]) -> None:
        for action in actions:
            match action:
                case act.Send(to, heartbeat):
                    for name in to:
                        self._send(name, ev.HeartbeatHeard(heartbeat))
                case act.SendAck(to, ack):
                    self._send(to, ev.AckHeard(ack))
                case act.Refresh(gateway, addresses, until):
                    if not self._refresh(addresses, until):
                        self._gone(gateway, addresses)
                case act.ReadLeases() | act.WriteLease():
                    self._request(action)
                case act.Probe():
                    self._probe(action)
                case _:
                    self._do_seldom(action)

    def _do_seldom(self, action: act.Action) -> None:
        world = self._world
        world.tell(self.name, action)
        self.seen(action)
        match action:
            case act.Claim():
                self._claim(action)
            case act.Release(_, addresses, _):
                for address in addresses:
                    self.kernel.pop(address, None)
            case act.Prepare(gateway, addresses, _):
                when = world.now + world.random.uniform(0.005, 0.05)
                prepared = ev.Prepared(gateway, addresses)
                world.at(when, self.happens_to, self._boot, prepared)
            case act.ReadyToRestart():
                self._replace()

    def _send(self, to: str, event: ev.Event) -> None:
        peer = self.peers.get(to)
        if peer is not None:
            self._world.transmit((self.name, to), peer.happen, event)

    def _request(self, action: act.ReadLeases | act.WriteLease) -> None:
        if isinstance(action, act.WriteLease):
            self._world.tell(self.name, action)
        self._api.ask(self.name, action, partial(self.happens_to, self._boot))

    def _refresh(self, addresses: Iterable[IPAddress], until: float) -> bool:
        now = self.clock()
        if until <= now:
            return False
        elements = [self.kernel.get(address) for address in addresses]
        if any(one is None or one.until <= now for one in elements):
            return False  # one transaction: the kernel refuses all of it
        for element in elements:
            if element is not None:
                element.until = until
        return True

    def _gone(self, gateway: str, addresses: frozenset[IPAddress]) -> None:
        now = self._world.now
        self._world.at(now, self.happens_to, self._boot, ev.ElementsGone(gateway, addresses))

    def _claim(self, claim: act.Claim) -> None:
        if claim.until <= self.clock():
            self._gone(claim.gateway, claim.addresses)
            return
        for address in claim.addresses:
            self.kernel[address] = Element(claim.gateway, claim.epoch, claim.until)
        self.claimed(self, claim)
        for peer in self.peers.values():
            if (self.name, peer.name) not in self._world.net.segment_cut:
                for address in claim.addresses:
                    peer.announced(address, self.name)

    def announced(self, address: IPAddress, by: str) -> None:
        """A gratuitous ARP of somebody else arrives."""
        if self.up and not self._world.net.isolated:
            for found in self.probing.get(address, ()):
                found[address] = by
            self._world.at(
                self._world.now, self.happens_to, self._boot, ev.ConflictSeen(address, by)
            )

    def _replace(self) -> None:
        """The planned restart: this process ends, the next one comes."""
        if not self._leaving:
            self._leaving = True
            world = self._world
            world.tell(self.name, "ends as planned")
            world.at(world.now, self.kill)
            world.at(world.now + world.random.uniform(0.02, 0.5), self._start_again, self._boot)

    def _start_again(self, boot: int) -> None:
        if self.engine is None and self.up and boot == self._boot:
            self.replaced(self)
            self.start()

    def _probe(self, probe: act.Probe) -> None:
        world, found = self._world, dict[IPAddress, str]()
        for address in probe.addresses:
            self.probing.setdefault(address, []).append(found)
        for turn in range(probe.count):
            when = world.now + probe.wait * turn / (probe.count + 1)
            world.at(when, self._ask_segment, self._boot, probe, found)
        world.at(world.now + probe.wait, self._verdict, self._boot, probe, found)

    def _ask_segment(self, boot: int, probe: act.Probe, found: dict[IPAddress, str]) -> None:
        if boot != self._boot or not self.up or self._world.net.isolated:
            return
        for peer in self.peers.values():
            if not self._world.reaches(self.name, peer.name):
                continue
            for address in probe.addresses:
                if peer.answers(address) or (probe.count > 1 and peer.probing.get(address)):
                    found[address] = peer.name

    def _verdict(self, boot: int, probe: act.Probe, found: dict[IPAddress, str]) -> None:
        if boot != self._boot:
            return
        for address in probe.addresses:
            running = self.probing.get(address, [])
            running[:] = [one for one in running if one is not found]
        self.happen(ev.Probed(probe.probe, found))
