"""The virtual-IP engine of one gateway node: events and the time in, actions out.

It has no clock, socket, log or randomness; the same events at the same times give the same actions.
Why no two nodes answer a host is argued in `outgate.vip.engine`; what is true of one engine after
each event is in `outgate.vip.engine.invariants`.
"""

from collections.abc import Iterable, Mapping

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import (
    Action,
    Announce,
    ReadyToRestart,
    Refresh,
    Report,
    Send,
    SendAck,
)
from outgate.vip.engine.events import (
    AckHeard,
    Adopted,
    ApiFailed,
    ConflictSeen,
    ElementsGone,
    Event,
    FitnessChanged,
    GatewayGone,
    HeartbeatHeard,
    LeaseRefused,
    LeasesRead,
    LeaseWritten,
    Membership,
    Prepared,
    Probed,
    Record,
    Restarting,
    ReturnPathChecked,
    Tick,
)
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.group import Group
from outgate.vip.engine.holds import WORTH
from outgate.vip.engine.peers import NEVER, Peers
from outgate.vip.engine.requests import Request, Requests
from outgate.vip.engine.settings import DEFAULTS, Settings
from outgate.vip.engine.taking import Taking
from outgate.vip.engine.words import Ack, Heartbeat, Say


class Engine:
    """One node's engine.

    boot: greater than that of any process of this node before (Unix time in ms will do).
    adopted: what the process before left in the kernel. epoch: the highest it knew of, if kept.
    """

    def __init__(
        self,
        node: str,
        *,
        boot: int,
        now: float,
        settings: Settings = DEFAULTS,
        adopted: Iterable[Adopted] = (),
        epoch: int = 0,
    ) -> None:
        self.node, self.boot, self.settings = node, boot, settings
        self.peers = Peers(node=node, boot=boot, started=now, settings=settings)
        self.requests = Requests(settings)
        self.groups: dict[str, Group] = {}
        self.takings: dict[str, Taking] = {}
        self._says: dict[str, Say] = {}
        self._to: tuple[str, ...] = ()
        self._sent = NEVER
        self._probe = 0
        self._probes: dict[int, str] = {}
        self._guards: set[int] = set()
        self._epoch = epoch
        self._adopted: dict[str, list[Adopted]] = {}
        for one in adopted:
            self._adopted.setdefault(one.gateway, []).append(one)
        self._restarting: tuple[float, int] | None = None
        self._ready = False
        self._changed = False
        self._urgent = False

    @property
    def epoch(self) -> int:
        """The highest epoch known: to be kept for the next process, wherever it rises."""
        return max((group.highest for group in self.groups.values()), default=self._epoch)

    def said(self, gateway: str) -> Say | None:
        """What our heartbeats say about the gateway."""
        return self._says.get(gateway)

    def next_wake(self) -> float:
        """When to send the next `Tick`, unless another event comes first."""
        wake = self._sent + self.settings.interval if self._to else FOREVER
        for group in self.groups.values():
            wake = min(wake, group.wake, group.watch, group.holds.wake())
        return wake

    def handle(self, event: Event, *, now: float) -> tuple[Action, ...]:
        """Takes an event that happens now; what is to be done about it, in order."""
        actions: list[Action] = []
        for group in self.groups.values():
            if now >= group.holds.until:
                self._keep(group, now, actions)  # lost before anything else is thought of
        match event:
            case HeartbeatHeard(heartbeat):
                self._hear(heartbeat, now, actions)
            case AckHeard(ack):
                self._acknowledged(ack, now, actions)
            case Tick():
                self._tick(now, actions)
            case _:
                self._take(event, now, actions)
        if self._speak(now) or self._urgent:
            self._beat(now, actions)
        return tuple(actions)

    def _hear(self, heartbeat: Heartbeat, now: float, actions: list[Action]) -> None:
        known = self.peers.by_node.get(heartbeat.node)
        before = None if known is None else known.word
        was_silent = known is None or self.peers.silent(known, now=now)
        granted = NEVER if known is None else known.granted
        peer = self.peers.hear(heartbeat, now=now)
        if peer is None:
            return
        for gateway, group in self.groups.items():
            say = heartbeat.says.get(gateway)
            old = None if before is None else before.says.get(gateway)
            if say is not None and (say is not old or say.out or not group.knows(peer.node)):
                group.hear(peer, say)
                # Who wants something waits until all have heard of it.
                self._urgent |= bool(say.wants) and (old is None or say.wants != old.wants)
            if (
                was_silent
                or say is not old
                or peer.objects
                or self.takings[gateway].wants
                or group.stirs(now=now)
            ):
                self._turn(group, now, actions)
            elif peer.granted > granted or now >= group.holds.wake():
                self._keep(group, now, actions)
        if self._restarting is not None:
            self._restart(now, actions)
        if (
            not (self._changed or self._urgent)
            and any(say.claims for say in heartbeat.says.values())
            and self.peers.acknowledges(peer, now=now)
        ):
            ack = Ack(self.node, peer.boot, peer.counter)
            actions.append(SendAck(peer.node, ack))

    def _acknowledged(self, ack: Ack, now: float, actions: list[Action]) -> None:
        sent = self.peers.acknowledged(ack)
        for group in self.groups.values():
            if group.holds.until < sent + self.settings.lease - WORTH:
                self._keep(group, now, actions)

    def _tick(self, now: float, actions: list[Action]) -> None:
        for group in self.groups.values():
            taking = self.takings[group.gateway]
            if taking.wants or group.stirs(now=now):
                self._turn(group, now, actions)
            else:
                self._keep(group, now, actions)
                actions += group.ask(now=now)
            self._guard(group, now, actions)
            self._changed |= group.joined(now) is not self._says[group.gateway].joined
        if self._restarting is not None:
            self._restart(now, actions)
        if self._speak(now) or now >= self._sent + self.settings.interval:
            self._beat(now, actions)

    def _keep(self, group: Group, now: float, actions: list[Action]) -> None:
        """Only what a little time or a little news can change; else a turn is due."""
        if group.holds.epochs:
            held = len(group.holds.epochs)
            actions += group.holds.keep(group.weigh(), group.others, peers=self.peers, now=now)
            if held != len(group.holds.epochs):
                self._turn(group, now, actions)

    def _take(self, event: Event, now: float, actions: list[Action]) -> None:
        match event:
            case Membership():
                self._membership(event, now)
            case GatewayGone(gateway):
                self._forget(gateway, actions)
            case FitnessChanged(gateway, fit):
                if gateway in self.groups:
                    self.groups[gateway].fit = fit
            case LeasesRead() | LeaseWritten() | LeaseRefused() | ApiFailed():
                self._answered(event, now, actions)
            case Restarting():
                for group in self.groups.values():
                    group.holds.announced = self.settings.restart
                self._restarting = (now, self.peers.counter + 1)
            case _:
                self._learn(event, now, actions)
        if not isinstance(event, LeasesRead):
            for group in self.groups.values():
                self._turn(group, now, actions)
        if isinstance(event, Restarting):
            self._beat(now, actions)

    def _answered(
        self,
        event: LeasesRead | LeaseWritten | LeaseRefused | ApiFailed,
        now: float,
        actions: list[Action],
    ) -> None:
        """What the API server said."""
        match event:
            case LeasesRead(request, records):
                self._leases(self.requests.answered(request), records, now, actions)
            case LeaseWritten(request, record):
                asked = self.requests.answered(request)
                if asked is not None and record.gateway in self.groups:
                    self.groups[record.gateway].swapped(record, asked, now=now)
            case LeaseRefused(request):
                refused = self.requests.refused(request, now=now)
                if refused is not None and refused.record is not None:
                    group = self.groups.get(refused.record.gateway)
                    if group is not None:
                        group.refused()
            case ApiFailed(request):
                self.requests.failed(request, now=now)

    def _learn(self, event: Event, now: float, actions: list[Action]) -> None:
        """What the kernel, the segment and the hand-over said."""
        match event:
            case Probed(probe, answered):
                self._probed(probe, answered, now, actions)
            case ElementsGone(gateway, addresses) if gateway in self.groups:
                actions += self.groups[gateway].holds.release(addresses, why="lapsed")
            case ConflictSeen(address, mac):
                self._conflict(address, mac, now, actions)
            case Prepared(gateway, addresses) if gateway in self.takings:
                self.takings[gateway].prepared(addresses, now=now)
            case ReturnPathChecked(address, came):
                self._return_path(address, came, actions)

    def _turn(self, group: Group, now: float, actions: list[Action]) -> None:
        self._changed = True
        taking = self.takings[group.gateway]
        before = group.silent
        group.look(now=now)
        self._urgent |= group.silent != before  # others wait for our word on it
        actions += group.keep(now=now)
        for peer, addresses in taking.leaving(now=now):
            actions += group.holds.release(
                addresses, why="moved", pass_on=self.settings.pass_on, to=peer.node
            )
        actions += group.ask(now=now)
        if self._restarting is None:
            taking.choose(now=now, counter=self.peers.counter + 1)
            held = len(group.holds.epochs)
            actions += taking.proceed(now=now, probe=self._probe + 1)
            if held != len(group.holds.epochs):
                actions += group.ask(now=now)  # the new epoch into the Lease, at once
            if taking.awaits(self._probe + 1):
                self._probe += 1
                self._probes[self._probe] = group.gateway

    def _guard(self, group: Group, now: float, actions: list[Action]) -> None:
        probe = group.holds.guard(self._probe + 1, now=now)
        if probe is not None:
            self._probe += 1
            self._probes[self._probe] = group.gateway
            self._guards.add(self._probe)
            actions.append(probe)

    def _membership(self, event: Membership, now: float) -> None:
        group = self.groups.get(event.gateway)
        if group is None:
            group = Group(
                event,
                node=self.node,
                boot=self.boot,
                settings=self.settings,
                peers=self.peers,
                requests=self.requests,
            )
            group.highest = self._epoch
            self.groups[event.gateway] = group
            self.takings[event.gateway] = Taking(group)
            self._adopt(group, now)
            self.requests.read_again()
        group.told(event)
        self._to = tuple(
            sorted({n for g in self.groups.values() for n in g.membership.members} - {self.node})
        )

    def _adopt(self, group: Group, now: float) -> None:
        adopted = [one for one in self._adopted.pop(group.gateway, ()) if one.until > now]
        if not adopted:
            return
        for one in adopted:
            group.holds.epochs[one.address] = one.epoch
            group.highest = max(group.highest, one.epoch)
        group.holds.until = min(one.until for one in adopted)
        group.holds.announced = self.settings.restart
        group.holds.adopting = True

    def _forget(self, gateway: str, actions: list[Action]) -> None:
        group = self.groups.pop(gateway, None)
        if group is not None:
            actions += group.holds.release(group.holds.epochs.keys(), why="unused")
            del self.takings[gateway]

    def _leases(
        self,
        request: Request | None,
        records: tuple[Record, ...],
        now: float,
        actions: list[Action],
    ) -> None:
        if request is None:
            return
        by_gateway: dict[str, list[Record]] = {}
        for record in records:
            by_gateway.setdefault(record.gateway, []).append(record)
        for gateway, group in self.groups.items():
            records_now = by_gateway.get(gateway, ())
            if group.read(records_now, asked=request.sent, now=now) or group.silent:
                self._turn(group, now, actions)
            else:
                self._keep(group, now, actions)

    def _probed(
        self, probe: int, answered: Mapping[IPAddress, str], now: float, actions: list[Action]
    ) -> None:
        gateway = self._probes.pop(probe, "")
        guard = probe in self._guards
        self._guards.discard(probe)
        group = self.groups.get(gateway)
        if group is None:
            return
        if not guard:
            actions += self.takings[gateway].probed(probe, answered, now=now)
        elif group.holds.contested(bool(answered)):
            self._yield_failsafe(group, answered, now, actions)

    def _yield_failsafe(
        self, group: Group, answered: Mapping[IPAddress, str], now: float, actions: list[Action]
    ) -> None:
        """Held because nobody else answers; but somebody does."""
        for address in sorted(answered, key=lambda a: (a.version, int(a))):
            actions.append(Report(group.gateway, "Conflict", address, answered[address]))
        doubtful = group.holds.doubtful()
        for address in doubtful:
            self.takings[group.gateway].avoid(address, now=now)
        actions += group.holds.release(doubtful, why="answered elsewhere")
        self._turn(group, now, actions)

    def _conflict(self, address: IPAddress, mac: str, now: float, actions: list[Action]) -> None:
        for group in self.groups.values():
            taking = self.takings[group.gateway]
            if address not in group.holds.epochs:
                taking.spoken_for(address, now=now)
            elif address not in group.holds.doubtful():
                actions += taking.defend(address, mac, now=now)

    def _return_path(self, address: IPAddress, came: bool, actions: list[Action]) -> None:
        for group in self.groups.values():
            if address in group.holds.epochs:
                what = "ReturnPathWorks" if came else "ReturnPathFailed"
                actions.append(Report(group.gateway, what, address))
                if not came:
                    actions.append(Announce(address))

    def _restart(self, now: float, actions: list[Action]) -> None:
        """Ready as soon as all who are in have heard of the long lease, or the Lease says it."""
        if self._restarting is None or self._ready:
            return
        began, counter = self._restarting
        held = [group for group in self.groups.values() if group.holds.epochs]
        if any(group.waits_for(counter, now=now) for group in held):
            if now >= began + self.settings.api_patience:
                self._ready = True
                actions.append(ReadyToRestart(now))  # not all could be told: as short as ever
            return
        until = began + self.settings.restart
        for group in held:
            until = min(until, group.long_until(began))
        for group in held:
            group.holds.until = until
            actions.append(Refresh(group.gateway, frozenset(group.holds.epochs), until))
        self._ready = True
        actions.append(ReadyToRestart(until))

    def _speak(self, now: float) -> bool:
        """Rebuilds what heartbeats say, where it has changed; whether any has."""
        if not self._changed:
            return False
        self._changed = False
        says: dict[str, Say] = {}
        for gateway, group in self.groups.items():
            taking = self.takings[gateway]
            old = self._says.get(gateway)
            epoch, inside, joined = group.highest, group.inside, group.joined(now)
            claims = group.holds.claims()
            out = frozenset(p.node for p in group.others if group.roster.out(p.node))
            wants = frozenset(taking.wants)
            if old is not None and (
                old.epoch == epoch
                and old.fit is group.fit
                and old.inside is inside
                and old.joined is joined
                and old.claims == claims
                and old.wants == wants
                and old.asks == taking.asks
                and old.out == out
            ):
                says[gateway] = old
                continue
            serial = 1 if old is None else old.serial + 1
            says[gateway] = Say(
                gateway, serial, epoch, group.fit, inside, joined, claims, wants, taking.asks, out
            )
        if says == self._says:
            return False
        self._says = says
        return True

    def _beat(self, now: float, actions: list[Action]) -> None:
        if not self._to:
            return
        self._sent = now
        self._urgent = False
        lease = max((g.holds.announced for g in self.groups.values()), default=self.settings.lease)
        outs = {
            gateway: self.groups[gateway].outs(now)
            for gateway, say in self._says.items()
            if say.out and gateway in self.groups
        }
        peers = self.peers.say(now=now)
        heartbeat = Heartbeat(
            self.node,
            self.boot,
            self.peers.counter,
            self.requests.sees(now),
            lease,
            outs,
            peers,
            self._says,
        )
        actions.append(Send(self._to, heartbeat))
