"""What this node is about to take: wanted, agreed, lapsed, probed, and then claimed.

An address is wanted by its heir only, so that nobody races; two that both believe to be the heir
see each other's wants, and the rendezvous order between the two decides. A live holder is asked
only when everything else is ready, and lets go by its own decision.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outgate.api.view import IPAddress
from outgate.vip.engine import rights
from outgate.vip.engine.actions import (
    Action,
    Announce,
    CheckReturnPath,
    Claim,
    Prepare,
    Probe,
    Report,
)
from outgate.vip.engine.election import heir, rank
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.group import Group
from outgate.vip.engine.peers import NEVER, Peer
from outgate.vip.engine.settings import Partition

AT_ONCE = 250
"""Addresses in one probe: with more, a busy node may miss the time for which its verdict is good.
The first are claimed while the next are asked for."""

VALID = 1.0
"""Seconds that a probe's verdict is good for, where nobody is silent."""


@dataclass(slots=True)
class Want:
    """An address on its way to this node.

    said: the counter of the first heartbeat that says so. holder: the live node that has it, or
    whose it was. prepared: when its flows were here, or had to be given up on; None until then.
    asked: when preparing began. probed: when the probe began that found nobody.
    """

    said: int
    holder: str
    asked: float | None = None
    prepared: float | None = None
    probed: float = NEVER


