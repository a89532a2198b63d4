"""What this node holds of one gateway, until when, and how it goes on or ends."""

from collections.abc import Iterable, Mapping, Sequence

from outgate.api.view import IPAddress
from outgate.vip.engine import evidence
from outgate.vip.engine.actions import Action, Probe, Refresh, Release, Report
from outgate.vip.engine.evidence import FOREVER, SPARSE, Evidence
from outgate.vip.engine.peers import NEVER, Peer, Peers
from outgate.vip.engine.settings import Partition, Settings
from outgate.vip.engine.words import Claim, Say

WORTH = 0.005
"""Seconds by which a hold must get longer to be worth a transaction."""

PROOFS = 2
"""Guards in a row that somebody else answers until what is doubtful is let go."""

GUARDS = 8
"""Addresses asked for in one interval while in failsafe: a segment heals for all at once."""


class Holds:
    """The addresses that this node holds, all until the same time (ours, seconds).

    failsafe: whether it goes on without certainty (`partition: Availability`). guessed: what was
    taken without certainty, until all members have been heard again: a Lease that is renewed later
    does not make it right.
    guarded: when it was last asked for what is doubtful.
    adopting: whether they are as the process before this one has left them. announced: the lease
    that our heartbeats tell, in seconds: no shorter than what the kernel may still have.
    """

    def __init__(self, gateway: str, *, node: str, settings: Settings) -> None:
        self._gateway, self._node, self._settings = gateway, node, settings
        self.announced = settings.lease
        self.adopting = False
        self.epochs: dict[IPAddress, int] = {}
        self._claims: tuple[Claim, ...] | None = ()
        self.until = NEVER
        self.failsafe = False
        self.guessed: set[IPAddress] = set()
        self._wake = NEVER
        self.guarded = NEVER
        self._turn = 0
        self._contested = 0
        self._proofs = PROOFS
        self._since = FOREVER
        self._told = False

    def claims(self) -> tuple[Claim, ...]:
        """The addresses by epoch, for the heartbeat; the same object as long as they are."""
        if self._claims is None:
            by_epoch: dict[int, set[IPAddress]] = {}
            for address, epoch in self.epochs.items():
                by_epoch.setdefault(epoch, set()).add(address)
            self._claims = tuple(Claim(e, frozenset(by_epoch[e])) for e in sorted(by_epoch))
        return self._claims

    def wake(self) -> float:
        """When there is something to do about it, if nothing is heard until then."""
        return self._wake if self.epochs else FOREVER

    def allowed(
        self, known: Evidence, others: Sequence[Peer], *, peers: Peers, now: float
    ) -> tuple[float, bool]:
        """Until when holding is allowed by what is known now, and whether that is the failsafe.

        Never longer than one lease from now: a process that hangs is silenced by its kernel.
        """
        s = self._settings
        until, failsafe = known.until(settings=s), False
        if until < now + s.lease / 4 and s.partition is Partition.AVAILABILITY:
            weak = evidence.unopposed(others, peers=peers, settings=s, now=now)
            if weak > until:
                until, failsafe = weak, True
        return min(until, now + s.lease), failsafe

    def keep(
        self, known: Evidence, others: Sequence[Peer], *, peers: Peers, now: float
    ) -> Iterable[Action]:
        """Refreshes what is still held; gives up what the kernel has given up already."""
        if not self.epochs:
            return
        if now >= self.until:
            yield from self.release(self.epochs.keys(), why="lapsed")
            return
        until, failsafe = self.allowed(known, others, peers=peers, now=now)
        if self.adopting:
            # What a restart has left lives long; others hear of a short lease when it is short. By
            # proof only, as long as there is time: nobody has answered this process yet.
            if until > now + WORTH and (
                not failsafe or self.until < now + 2 * self._settings.lease
            ):
                self.adopting, self.until = False, until
                self.announced = self._settings.lease
                yield Refresh(self._gateway, frozenset(self.epochs), until)
        elif until > self.until + WORTH:
            self.until = until
            yield Refresh(self._gateway, frozenset(self.epochs), until)
        failsafe &= not self.adopting
        self.failsafe = failsafe
        yield from self._tell_failsafe(now=now)
        if self.guessed and not any(peers.silent(peer, now=now) for peer in others):
            self.guessed.clear()  # nobody has claimed them by a higher epoch
        soon = self.until - self._settings.lease / 4
        sparse = known.newest + SPARSE * self._settings.interval
        self._wake = min(soon if soon > now else self.until, sparse if sparse > now else FOREVER)

    def doubtful(self) -> frozenset[IPAddress]:
        """What is held, or was taken, without certainty."""
        return frozenset(self.epochs if self.failsafe else self.guessed)

    def guard(self, probe: int, *, now: float) -> Probe | None:
        """Of what is doubtful: whether still nobody else answers, once an interval."""
        doubtful = self.doubtful()
        if not doubtful or now < self.guarded + self._settings.interval:
            return None
        self.guarded = now
        ordered = sorted(doubtful, key=lambda a: (a.version, int(a)))
        self._turn = (self._turn + GUARDS) % len(ordered) if len(ordered) > GUARDS else 0
        some = frozenset((ordered + ordered)[self._turn : self._turn + GUARDS])
        return Probe(probe, some, 1, self._settings.interval / 5)

    def contested(self, answered: bool, *, patient: bool) -> bool:
        """Takes what the guard found; whether to let go of all that is doubtful.

        At the second time only: a segment that has healed brings a heartbeat in between, which
        says whose epoch is higher. patient, at the first time: where heartbeats come later than
        that, one of those that hear nobody asks twice more, and finds that the others have let go.
        """
        if not answered or not self.doubtful():
            self._contested = 0
            return False
        if not self._contested:
            self._proofs = 2 * PROOFS if patient else PROOFS
        self._contested += 1
        return self._contested >= self._proofs

    def adopt(self, epochs: Mapping[IPAddress, int], *, until: float) -> None:
        """Goes on with what the process before has left in the kernel."""
        self.epochs.update(epochs)
        self._claims = None
        self.until = until
        self.announced = self._settings.restart
        self.adopting = True

    def take(
        self, addresses: Iterable[IPAddress], *, epoch: int, until: float, guess: bool
    ) -> None:
        """Holds these, too. All are then held until the earlier of both times."""
        if guess:
            self.guessed.update(addresses)
        self.until = min(self.until, until) if self.epochs else until
        self._wake = self.until - self._settings.lease / 4
        for address in addresses:
            self.epochs[address] = epoch
        self._claims = None

    def release(
        self, addresses: Iterable[IPAddress], *, why: str, pass_on: float = 0.0, to: str = ""
    ) -> Iterable[Action]:
        """Lets go of those of the addresses that are held."""
        gone = frozenset(addresses) & self.epochs.keys()
        if gone:
            for address in gone:
                del self.epochs[address]
                self.guessed.discard(address)
            self._claims = None
            yield Release(self._gateway, gone, why, pass_on, to)
        if not self.epochs:
            self.failsafe = False
            yield from self._tell_failsafe(now=NEVER)

    def _tell_failsafe(self, *, now: float) -> Iterable[Action]:
        """Tells people of a failsafe that lasts, and of its end: each start has a moment of it."""
        self._since = min(self._since, now) if self.failsafe else FOREVER
        told, self._told = self._told, now >= self._since + self._settings.api_patience
        if told is not self._told:
            yield Report(self._gateway, "Failsafe" if self._told else "FailsafeEnded")

    def superseded(self, say: Say, node: str) -> frozenset[IPAddress]:
        """Those that a member holds by a higher epoch; of equal ones, the greater name stays."""
        return frozenset(
            address
            for claim in say.claims
            for address in claim.addresses & self.epochs.keys()
            if (claim.epoch, node) > (self.epochs[address], self._node)
        )
