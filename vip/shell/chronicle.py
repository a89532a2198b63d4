"""What is told of what happens: notes and lines of the log, moves, troubles, counts.

The driver says what the engine decided; what becomes of that is for the agent to fetch.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import structlog
from msgspec.structs import replace

from outgate.api.view import IPAddress
from outgate.vip.engine import actions as act
from outgate.vip.protocol import Move
from outgate.vip.shell import tally
from outgate.vip.shell.notes import Notes
from outgate.vip.shell.tally import Tally
from outgate.vip.shell.troubles import CONFLICT, FAILED, FAILSAFE, OCCUPIED, UNKNOWN, Troubles

log = structlog.get_logger()

WORKS, FAILSAFE_ENDED = "ReturnPathWorks", "FailsafeEnded"
WELL = (WORKS, UNKNOWN, FAILSAFE_ENDED)
"""What is no reason to worry."""

KEPT = 16
"""Moves that are told: what an EgressTunnel's status takes."""

TOGETHER = 5.0
"""Seconds within which claims of one kind, from one node, are one move: a probe is for 250."""


class Chronicle:
    """Of one process. wall: Unix time at 0 of the clock that `now` is of."""

    def __init__(self, *, wall: float) -> None:
        self._wall = wall
        self.notes = Notes(wall=wall)
        self.troubles = Troubles()
        self.tally = Tally()
        self.failsafe: set[str] = set()
        """The gateways of which this node holds addresses without certainty, for a while now."""
        self._moves: deque[Move] = deque(maxlen=KEPT)
        self._asked: dict[IPAddress, float] = {}

    @property
    def version(self) -> tuple[int, int]:
        """Another one after each change of what is told, but for the counts."""
        return self.notes.number, self.troubles.version

    def moves(self) -> tuple[Move, ...]:
        """The last ones, oldest first."""
        return tuple(self._moves)

    def asked(self, addresses: Iterable[IPAddress], *, now: float) -> None:
        """A planned move of these to this node begins."""
        self._asked.update(dict.fromkeys(addresses, now))

    def claimed(self, claim: act.Claim, *, heard: float | None, now: float) -> None:
        """This node holds them now. heard: when their holder was, if it is silent since."""
        gateway, source, count = claim.gateway, claim.came_from, len(claim.addresses)
        kind, took = self._how(claim, heard, now)
        self.tally.claimed(gateway, kind=kind, addresses=count, took=took)
        self.troubles.claimed(claim.addresses)
        move = Move(
            gateway, True, self._wall + now, claim.epoch, claim.epoch, count, source, kind,
            round(took or 0.0, 3),
        )  # fmt: skip
        self._move(move)
        detail = f"from {source or 'nobody'} by epoch {claim.epoch}"
        if kind == tally.PLANNED:
            detail += ", as planned"
        if took is not None:
            detail += f", within {took:.2f} s"
        self.notes.add(gateway, "Claimed", claim.addresses, detail=detail, now=now)
        log.info(
            "addresses claimed",
            gateway=gateway,
            addresses=count,
            came_from=source,
            epoch=claim.epoch,
            kind=kind,
            took=move.took,
        )

    def released(self, release: act.Release, *, epochs: Sequence[int], now: float) -> None:
        """This node holds them no longer. epochs: of those that it held."""
        gateway, why, to = release.gateway, release.why, release.to
        self.troubles.lost(release.addresses)
        for address in release.addresses:
            self._asked.pop(address, None)
        if epochs:
            self.tally.released(gateway, why=why, addresses=len(epochs))
            first, last = min(epochs), max(epochs)
            self._move(Move(gateway, False, self._wall + now, first, last, len(epochs), to, why))
        detail = f"{why}, to {to}" if to else why
        self.notes.add(gateway, "Released", release.addresses, detail=detail, now=now)
        log.info(
            "addresses released", gateway=gateway, addresses=len(release.addresses), why=why, to=to
        )

    def reported(self, report: act.Report, *, now: float) -> None:
        """The engine has something to tell. What lasts is told when it begins."""
        gateway, what, address = report.gateway, report.what, report.address
        news = True
        if address is not None and what in (CONFLICT, OCCUPIED):
            when = tally.HELD if what == CONFLICT else tally.WANTED
            self.tally.conflict(gateway, when=when)
            news = self.troubles.contest(gateway, what, address, mac=report.detail, now=now)
        elif address is not None and what in (WORKS, FAILED):
            works = what == WORKS
            self.tally.returned(gateway, result=tally.WORKS if works else tally.FAILED)
            # One that works is news where it did not: else a thousand claims are a thousand lines.
            news = self.troubles.path(gateway, address, "" if works else FAILED, now=now)
        elif what == FAILSAFE:
            self.failsafe.add(gateway)
        elif what == FAILSAFE_ENDED:
            self.failsafe.discard(gateway)
        if news:
            self._note(gateway, what, address, detail=report.detail, now=now)

    def unknown(self, gateway: str, address: IPAddress, *, why: str, now: float) -> None:
        """The way back to an address could not be checked."""
        self.tally.returned(gateway, result=tally.UNKNOWN)
        if self.troubles.path(gateway, address, UNKNOWN, why=why, now=now):
            self._note(gateway, UNKNOWN, address, detail=why, now=now)

    def forget(self, gateway: str) -> None:
        """This node is no member of it any more."""
        self.tally.forget(gateway)
        self.failsafe.discard(gateway)

    def expire(self, *, now: float) -> None:
        """Ends what is over."""
        for address in self.troubles.expire(now=now):
            log.info("nobody else is heard for the address any more", address=str(address))

    def _how(self, claim: act.Claim, heard: float | None, now: float) -> tuple[str, float | None]:
        """The kind of a claim, and what it took."""
        asked = [self._asked.pop(one) for one in claim.addresses if one in self._asked]
        if claim.planned:
            return tally.PLANNED, now - min(asked, default=now)
        if heard is not None:
            return tally.CRASH, now - heard
        return tally.FREE, None

    def _move(self, move: Move) -> None:
        """One more, or more of the last one."""
        last = self._moves[-1] if self._moves else None
        if last is not None and _alike(last, move) and move.at < last.at + TOGETHER:
            self._moves[-1] = replace(
                move,
                at=round(move.at, 3),
                first=min(last.first, move.first),
                epoch=max(last.epoch, move.epoch),
                count=last.count + move.count,
                took=max(last.took, move.took),
            )
        else:
            self._moves.append(replace(move, at=round(move.at, 3)))

    def _note(
        self, gateway: str, what: str, address: IPAddress | None, *, detail: str, now: float
    ) -> None:
        some = () if address is None else (address,)
        self.notes.add(gateway, what, some, detail=detail, now=now)
        tell = log.info if what in WELL else log.warning
        tell(what, gateway=gateway, address=str(address or ""), detail=detail)


def _alike(one: Move, other: Move) -> bool:
    return (one.gateway, one.claimed, one.node, one.why) == (
        other.gateway,
        other.claimed,
        other.node,
        other.why,
    )
