"""What the node holds and may hold, as its EgressTunnel's status shows it. Pure.

The controller takes who holds an address from here, and the source nodes theirs from there. So a
vip process that is only being restarted, while the kernel keeps its addresses, must not look like
one that has lost them: its last word stays for a while.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from outgate.agent.probes.course import Verdict
from outgate.api.gateway import ADDRESSES_MAX
from outgate.api.tunnel import GATEWAYS_MAX, Fitness, Holding
from outgate.api.view import IPAddress

PATIENCE = 15.0
"""Seconds that the last word of a vip process which says nothing is believed.

Longer than its planned restart may take (`restart` of `outgate.vip.engine`, 10 s). If it is not
back by then, the kernel has let go; others may have claimed the addresses long before, and their
higher epoch counts.
"""

REASON_MAX, MESSAGE_MAX = 64, 512
"""Characters that the API takes."""


class Claim(Protocol):
    """Addresses that the node claimed together and holds."""

    @property
    def gateway(self) -> str:
        """Name of the gateway."""

    @property
    def epoch(self) -> int:
        """Of the claim."""

    @property
    def addresses(self) -> Iterable[IPAddress]:
        """In any order."""


@dataclass(frozen=True, slots=True)
class Silence:
    """How long the vip process has said nothing. since: monotonic seconds; None: it speaks."""

    since: float | None

    def after(self, speaks: bool, *, now: float) -> "Silence":
        """Once it is known whether it speaks."""
        if speaks:
            return Silence(None)
        return self if self.since is not None else Silence(now)

    def lasted(self, now: float) -> float:
        """Seconds of silence until now."""
        return 0.0 if self.since is None else now - self.since


def holding_of(
    claims: Iterable[Claim] | None, *, before: tuple[Holding, ...], silent: float
) -> tuple[Holding, ...]:
    """What to report, in an order that is always the same.

    claims: the vip process's word; None if it says nothing, for `silent` seconds by now. before:
    what was reported last.
    """
    if claims is None:
        return before if silent < PATIENCE else ()
    held = [
        Holding(
            gateway=claim.gateway,
            epoch=claim.epoch,
            addresses=tuple(map(str, sorted(claim.addresses, key=_order)[:ADDRESSES_MAX])),
        )
        for claim in claims
    ]
    held = [claim for claim in held if claim.addresses]
    return tuple(sorted(held, key=lambda c: (c.gateway, c.epoch, c.addresses)))[:ADDRESSES_MAX]


def fitness_of(verdicts: Mapping[str, Verdict]) -> tuple[Fitness, ...]:
    """Verdicts by gateway, as they are reported."""
    return tuple(
        Fitness(
            gateway=gateway,
            fit=verdict.fit,
            reason=verdict.reason[:REASON_MAX],
            message=verdict.message[:MESSAGE_MAX],
        )
        for gateway, verdict in sorted(verdicts.items())[:GATEWAYS_MAX]
    )


def _order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)
