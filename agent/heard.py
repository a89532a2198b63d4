"""What the vip process has said of who holds what, worked out once for each new report."""

from collections.abc import Callable

from outgate.agent.holders import NOTHING_SAID, Claims
from outgate.agent.vip_word import claims_of
from outgate.vip.client import VipState
from outgate.vip.protocol import Claimed

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
        if report is None or not report.seq:
            return False
        said = report.claims, report.heard
        if said == self._said:
            return False
        self._said, self._claims = said, claims_of(report)
        return True

    def claims(self) -> Claims:
        """What was said last."""
        return self._claims
