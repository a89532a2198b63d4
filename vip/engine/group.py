"""One gateway on this node: what it is told, what it concludes, in the order of a turn.

A turn looks at everything that is known and does what is due; it is made whenever something that
may matter has changed, and when its own `wake` comes. Missing one does no harm: the next one sees
the same. Taking addresses is `outgate.vip.engine.taking`.
"""

from collections.abc import Iterable, Iterator

from outgate.api.view import IPAddress
from outgate.vip.engine import evidence, rights
from outgate.vip.engine.actions import Action, Report
from outgate.vip.engine.election import rank
from outgate.vip.engine.events import Membership, Record
from outgate.vip.engine.evidence import FOREVER, Evidence
from outgate.vip.engine.holds import Holds
from outgate.vip.engine.peers import NEVER, Peer, Peers
from outgate.vip.engine.requests import Request, Requests
from outgate.vip.engine.roster import Roster
from outgate.vip.engine.settings import Settings
from outgate.vip.engine.words import Claim, OutSaid, Say

SOUGHT = 1.5
"""Seconds for which members are looked for after the last doubt: by then the kernel, which asks
once a second, has asked by itself."""


class Group:
    """What this node knows and does about one gateway. `taking` adds what it is about to take.

    inside: whether this process' own Lease says that it is in, as far as known.
    """

    def __init__(
        self,
        membership: Membership,
        *,
        node: str,
        boot: int,
        settings: Settings,
        peers: Peers,
        requests: Requests,
    ) -> None:
        self.gateway = membership.gateway
        self.membership = membership
        self.node, self.boot, self.settings = node, boot, settings
        self.peers, self.requests = peers, requests
        self.roster = Roster()
        self.holds = Holds(self.gateway, node=node, settings=settings)
        self.fit, self.inside = True, False
        self.highest = 0
        self.wake = NEVER
        self.watch = NEVER
        self.holders: dict[IPAddress, Peer] = {}
        self._said: tuple[tuple[Peer, tuple[Claim, ...]], ...] = ()
        self._names: set[str] = set()
        self.others: tuple[Peer, ...] = ()
        self.silent: tuple[Peer, ...] = ()
        self.heard: tuple[Peer, ...] = ()
        self.speaking: tuple[Peer, ...] = ()
        self.suspects: tuple[Peer, ...] = ()
        self.joined_at = self._believed = NEVER
        self.renewed = NEVER
        self.renewed_order = -1
        self.leased = NEVER
        self.known = Evidence(NEVER, NEVER, NEVER, NEVER)
        self._met: set[str] = set()
        self.read_now = False

    # What it is told.

    def told(self, membership: Membership) -> None:
        """Takes the agent's word."""
        self.membership = membership
        for node in membership.members:
            if node != self.node:
                self.peers.get(node)

    def hear(self, peer: Peer, say: Say) -> None:
        """Takes a peer's word on the gateway, from its newest heartbeat."""
        if self.node not in say.out and peer.echoed >= self.joined_at:
            self._met.add(peer.node)
        word = peer.word
        if say.out and word is not None and peer.echoed > NEVER:
            for node, out in word.outs.get(self.gateway, {}).items():
                if node != self.node:
                    known = peer.echoed - out.age * self.settings.skew
                    self.roster.hearsay(node, out.epoch, known=known)
        if self.node in say.out or (say.inside and self.roster.out(peer.node) is not None):
            self.read_now = True
        self.highest = max(self.highest, say.epoch)

    def read(self, records: Iterable[Record], *, asked: float, now: float) -> bool:
        """Takes the gateway's Leases, as they were read; whether that is worth a turn."""
        first, was_in = self.roster.asked == NEVER, self._in()
        news = self.roster.read(records, asked=asked, now=now)
        # The answer to our write may be late, or lost; what is read first was so before.
        self._joins(was_in or first, now=now)
        hurry, self.read_now = self.read_now, False
        return first or news or hurry

    def swapped(self, record: Record, request: Request, *, now: float) -> None:
        """Takes that our write of a Lease was done."""
        asked = request.sent
        if record.node == self.node:
            if asked < self.renewed:
                return  # a late answer; a later write has been answered
            self.renewed, self.renewed_order = asked, request.order
            self.leased = asked + record.term if record.term else NEVER
        was_in = self._in()
        self.roster.swapped(record, asked=asked, now=now)
        self._joins(was_in, now=now)

    def refused(self) -> None:
        """Takes that a write was refused: what we know of the Leases is old."""
        self.read_now = True

    def _in(self) -> bool:
        mine = self.roster.records.get(self.node)
        return mine is not None and mine.inside

    def _joins(self, was_in: bool, *, now: float) -> None:
        """Whoever comes in has met nobody since."""
        is_in = self._in()
        self.inside = is_in and self.roster.records[self.node].boot == self.boot
        if is_in and not was_in:
            self.joined_at = now
            self._believed = now + self.settings.outlast(self.settings.roster_age)
            self._met.clear()

    # What follows.

    @property
    def patient(self) -> bool:
        """Whether this node, of all that are alone as it is, goes on when they meet again."""
        first = rank(self.gateway, "", self.membership.members, node=self.node) == 0
        return first and not self.speaking

    def sought(self, *, now: float) -> Iterator[str]:
        """The silent members, while what is held is doubtful, and until the kernel asks for them.

        It is their heartbeats that say who has to let go, and ours that tell the one who stays.
        """
        if now < self.holds.guarded + SOUGHT:
            yield from (peer.node for peer in self.silent)

    def look(self, *, now: float) -> None:
        """Sorts the members into those that are heard, and the silent, who may be speaking."""
        names = set(self.membership.members)
        for node, record in self.roster.records.items():
            if record.inside:
                names.add(node)
        for peer in self.peers.by_node.values():
            say = self.say_of(peer)
            if say is not None:
                if now < peer.silent_from:
                    names.add(peer.node)
                self.highest = max(self.highest, say.epoch)
        names.discard(self.node)
        if names != self._names:
            self._names = names
            self.others = tuple(self.peers.get(node) for node in sorted(names))
        self.silent = tuple([p for p in self.others if now >= p.silent_from])
        self.heard = (
            tuple([p for p in self.others if p not in self.silent]) if self.silent else self.others
        )
        self.speaking = tuple([p for p in self.others if self.peers.speaks(p, now=now)])
        self._find_holders(now)
        self.highest = max(self.highest, self.roster.epoch)
        self.wake = FOREVER
        self._watch(now)

    def _find_holders(self, now: float) -> None:
        """Who says that he holds what; made anew only when somebody says something else."""
        # One who does not hear us still holds what it says, unless its Lease tells otherwise.
        said = tuple(
            (peer, say.claims)
            for peer in self.speaking
            if (not self.peers.silent(peer, now=now) or self.roster.out(peer.node) is None)
            and (say := self.say_of(peer)) is not None
        )
        if len(said) != len(self._said) or any(
            one is not other or claims is not before
            for (one, claims), (other, before) in zip(said, self._said, strict=True)
        ):
            self._said = said
            self.holders = {
                address: peer
                for peer, claims in said
                for claim in claims
                for address in claim.addresses
            }

    def stirs(self, *, now: float) -> bool:
        """Whether a turn is due by the time alone."""
        if now >= self.wake:
            return True
        if now < self.watch:
            return False
        before = self.suspects
        self._watch(now)
        return self.suspects != before or any(now >= p.silent_from for p in self.heard)

    def _watch(self, now: float) -> None:
        """Who has missed all heartbeats but the last; and when that may be next."""
        suspects: list[Peer] = []
        self.watch = FOREVER
        for peer in self.heard:
            due = peer.silent_from
            if now >= due - self.settings.interval:
                suspects.append(peer)
            else:
                due -= self.settings.interval
            self.watch = min(self.watch, due)
        self.suspects = tuple(suspects)

    def outs(self, now: float) -> dict[str, OutSaid]:
        """The members that are out, for the heartbeat."""
        outs = ((peer.node, self.roster.out(peer.node)) for peer in self.others)
        return {node: OutSaid(out.epoch, now - out.known) for node, out in outs if out is not None}

    def weigh(self) -> Evidence:
        """What speaks for holding now."""
        leased = self.leased if self.inside else NEVER
        self.known = evidence.gather(
            self.others, gateway=self.gateway, roster=self.roster, leased=leased
        )
        return self.known

    def joined(self, now: float) -> bool:
        """Whether nobody goes by Leases from before it was in: all say so, or it is long ago."""
        return self.inside and (
            now >= self._believed
            or (not self.silent and all(peer.node in self._met for peer in self.others))
        )

    def met(self, node: str, *, now: float) -> bool:
        """Whether the member has reckoned with us since we came back, or has had time to."""
        return node in self._met or now >= self.joined_at + self.settings.outlast(
            self.settings.settle
        )

    def knows(self, node: str) -> bool:
        """Whether the member has reckoned with us since we came back."""
        return node in self._met

    def powerless(self, node: str, *, now: float) -> bool:
        """Whether a member that is out can have kept nothing from when it was in."""
        record = self.roster.records.get(node)
        if record is None:
            return self.roster.asked > NEVER
        if self.met(node, now=now):
            return True
        seen = self.roster.seen(node) + self.settings.outlast(self.settings.isolation)
        return not record.inside and now >= seen

    def waits_for(self, counter: int, *, now: float) -> bool:
        """Whether some member may not have heard our heartbeat of that counter, nor we its answer.

        Those that are out, and long silent, are not waited for.
        """
        return any(
            peer.echo < counter
            and (
                self.roster.out(peer.node) is None or now < peer.silent_from + self.settings.settle
            )
            for peer in self.others
        )

    def long_until(self, began: float) -> float:
        """How long all that have heard of the restart leave the addresses alone."""
        return min(began + self.settings.restart, self.known.out_known + self.settings.settle)

    def keep(self, *, now: float) -> Iterator[Action]:
        """Holds what may be held, and lets the rest go."""
        mine = self.roster.records.get(self.node)
        if mine is not None and not mine.inside and self.holds.epochs:
            yield Report(self.gateway, "Deposed")
            yield from self.holds.release(self.holds.epochs, why="deposed")
        for peer in self.speaking:
            say = self.say_of(peer)
            if say is not None and self.holds.epochs:
                lost = self._superseded(peer, say)
                yield from self.holds.release(lost, why="superseded", to=peer.node)
        outside = self.holds.epochs.keys() - self.membership.addresses
        yield from self.holds.release(outside, why="unused")
        yield from self.holds.keep(self.weigh(), self.others, peers=self.peers, now=now)

    def _superseded(self, peer: Peer, say: Say) -> frozenset[IPAddress]:
        """What is the peer's, of what we hold. Mostly none: a segment was parted, and has healed.

        Whoever is out by its Lease, and hears so, has only guessed, by whatever epoch. Where the
        Leases don't tell the two apart, the epochs do.
        """
        lost, doubtful = self.holds.superseded(say, peer.node), self.holds.doubtful()
        if not lost and not doubtful:
            return lost
        out, we_out = self.roster.out(peer.node) is not None, self.node in say.out
        if out and not we_out:
            return lost & doubtful
        if we_out and not out:
            theirs = frozenset[IPAddress]().union(*(claim.addresses for claim in say.claims))
            return lost | theirs & doubtful
        return lost

    def gone(self, *, now: float) -> tuple[rights.Gone, ...]:
        """The silent members, and when each one's addresses have lapsed."""
        return rights.gone(
            self.silent,
            self.heard,
            gateway=self.gateway,
            peers=self.peers,
            settings=self.settings,
            now=now,
        )

    def say_of(self, peer: Peer) -> Say | None:
        """What the peer last said about this gateway."""
        return None if peer.word is None else peer.word.says.get(self.gateway)
