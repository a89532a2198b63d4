"""What the agent is told: how things are, and what is counted. Made anew only if that changed."""

from collections import Counter
from collections.abc import Mapping

from outgate.api.view import IPAddress
from outgate.vip.engine.engine import Engine
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.peers import NEVER
from outgate.vip.peer.codec import PeerCodec
from outgate.vip.peer.errors import Refusal
from outgate.vip.protocol import Numbers, Report, Word
from outgate.vip.shell.chronicle import Chronicle
from outgate.vip.shell.claims import Claims
from outgate.vip.shell.edges import Lan
from outgate.vip.shell.tally import Standing

NUMBERS_EVERY = 2.0
"""Seconds between two countings for the agent: a scrape comes every 30 s or so."""

CLAIMS_GAP = 0.2
"""Least seconds between two reports, should who holds what change that often: a thousand addresses
come in several claims, and each report of them is a pass of the agent."""

REST_GAP = 1.0
"""The same where only other things have changed: announcements go on for seconds."""


class Account:
    """Gives account of what this node has claimed, heard and done. api: whether it is seen."""

    def __init__(self, claims: Claims, lan: Lan, chronicle: Chronicle) -> None:
        self._claims, self._lan, self._chronicle = claims, lan, chronicle
        self.api = False
        self._report = Report(0, knows=False)
        self._urgent: tuple[object, ...] = ()
        self._rest: tuple[object, ...] = ()
        self._at = NEVER
        self._due = FOREVER
        self._numbers = Numbers()
        self._numbered = NEVER

    def report(
        self, word: Word | None, engine: Engine | None, *, unfit: Mapping[str, str], now: float
    ) -> Report:
        """How things are, by the agent's last word; what is news, as soon as it is due."""
        chronicle = self._chronicle
        chronicle.troubles.failsafe(self._failsafe(engine))
        seq = word.seq if word is not None else 0
        urgent = seq, self._claims.version, unfit
        rest = self._lan.version, chronicle.version, self.api
        self._due = self._when(urgent, rest)
        if now < self._due:
            return self._report
        self._due, self._at = FOREVER, now
        self._urgent, self._rest = urgent, rest
        own, heard = self._claims.said()
        self._report = Report(
            seq=seq,
            knows=word is not None,
            held=self._lan.held(),
            repaired=self._lan.repaired,
            claims=own,
            heard=heard,
            api=self.api,
            notes=chronicle.notes.last(),
            moves=chronicle.moves(),
            troubles=chronicle.troubles.now(),
            unfit=dict(unfit),
        )
        return self._report

    def next_due(self) -> float:
        """When there is a report that was put off."""
        return self._due

    def _when(self, urgent: tuple[object, ...], rest: tuple[object, ...]) -> float:
        """When to report this."""
        if urgent != self._urgent:
            return self._at + CLAIMS_GAP
        return self._at + REST_GAP if rest != self._rest else FOREVER

    def numbers(
        self, engine: Engine | None, codec: PeerCodec | None, *, realtime: bool, now: float
    ) -> Numbers:
        """What is counted, as it was a moment ago."""
        if now >= self._numbered + NUMBERS_EVERY:
            self._numbered = now
            refused = codec.refused if codec is not None else Counter[Refusal]()
            self._numbers = self._chronicle.tally.numbers(
                self._standings(engine),
                self._chronicle.troubles.now(),
                api=self.api,
                realtime=realtime,
                refused={why.value: refused[why] for why in Refusal},
                unsent=codec.unsent if codec is not None else 0,
            )
        return self._numbers

    def _standings(self, engine: Engine | None) -> Mapping[str, Standing]:
        held = Counter(claimant.gateway for claimant in self._claims.own.values())
        groups = engine.groups if engine is not None else {}
        return {
            gateway: Standing(held[gateway], group.highest, gateway in self._chronicle.failsafe)
            for gateway, group in groups.items()
        }

    def _failsafe(self, engine: Engine | None) -> Mapping[str, frozenset[IPAddress]]:
        groups = engine.groups if engine is not None else {}
        return {
            gateway: frozenset(group.holds.epochs)
            for gateway, group in groups.items()
            if gateway in self._chronicle.failsafe and group.holds.epochs
        }
