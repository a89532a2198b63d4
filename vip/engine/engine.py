"""The virtual-IP engine of one gateway node: events and the time in, actions out.

It has no clock, socket, log or randomness; the same events at the same times give the same actions.
Why no two nodes answer a host is argued in `outgate.vip.engine`; what is true of one engine after
each event is in `outgate.vip.engine.invariants`.
"""

from collections.abc import Iterable

from outgate.vip.engine.actions import Action, Seek, SendAck, TellAgain
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
from outgate.vip.engine.group import Group
from outgate.vip.engine.holds import WORTH
from outgate.vip.engine.leases import Leases
from outgate.vip.engine.peers import NEVER, Peers
from outgate.vip.engine.requests import Request, Requests
from outgate.vip.engine.restart import Restart
from outgate.vip.engine.segment import Segment
from outgate.vip.engine.settings import DEFAULTS, Settings
from outgate.vip.engine.taking import Taking
from outgate.vip.engine.voice import Voice
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
        self._leases: dict[str, Leases] = {}
        self._segment = Segment(self.groups, self.takings)
        self._voice = Voice(
            node, boot=boot, settings=settings, peers=self.peers, requests=self.requests
        )
        self._epoch = epoch
        self._adopted: dict[str, list[Adopted]] = {}
        for one in adopted:
            self._adopted.setdefault(one.gateway, []).append(one)
        self._restart: Restart | None = None

    @property
    def epoch(self) -> int:
        """The highest epoch known: to be kept for the next process, wherever it rises."""
        return max((group.highest for group in self.groups.values()), default=self._epoch)

    def said(self, gateway: str) -> Say | None:
        """What our heartbeats say about the gateway."""
        return self._voice.says.get(gateway)

    def next_wake(self) -> float:
        """When to send the next `Tick`, unless another event comes first."""
        wake = self._voice.next_beat()
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
        if self._restart is not None:
            actions += self._restart.step(tuple(self.groups.values()), now=now)
        if self._voice.heed(self.groups, self.takings, now=now):
            self._beat(now, actions)
        return tuple(actions)

    def _hear(self, heartbeat: Heartbeat, now: float, actions: list[Action]) -> None:
        known = self.peers.by_node.get(heartbeat.node)
        before = None if known is None else known.word
        was_silent = known is None or self.peers.silent(known, now=now)
        mute = known is not None and not self.peers.speaks(known, now=now)
        # Two who have found each other again each wait for the other's word that it hears.
        self._voice.urgent |= mute
        granted, heard = (NEVER, NEVER) if known is None else (known.granted, known.heard)
        peer = self.peers.hear(heartbeat, now=now)
        if peer is None:
            return
        back = mute or (was_silent and not self.peers.silent(peer, now=now))
        if back:
            actions.append(TellAgain())
        for gateway, group in self.groups.items():
            say = heartbeat.says.get(gateway)
            old = None if before is None else before.says.get(gateway)
            if say is not None and (say is not old or say.out or not group.knows(peer.node)):
                group.hear(peer, say)
                # Who wants something waits until all have heard of it.
                self._voice.urgent |= bool(say.wants) and (old is None or say.wants != old.wants)
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
            if back and old is not None and say is not None and self.node not in say.out:
                actions += self._segment.healed(group, known=old.epoch, away=now - heard)
            if old is not None and say is not None and say is not old:
                actions += self._segment.left(group, before=old, say=say)
        if (
            not (self._voice.changed or self._voice.urgent)
            # Who wants something soon holds it, by what is acknowledged now.
            and any(say.claims or say.wants for say in heartbeat.says.values())
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
                actions += self._leases[group.gateway].ask(now=now)
            actions += self._segment.guard(group, now=now)
            say = self._voice.says.get(group.gateway)
            self._voice.changed |= say is None or say.joined is not group.joined(now)
        if now >= self._voice.next_beat():
            self._voice.urgent = True

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
                counter, groups = self.peers.counter + 1, tuple(self.groups.values())
                self._restart = Restart(groups, now=now, counter=counter, settings=self.settings)
                self._voice.urgent = True
            case _:
                self._learn(event, now, actions)
        # A way back decides nothing, and after a thousand claims a thousand of them are checked.
        if not isinstance(event, LeasesRead | ReturnPathChecked):
            for group in self.groups.values():
                self._turn(group, now, actions)

    def _answered(
        self,
        event: LeasesRead | LeaseWritten | LeaseRefused | ApiFailed,
        now: float,
        actions: list[Action],
    ) -> None:
        """What the API server said."""
        match event:
            case LeasesRead(request, records):
                self._read(self.requests.answered(request), records, now, actions)
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
                actions += self._segment.probed(probe, answered, now=now)
            case ElementsGone(gateway, addresses) if gateway in self.groups:
                actions += self.groups[gateway].holds.release(addresses, why="lapsed")
            case ConflictSeen(address, mac):
                actions += self._segment.conflict(address, mac, now=now)
            case Prepared(gateway, addresses) if gateway in self.takings:
                self.takings[gateway].prepared(addresses, now=now)
            case ReturnPathChecked(address, came):
                actions += self._segment.returned(address, came=came)

    def _turn(self, group: Group, now: float, actions: list[Action]) -> None:
        self._voice.changed = True
        taking = self.takings[group.gateway]
        before = group.silent
        group.look(now=now)
        self._voice.urgent |= group.silent != before  # others wait for our word on it
        actions += group.keep(now=now)
        for peer, addresses in taking.leaving(now=now):
            actions += group.holds.release(
                addresses, why="moved", pass_on=self.settings.pass_on, to=peer.node
            )
        leases = self._leases[group.gateway]
        actions += leases.ask(now=now)
        if self._restart is None:
            taking.choose(now=now, counter=self.peers.counter + 1)
            held = len(group.holds.epochs)
            actions += self._segment.proceed(group.gateway, now=now)
            if held != len(group.holds.epochs):
                actions += leases.ask(now=now)  # the new epoch into the Lease, at once

    def _beat(self, now: float, actions: list[Action]) -> None:
        send = self._voice.beat(self.groups, now=now)
        if send is not None:
            silent = {peer for one in self.groups.values() for peer in one.sought(now=now)}
            if silent:
                actions.append(Seek(tuple(sorted(silent))))
            actions.append(send)

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
            self._leases[event.gateway] = Leases(group)
            self._adopt(group, now)
            self.requests.read_again()
        group.told(event)
        self._voice.to = tuple(
            sorted({n for g in self.groups.values() for n in g.membership.members} - {self.node})
        )

    def _adopt(self, group: Group, now: float) -> None:
        adopted = [one for one in self._adopted.pop(group.gateway, ()) if one.until > now]
        if not adopted:
            return
        epochs = {one.address: one.epoch for one in adopted}
        group.highest = max(group.highest, *epochs.values())
        group.holds.adopt(epochs, until=min(one.until for one in adopted))

    def _forget(self, gateway: str, actions: list[Action]) -> None:
        group = self.groups.pop(gateway, None)
        if group is not None:
            actions += group.holds.release(group.holds.epochs.keys(), why="unused")
            del self.takings[gateway], self._leases[gateway]
            self._voice.changed = True

    def _read(
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
