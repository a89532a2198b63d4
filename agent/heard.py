"""What the vip process has said of who holds what, worked out once for each new report."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from outgate.agent.holders import NOTHING_SAID, Claims
from outgate.agent.vip_word import claims_of
from outgate.api.view import IPAddress
from outgate.vip.client import VipState
from outgate.vip.protocol import Claimed, Report


@dataclass(frozen=True, slots=True)
class Claim:
    """Addresses of a gateway that this node claimed together, at this epoch."""

    gateway: str
    epoch: int
    addresses: tuple[IPAddress, ...]


PATIENCE = 1.0
"""Seconds that the first pass waits for the vip process; it answers within some 10 ms."""

Said = tuple[tuple[Claimed, ...], tuple[Claimed, ...]]


class Heard:
    """`news` is for the thread that hears the process; `claims` for any."""

    def __init__(self, state: Callable[[], VipState]) -> None:
        self._state = state
        self._said: Said | None = None
        self._claims = NOTHING_SAID

    def news(self) -> bool:
        """Whether the last report says something else than the one before."""
        report = self._state().report
        if report is None or not report.knows:
            return False
        said = report.claims, report.heard
        if said == self._said:
            return False
        self._said, self._claims = said, claims_of(report)
        return True

    def waited_for(self, *, since: float, now: float) -> bool:
        """Whether to hold the first pass of an agent that began at `since`, for a moment.

        Without the vip process' word, next hops are the API's, which may be old: a restart must
        not send away what is here.
        """
        return self._state().report is None and now < since + PATIENCE

    def report(self) -> Report | None:
        """The vip process' last word; None while it says nothing."""
        state = self._state()
        if not state.connected or state.report is None or not state.report.knows:
            return None
        return state.report

    def own(self) -> tuple[Claim, ...] | None:
        """What this node has claimed; None while the vip process says nothing."""
        report = self.report()
        if report is None:
            return None
        return tuple(
            Claim(one.gateway, one.epoch, tuple(map(ip_address, one.addresses)))
            for one in report.claims
        )

    def claims(self) -> Claims:
        """What was said last."""
        return self._claims
