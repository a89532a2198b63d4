import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.agent.probes.checks import checks_of
from outgate.agent.probes.course import (
    FIT,
    Check,
    Course,
    Verdict,
    begin,
    combined,
    uplink,
    verdict,
)
from outgate.api.probes import HealthProbes, HTTPProbe, ICMPProbe

A, B = "203.0.113.7", "2001:db8::7"
PING = Check("icmp", (A, B), 5.0, 15.0)
GET = Check("http", ("http://203.0.113.7/",), 10.0, 30.0)


def lost(course: Course, *targets: str, times: int = 2) -> Course:
    for target in targets * times:
        course = course.lost(target, "no answer")
    return course


def test_a_kind_fails_when_all_its_targets_failed_for_the_timeout() -> None:
    course = lost(begin(PING, now=100.0).heard(A, now=101.0), A, B)
    assert not course.failed(115.9)
    assert course.failed(116.0)


def test_one_target_that_answers_is_enough() -> None:
    course = lost(begin(PING, now=100.0), A, times=50)
    assert not course.failed(1000.0)
    assert not course.heard(B, now=999.0).failed(1000.0)


def test_it_comes_back_with_one_answer_of_any_target() -> None:
    course = lost(begin(PING, now=100.0), A, B, times=9)
    assert course.failed(200.0)
    assert not course.heard(B, now=200.0).failed(200.0)


def test_after_an_answer_the_whole_timeout_counts_anew() -> None:
    course = lost(begin(PING, now=100.0), A, B).heard(A, now=114.0)
    course = lost(course, A)
    assert not course.failed(128.9)
    assert course.failed(129.0)


def test_time_alone_fails_nobody_since_the_process_may_have_been_stopped() -> None:
    course = begin(PING, now=100.0).heard(A, now=101.0)
    assert not course.failed(1e6)
    once = lost(course, A, B, times=1)  # those that were on their way when it was stopped
    assert not once.failed(1e6)
    assert lost(once, A, B, times=1).failed(1e6)


@pytest.mark.parametrize(
    ("interval", "timeout", "misses"), [(5, 15, 2), (1, 2, 1), (10, 11, 1), (1, 60, 59), (4, 15, 3)]
)
def test_so_many_misses_fit_into_the_timeout(interval: float, timeout: float, misses: int) -> None:
    assert Check("icmp", (A,), interval, timeout).misses == misses


def test_it_tells_when_it_will_fail_so_that_nobody_has_to_look_again_and_again() -> None:
    course = begin(PING, now=100.0)
    assert course.wake(100.0) is None
    course = lost(course, A, B)
    assert course.wake(110.0) == 115.0
    assert course.wake(115.0) is None


def test_a_restarted_agent_takes_a_well_node_for_well_and_an_unwell_one_for_unwell() -> None:
    assert not begin(PING, now=100.0).failed(100.0)
    unwell = begin(PING, now=100.0, failed=True)
    assert unwell.failed(100.0)
    assert not unwell.heard(B, now=101.0).failed(101.0)


def test_a_gateway_needs_each_kind_and_is_told_which_fails_and_why() -> None:
    courses = {PING: lost(begin(PING, now=0.0), A, B), GET: begin(GET, now=0.0)}
    assert verdict(courses, (GET,), now=60.0) == FIT
    assert verdict(courses, (), now=60.0) == FIT
    failed = verdict(courses, (PING, GET), now=60.0)
    assert failed == Verdict(
        False,
        "ProbesFailed",
        f"icmp: no target has answered for 15 s ({A}: no answer; {B}: no answer)",
    )
    assert verdict(courses, (PING, GET), now=90.0) == failed  # a new word would be a new report


def test_what_is_wrong_with_a_node_is_told_together() -> None:
    down = uplink("uplink eth0 is down")
    assert down == Verdict(False, "UplinkDown", "uplink eth0 is down")
    assert uplink("") == FIT
    assert combined(FIT, FIT) == combined() == FIT
    probes = Verdict(False, "ProbesFailed", "icmp: …")
    assert combined(down, probes) == Verdict(False, "UplinkDown", "uplink eth0 is down; icmp: …")
    assert combined(FIT, probes) == probes


def test_checks_are_made_of_what_is_asked_for() -> None:
    icmp, http = ICMPProbe(ips=(A,)), HTTPProbe(urls=("http://a.example/",), interval=2, timeout=9)
    assert checks_of(None) == checks_of(HealthProbes()) == ()
    assert checks_of(HealthProbes(icmp=icmp, http=http)) == (
        Check("icmp", (A,), 5, 15),
        Check("http", ("http://a.example/",), 2, 9),
    )


steps = st.lists(
    st.tuples(st.sampled_from((A, B)), st.booleans(), st.floats(0.0, 8.0)), max_size=40
)


@given(steps)
def test_whoever_has_just_been_heard_is_well_and_failing_needs_silence_of_all(
    steps: list[tuple[str, bool, float]],
) -> None:
    course, now, heard = begin(PING, now=0.0), 0.0, 0.0
    misses = {A: 0, B: 0}
    for target, answers, pause in steps:
        now += pause
        if answers:
            course, heard, misses[target] = course.heard(target, now=now), now, 0
            assert not course.failed(now)
        else:
            course = course.lost(target, "no answer")
            misses[target] += 1
        silent = now - heard >= PING.timeout and min(misses.values()) >= PING.misses
        assert course.failed(now) == silent
        wake = course.wake(now)
        assert wake is None or (course.failed(wake) and not course.failed(now))
