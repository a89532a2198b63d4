"""What replies, and their absence, say about the way back."""

from ipaddress import IPv4Address

import pytest

from outgate.vip.engine.events import ReturnPathChecked
from outgate.vip.segment.return_path import (
    Echo,
    ReturnPaths,
    ReturnPathUnknown,
    Target,
    Verdict,
)
from outgate.vip.segment.settings import SegmentSettings

VIP, ROUTER, OWN = (IPv4Address(f"203.0.113.{n}") for n in (7, 1, 2))
TARGET = Target("eth0", ROUTER, ROUTER, OWN)
ALONE = Target("eth0", ROUTER, ROUTER, None)
SETTINGS = SegmentSettings(return_wait=1.0, return_tries=3, return_at_once=8)


class Router:
    """A router that answers some sources, and the loop that asks it."""

    def __init__(self, target: Target | None, *answered: IPv4Address, sends: bool = True) -> None:
        self.paths = ReturnPaths(SETTINGS)
        self.paths.check({VIP: target})
        self.answered, self.sends = answered, sends
        self.echoes: list[tuple[float, Echo]] = []

    def run(self, now: float = 0.0) -> tuple[list[Verdict], float]:
        found: list[Verdict] = []
        while (due := self.paths.next_due()) is not None:
            now = max(now, due)
            found += self.paths.verdicts(now=now)
            for echo in self.paths.due(now=now):
                self.echoes.append((now, echo))
                if self.sends:
                    self.paths.sent(echo)
                    self.reply(echo, now)
        return found, now

    def reply(self, echo: Echo, now: float) -> None:
        if echo.source in self.answered:
            self.paths.hear(
                destination=echo.source,
                source=echo.target.asked,
                sequence=echo.sequence,
                now=now,
            )


def test_a_reply_that_comes_settles_it_at_once() -> None:
    assert Router(TARGET, VIP, OWN).run() == ([ReturnPathChecked(VIP, came=True)], 0.0)


def test_silence_while_the_router_answers_others_means_it_went_elsewhere() -> None:
    router = Router(TARGET, OWN)
    assert router.run() == ([ReturnPathChecked(VIP, came=False)], 3.0)
    assert [at for at, echo in router.echoes if echo.source == VIP] == [0.0, 1.0, 2.0]


def test_without_an_address_of_its_own_to_compare_silence_is_taken_for_proof() -> None:
    assert Router(ALONE).run()[0] == [ReturnPathChecked(VIP, came=False)]


@pytest.mark.parametrize(
    ("router", "why"),
    [
        (Router(None), "no router is known"),
        (Router(TARGET), "the router answers no echo requests"),
        (Router(TARGET, VIP, OWN, sends=False), "the router's MAC is not known"),
    ],
)
def test_where_nothing_can_be_known_nothing_is_claimed(router: Router, why: str) -> None:
    assert router.run()[0] == [ReturnPathUnknown(VIP, why)]


def test_a_reply_to_a_former_check_or_from_another_host_does_not_count() -> None:
    paths = ReturnPaths(SETTINGS)
    paths.check({VIP: ALONE})
    (old,) = paths.due(now=0.0)
    paths.check({VIP: ALONE})
    (new,) = paths.due(now=0.5)
    assert old.sequence != new.sequence
    paths.hear(destination=VIP, source=ROUTER, sequence=old.sequence, now=0.6)
    paths.hear(destination=VIP, source=OWN, sequence=new.sequence, now=0.6)
    assert paths.verdicts(now=0.6) == ()
    paths.hear(destination=VIP, source=ROUTER, sequence=new.sequence, now=0.7)
    assert paths.verdicts(now=0.7) == (ReturnPathChecked(VIP, came=True),)


def test_a_thousand_addresses_are_checked_in_turn_a_few_at_a_time() -> None:
    paths = ReturnPaths(SETTINGS)
    many = [IPv4Address("198.18.0.0") + n for n in range(1000)]
    paths.check(dict.fromkeys(many, ALONE))
    now, seen, left = 0.0, [], set(many)
    while (due := paths.next_due()) is not None:
        now = max(now, due)
        left -= {verdict.address for verdict in paths.verdicts(now=now)}
        echoes = paths.due(now=now)
        assert len(echoes) <= SETTINGS.return_at_once
        for echo in echoes:
            paths.sent(echo)
            seen.append(echo.source)
            if int(echo.source) % 2:
                paths.hear(destination=echo.source, source=ROUTER, sequence=echo.sequence, now=now)
    assert not left
    assert set(seen) == set(many)


def test_nothing_is_sent_from_an_address_that_was_let_go() -> None:
    paths = ReturnPaths(SETTINGS)
    paths.check({VIP: TARGET})
    assert len(paths.due(now=0.0)) == 2
    assert paths.interfaces() == {"eth0"}
    paths.retain(frozenset())
    assert paths.next_due() is None
    assert paths.due(now=1.0) == ()
    assert paths.interfaces() == frozenset()
