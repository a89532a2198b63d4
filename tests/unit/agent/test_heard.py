"""What the vip process says of who holds what: news once, and kept while it is away."""

from ipaddress import ip_address

import pytest

from outgate.agent.heard import Heard
from outgate.agent.holders import NOTHING_SAID
from outgate.vip.client import VipState
from outgate.vip.protocol import Claimed, Held, Note, Report

VIP = "203.0.113.7"
MINE = (Claimed("node-a", "egw", 4, (VIP,)),)
THEIRS = (Claimed("node-b", "egw", 5, (VIP,)),)


class Process:
    """A vip process that says what a test has it say."""

    def __init__(self, report: Report | None = None) -> None:
        self.report = report
        self.connected = True

    def __call__(self) -> VipState:
        return VipState(self.connected, self.connected, self.report)


def test_before_the_first_answer_nothing_is_said() -> None:
    process = Process()
    heard = Heard(process)
    assert not heard.news()
    # It has just started, and has not heard the agent: what it does not claim means nothing.
    process.report = Report(0, knows=False)
    assert not heard.news()
    assert heard.claims() is NOTHING_SAID


def test_that_it_holds_nothing_is_news_the_first_time() -> None:
    heard = Heard(Process(Report(1)))
    assert heard.news()
    assert heard.claims().own == {}


def test_news_are_news_once() -> None:
    process = Process(Report(1, claims=MINE))
    heard = Heard(process)
    assert [heard.news(), heard.news()] == [True, False]
    assert heard.claims().own == {ip_address(VIP): 4}
    process.report = Report(2, heard=THEIRS)
    assert [heard.news(), heard.news()] == [True, False]
    assert (heard.claims().own, set(heard.claims().heard)) == ({}, {ip_address(VIP)})


def test_only_claims_are_news() -> None:
    process = Process(Report(1, claims=MINE))
    heard = Heard(process)
    heard.news()
    process.report = Report(
        2,
        held=(Held(VIP, "eth0", announced=3),),
        repaired=1,
        claims=MINE,
        api=True,
        notes=(Note(1, 0.0, "egw", "Claimed"),),
    )
    assert not heard.news()


def test_what_was_said_last_stays_while_the_process_is_away_and_begins_anew() -> None:
    process = Process(Report(1, claims=MINE))
    heard = Heard(process)
    heard.news()
    process.connected = False
    assert not heard.news()
    process.report = Report(0, knows=False)
    assert not heard.news()
    assert heard.claims().own == {ip_address(VIP): 4}


@pytest.mark.parametrize(
    ("report", "after", "waits"),
    [
        (None, 0.2, True),
        (None, 1.2, False),
        (Report(0, knows=False), 0.2, False),
        (Report(3), 0.2, False),
    ],
    ids=["nothing heard", "nothing heard for long", "it knows nothing itself", "it has said"],
)
def test_a_first_pass_waits_a_moment_for_the_vip_process(
    report: Report | None, after: float, waits: bool
) -> None:
    process = Process(Report(1))
    process.report = report
    assert Heard(process).waited_for(since=10.0, now=10.0 + after) is waits