class Taking:
    """The wants of one gateway."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.wants: dict[IPAddress, Want] = {}
        self.asks: frozenset[IPAddress] = frozenset()
        self._last_holder: dict[IPAddress, str] = {}
        self._noted: Mapping[IPAddress, Peer] = {}
        self._inherits: tuple[frozenset[IPAddress], frozenset[str], tuple[IPAddress, ...]] = (
            frozenset(),
            frozenset(),
            (),
        )
        self._probe: tuple[int, float, frozenset[IPAddress]] | None = None
        self._occupied: dict[IPAddress, float] = {}
        self._defended: dict[IPAddress, float] = {}

    def choose(self, *, now: float, counter: int) -> None:
        """Wants what this node is the heir of; `counter` is of the heartbeat that will say so."""
        g = self._group
        chosen: dict[IPAddress, str] = {}
        if self._may_want(now):
            live = self._live(now)
            self._note_holders()
            for address in self._inherited(live):
                if address in g.holds.epochs:
                    continue
                holder = g.holders.get(address)
                if holder is None:
                    chosen[address] = ""
                elif holder.node not in live or g.membership.failback:
                    chosen[address] = holder.node
        for address in self.wants.keys() - chosen.keys():
            del self.wants[address]
        for address, holder_name in chosen.items():
            want = self.wants.get(address)
            if want is None:
                self.wants[address] = Want(counter, holder_name)
            elif holder_name:
                want.holder = holder_name

    def proceed(self, *, now: float, probe: int) -> Iterator[Action]:
        """Goes on with what is wanted as far as it is due; `probe` numbers the next probe."""
        self.asks = frozenset()
        g = self._group
        if not self.wants:
            return
        gone = g.gone(now=now)
        lapsed = max((one.lapsed for one in gone), default=NEVER)
        entitled, guess = self._entitled(gone, now)
        # A silent member may hold on in failsafe, whatever its Lease says. What has been asked long
        # ago does not count: the segment may have healed since.
        valid = g.settings.probe + (g.settings.interval / 2 if gone else VALID)
        since = max(lapsed, now - valid)
        consenting = self._consenting(now)
        yield from self._prepare(consenting, now)
        if now < lapsed:
            g.wake = min(g.wake, lapsed)
            return
        moved = {a for a, w in consenting.items() if self._freely(a, w)}
        vacant = {a for a in consenting if not self._held(a) and a not in moved}
        yield from self._seek(vacant, lapsed=lapsed, since=since, guess=guess, now=now, probe=probe)
        until, weak = g.holds.allowed(g.known, g.others, peers=g.peers, now=now)
        if not entitled or until < now + g.settings.lease / 4:
            return
        self.asks = frozenset(
            a for a, w in consenting.items() if self._held(a) and w.prepared is not None
        )
        found_free = {a for a in vacant if self.wants[a].probed >= since}
        g.holds.failsafe |= weak and bool(found_free | moved)
        yield from self._claim(found_free | moved, moved, until, guess=guess)

    def probed(self, number: int, answered: Mapping[IPAddress, str], *, now: float) -> list[Action]:
        """Takes a probe's verdict."""
        if self._probe is None or self._probe[0] != number:
            return []
        _, began, addresses = self._probe
        self._probe = None
        reports: list[Action] = []
        for address in sorted(addresses, key=lambda a: (a.version, int(a))):
            if address in answered:
                self.avoid(address, now=now)
                reports.append(Report(self._group.gateway, "Occupied", address, answered[address]))
            elif address in self.wants:
                self.wants[address].probed = began
        return reports

    def awaits(self, number: int) -> bool:
        """Whether this probe's verdict is awaited."""
        return self._probe is not None and self._probe[0] == number

    def avoid(self, address: IPAddress, *, now: float) -> None:
        """Somebody answers for the address: leave it alone for a while, each node another."""
        g = self._group
        place = rank(g.gateway, str(address), g.membership.members, node=g.node)
        self._occupied[address] = now + g.settings.retry + 2 * place * g.settings.probe

    def spoken_for(self, address: IPAddress, *, now: float) -> None:
        """Somebody has announced an address that this node may have found free."""
        want = self.wants.get(address)
        if want is not None and want.probed > NEVER and not self._held(address):
            want.probed = NEVER
            self.avoid(address, now=now)

    def prepared(self, addresses: frozenset[IPAddress], *, now: float) -> None:
        """The flows of these addresses are here."""
        for address in addresses & self.wants.keys():
            self.wants[address].prepared = now

    def leaving(self, *, now: float) -> Iterator[tuple[Peer, frozenset[IPAddress]]]:
        """What others ask this node for, and it agrees to give them."""
        g = self._group
        if not g.holds.epochs:
            return
        live: frozenset[str] | None = None
        for peer in g.heard:
            say = g.say_of(peer)
            if say is None or not say.asks:
                continue
            live = self._live(now) if live is None else live
            given = frozenset(
                address
                for address in say.asks & g.holds.epochs.keys()
                if g.node not in live
                or (g.membership.failback and heir(g.gateway, address, live) == peer.node)
            )
            if given:
                yield peer, given

    def defend(self, address: IPAddress, mac: str, *, now: float) -> Iterator[Action]:
        """Somebody else speaks for an address that is held: say whose it is, now and then."""
        g = self._group
        if now >= self._defended.get(address, NEVER) + g.settings.defend:
            self._defended[address] = now
            yield Announce(frozenset({address}))
            yield Report(g.gateway, "Conflict", address, mac)

    def _may_want(self, now: float) -> bool:
        g = self._group
        if g.node not in g.membership.eligible or not g.fit:
            return False
        return g.inside or self._on_its_own(now)

    def _on_its_own(self, now: float) -> bool:
        g = self._group
        return g.settings.partition is Partition.AVAILABILITY and g.requests.away(now)

    def _live(self, now: float) -> frozenset[str]:
        g = self._group
        names = {g.node} if g.fit else set()
        for peer in g.others:
            say = g.say_of(peer)
            if peer in g.heard and say is not None:
                if say.fit and (say.inside or self._unjoined_may(peer)):
                    names.add(peer.node)
            elif peer.word is None and now < g.peers.started + g.settings.grace:
                names.add(peer.node)
                g.wake = min(g.wake, g.peers.started + g.settings.grace)
        return frozenset(names & g.membership.eligible)

    def _unjoined_may(self, peer: Peer) -> bool:
        """Whether a member that could not join may take all the same."""
        word, mode = peer.word, self._group.settings.partition
        return mode is Partition.AVAILABILITY and word is not None and not word.api

    def _inherited(self, live: frozenset[str]) -> tuple[IPAddress, ...]:
        """What this node is the heir of; worked out when the addresses or the live ones change.

        A turn comes with each heartbeat: to ask for a thousand heirs takes as long as the turns of
        a tenth of a second may take together.
        """
        g = self._group
        addresses, known, inherited = self._inherits
        if addresses != g.membership.addresses or known != live:
            addresses = g.membership.addresses
            inherited = tuple(a for a in addresses if heir(g.gateway, a, live) == g.node)
            self._inherits = addresses, live, inherited
        return inherited

    def _note_holders(self) -> None:
        """Whose the addresses are, for when they are nobody's."""
        g = self._group
        if self._noted is not g.holders:
            self._noted = g.holders
            self._last_holder |= {address: peer.node for address, peer in g.holders.items()}

    def _held(self, address: IPAddress) -> bool:
        return address in self._group.holders

    def _consenting(self, now: float) -> dict[IPAddress, Want]:
        """What all that are heard know to be wanted, and none of them wants more.

        A live holder counts as consenting: it is asked last.
        """
        g = self._group
        if not all(rights.fresh(peer, settings=g.settings, now=now) for peer in g.heard):
            return {}
        echo = min((peer.echo for peer in g.heard), default=FOREVER)
        says = ((peer.node, g.say_of(peer)) for peer in g.heard)
        rivals = [(node, say.wants) for node, say in says if say is not None and say.wants]
        agreed: dict[IPAddress, Want] = {}
        for address, want in self.wants.items():
            avoided = self._occupied.get(address, NEVER)
            if avoided > now:
                g.wake = min(g.wake, avoided)
            elif echo >= want.said and not any(
                address in wants and rank(g.gateway, str(address), {node}, node=g.node) > 0
                for node, wants in rivals
            ):
                agreed[address] = want
        return agreed

    def _freely(self, address: IPAddress, want: Want) -> bool:
        """Whether its live holder has just let go of it on our asking."""
        g = self._group
        return (
            bool(want.holder)
            and want.prepared is not None
            and not self._held(address)
            and any(peer.node == want.holder for peer in g.heard)
        )

    def _entitled(self, gone: tuple[rights.Gone, ...], now: float) -> tuple[bool, bool]:
        """Whether no silent member can have a right any more; and whether that is a guess."""
        g = self._group
        strict = (g.inside or not gone) and all(
            rights.deposed(
                one.peer.node,
                roster=g.roster,
                renewed=g.renewed_order,
                settings=g.settings,
                now=now,
            )
            and g.powerless(one.peer.node, now=now)
            for one in gone
        )
        guess = not strict and self._on_its_own(now)
        return strict or guess, guess

    def _prepare(self, consenting: Mapping[IPAddress, Want], now: float) -> Iterator[Action]:
        g = self._group
        fresh: dict[str, set[IPAddress]] = {}
        for address, want in consenting.items():
            if want.prepared is not None or not self._held(address):
                continue
            if want.asked is None:
                want.asked = now
                fresh.setdefault(want.holder, set()).add(address)
            elif now >= want.asked + g.settings.prepare:
                want.prepared = now
            else:
                g.wake = min(g.wake, want.asked + g.settings.prepare)
        for holder in sorted(fresh):
            yield Prepare(g.gateway, frozenset(fresh[holder]), holder)

    def _seek(
        self,
        vacant: set[IPAddress],
        *,
        lapsed: float,
        since: float,
        guess: bool,
        now: float,
        probe: int,
    ) -> Iterator[Action]:
        """Asks the segment for what would be free; without certainty, one node after the other."""
        g = self._group
        if self._probe is not None and now < self._probe[1] + g.settings.probe + VALID:
            return
        due: set[IPAddress] = set()
        for address in vacant:
            if self.wants[address].probed >= since:
                continue
            start = now
            if guess:
                place = rank(g.gateway, str(address), g.membership.members, node=g.node)
                start = max(lapsed, g.peers.started) + 2 * place * g.settings.probe
            if now >= start:
                due.add(address)
            else:
                g.wake = min(g.wake, start)
        if due:
            asked = frozenset(sorted(due, key=lambda a: (a.version, int(a)))[:AT_ONCE])
            self._probe = (probe, now, asked)
            # A deaf member that is out by its Lease asks and asks whether it is alone: it is not.
            heeds = guess or lapsed == NEVER
            yield Probe(probe, asked, g.settings.probes, g.settings.probe, heeds)

    def _claim(
        self, free: set[IPAddress], moved: set[IPAddress], until: float, *, guess: bool
    ) -> Iterator[Action]:
        g = self._group
        if not free:
            return
        g.highest += 1
        g.holds.take(free, epoch=g.highest, until=until, guess=guess)
        by_source: dict[tuple[str, bool], set[IPAddress]] = {}
        for address in free:
            planned = address in moved
            want = self.wants.pop(address)
            source = want.holder or self._last_holder.get(address, "")
            by_source.setdefault((source, planned), set()).add(address)
        for (source, planned), addresses in sorted(by_source.items()):
            yield Claim(g.gateway, frozenset(addresses), g.highest, until, source, planned)
        yield CheckReturnPath(frozenset(free))
