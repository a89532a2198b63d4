"""When the segment is asked, and what its answers and its silence mean."""

import itertools
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgate.api.view import IPAddress
from outgate.vip.engine.actions import Probe
from outgate.vip.engine.events import Probed
from outgate.vip.segment.prober import BURST, STEP, UNASKED, Prober
from outgate.vip.segment.spoken import Spoken

VIP4, VIP6 = IPv4Address("203.0.113.7"), IPv6Address("2001:db8::7")
MAC = bytes.fromhex("02bb00000001")


def _thousand(count: int = 1000) -> frozenset[IPAddress]:
    return frozenset(IPv4Address("198.18.0.0") + n for n in range(count))


def _run(prober: Prober, *, now: float, late: float = 0.0) -> tuple[list[tuple[float, int]], float]:
    """Sends all that is due, at once or later than due; batches, and when the verdict came."""
    batches: list[tuple[float, int]] = []
    for _ in range(100_000):
        due = prober.next_due()
        if due is None:
            return batches, now
        now = max(now, due) + late
        if prober.verdicts(now=now):
            return batches, now
        addresses = prober.due(now=now)
        prober.sent(addresses)
        if addresses:
            batches.append((now, len(addresses)))
    raise AssertionError("never ends")


@pytest.mark.parametrize(
    ("count", "wait", "times"), [(3, 0.1, [0.0, 0.025, 0.05]), (1, 0.02, [0.0])]
)
def test_probes_are_spread_and_time_is_left_for_the_last_answer(
    count: int, wait: float, times: list[float]
) -> None:
    prober = Prober()
    prober.ask(Probe(1, frozenset({VIP4}), count, wait), now=100.0)
    batches, ended = _run(prober, now=100.0)
    assert [at for at, _ in batches] == pytest.approx([100.0 + t for t in times])
    assert ended == pytest.approx(100.0 + wait)


def test_a_thousand_addresses_have_their_verdict_in_time_without_a_burst() -> None:
    prober = Prober()
    prober.ask(Probe(1, _thousand(), 3, 0.1), now=0.0)
    batches, ended = _run(prober, now=0.0)
    assert sum(size for _, size in batches) == 3000
    assert max(size for _, size in batches) <= BURST
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(batches)]
    assert min(gaps) >= STEP - 1e-9
    assert ended == pytest.approx(0.1, abs=STEP)


@given(st.integers(1, 3000), st.integers(1, 4), st.floats(0.0, 0.5))
def test_each_address_is_asked_as_often_as_was_said_however_late_the_loop_is(
    size: int, count: int, late: float
) -> None:
    prober = Prober()
    prober.ask(Probe(1, _thousand(size), count, 0.1), now=0.0)
    batches, ended = _run(prober, now=0.0, late=late)
    assert sum(frames for _, frames in batches) == size * count
    # The last one asked has as long to answer as if nothing had been late.
    assert ended >= max(0.1, batches[-1][0] + 0.1 / (count + 1)) - 1e-9


@pytest.mark.parametrize("probing", [False, True])
def test_an_answer_or_anothers_probe_is_the_verdict(probing: bool) -> None:
    prober = Prober()
    probe = Probe(5, frozenset({VIP4, VIP6}), 3, 0.1)
    prober.ask(probe, now=0.0)
    prober.sent(prober.due(now=0.0))
    assert prober.hear(Spoken(VIP4.packed, MAC, probing))
    assert VIP4 not in prober.due(now=0.03)
    prober.sent((VIP6,))
    for now in (0.06, 0.08):
        prober.sent(prober.due(now=now))
    assert prober.verdicts(now=0.09) == ()
    assert prober.verdicts(now=0.2) == ((probe, Probed(5, {VIP4: "02:bb:00:00:00:01"})),)
    assert prober.verdicts(now=0.3) == ()


def test_anothers_probe_is_no_answer_where_a_deaf_member_may_be_asking() -> None:
    prober = Prober()
    prober.ask(Probe(5, frozenset({VIP4}), 1, 0.1, heeds=False), now=0.0)
    prober.sent(prober.due(now=0.0))
    assert not prober.hear(Spoken(VIP4.packed, MAC, probing=True))
    assert prober.hear(Spoken(VIP4.packed, MAC, probing=False))


def test_an_answer_is_for_every_probe_that_asks_and_for_no_other_address() -> None:
    prober = Prober()
    prober.ask(Probe(1, frozenset({VIP4}), 1, 0.1), now=0.0)
    prober.ask(Probe(2, frozenset({VIP4, VIP6}), 1, 0.1), now=0.0)
    prober.sent(prober.due(now=0.05))
    assert not prober.hear(Spoken(bytes(4), MAC, probing=False))
    assert prober.hear(Spoken(VIP4.packed, MAC, probing=False))
    assert [sorted(p.answered) for _, p in prober.verdicts(now=0.5)] == [[VIP4], [VIP4]]


def test_who_could_not_be_asked_is_not_said_to_be_silent() -> None:
    prober = Prober()
    prober.ask(Probe(1, frozenset({VIP4, VIP6}), 1, 0.1), now=0.0)
    assert set(prober.due(now=0.05)) == {VIP4, VIP6}
    prober.sent((VIP6,))
    ((_, probed),) = prober.verdicts(now=0.5)
    assert probed.answered == {VIP4: UNASKED}


def test_a_process_that_was_stopped_asks_before_it_says_anything() -> None:
    prober = Prober()
    prober.ask(Probe(1, frozenset({VIP4}), 2, 0.1), now=0.0)
    assert prober.verdicts(now=60.0) == ()
    prober.sent(prober.due(now=60.0))
    assert prober.verdicts(now=60.0) == ()
    assert prober.verdicts(now=60.04) != ()


def test_a_probe_for_nothing_ends_too() -> None:
    prober = Prober()
    prober.ask(Probe(1, frozenset(), 3, 0.1), now=0.0)
    assert prober.next_due() == pytest.approx(0.1)
    assert [p for _, p in prober.verdicts(now=0.1)] == [Probed(1, {})]
    assert prober.next_due() is None
