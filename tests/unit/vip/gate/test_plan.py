"""What each word means as changes of elements."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.gate import plan
from outgate.vip.gate.frames import FUSE, lease_key
from outgate.vip.gate.model import Change, Element, Family, Verb

V4, V6 = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")

addresses = st.frozensets(
    st.builds(IPv4Address, st.integers(0, 2**32 - 1))
    | st.builds(IPv6Address, st.integers(0, 2**128 - 1)),
    max_size=8,
)


def places(changes: tuple[Change, ...]) -> set[tuple[Family, str]]:
    return {(change.family, change.set) for change in changes}


def test_an_address_stands_wherever_packets_are_compared_with_it() -> None:
    assert places(plan.manage([V4])) == {(Family.ARP, "managed4"), (Family.INET, "managed4")}
    assert places(plan.manage([V6])) == {(Family.INET, "managed6"), (Family.INET, "managed_nd6")}
    assert places(plan.own(1, [V4])) == {(Family.ARP, "owned4"), (Family.INET, "owned4")}
    assert places(plan.own(1, [V6])) == {(Family.INET, "owned6"), (Family.INET, "owned_nd6")}


def test_an_owned_address_leads_to_its_gateway() -> None:
    assert all(
        change.elements == (Element(V4.packed, goto="gw_12"),) for change in plan.own(12, [V4])
    )


def test_what_passes_on_is_not_answered_for() -> None:
    assert places(plan.pass_on([V4, V6], timeout=5000)) == {
        (Family.INET, "passing4"),
        (Family.INET, "passing6"),
    }


@given(addresses)
def test_giving_up_names_exactly_what_taking_named(some: frozenset[IPv4Address]) -> None:
    for taking, giving in (
        (plan.manage(some), plan.unmanage(some)),
        (plan.own(3, some), plan.disown(some)),
    ):
        assert [(c.family, c.set, [e.key for e in c.elements]) for c in taking] == [
            (c.family, c.set, [e.key for e in c.elements]) for c in giving
        ]
        assert {c.verb for c in taking} <= {Verb.ADD}
        assert {c.verb for c in giving} <= {Verb.DELETE}


def test_nothing_is_no_change() -> None:
    assert plan.manage([]) == plan.disown([]) == plan.pass_on([], timeout=9) == ()


def test_a_lease_takes_the_fuse_away_first_then_the_old_lease_then_gives_the_new() -> None:
    changes = plan.lease(2, timeout=240, fuse=9)
    assert [(change.verb, change.set) for change in changes] == [
        (Verb.DELETE, "fuse"),
        *[(Verb.ADD, "alive"), (Verb.DELETE, "alive")] * 2,
        *[(Verb.ADD, "alive")] * 2,
    ]
    assert {e.timeout for c in changes[-2:] for e in c.elements} == {240}
    assert {e.key for c in changes[1:] for e in c.elements} == {lease_key(2)}


def test_an_end_needs_no_lease_and_touches_no_other() -> None:
    # The kernel refuses to delete what isn't there.
    changes = plan.end(2)
    assert [(change.verb, change.family) for change in changes] == [
        (verb, family) for family in Family for verb in (Verb.ADD, Verb.DELETE)
    ]
    assert {e.key for c in changes for e in c.elements} == {lease_key(2)}


def test_the_fuse_that_is_lit_is_the_one_that_is_taken_away() -> None:
    (lit,) = plan.fuse(2**32 + 5)
    taken = plan.lease(1, timeout=100, fuse=2**32 + 5)[0]
    assert [e.key for e in lit.elements] == [e.key for e in taken.elements]


@given(st.floats(0, 1e6), st.floats(-10, 10))
def test_a_lease_never_outlasts_what_was_meant_even_if_the_fuse_burns_to_its_end(
    now: float, ahead: float
) -> None:
    until = now + ahead
    timeout = plan.timeout(until, now=now)
    assert timeout == 0 or now + (FUSE + timeout) / 1000 <= until + 1e-6


@given(st.floats(-10, 0.0199))
def test_what_is_too_short_for_the_kernels_clock_is_too_late(ahead: float) -> None:
    # An element whose timeout is rounded to nothing would live for ever.
    assert plan.timeout(100.0 + ahead, now=100.0) == 0


def test_a_lease_of_a_quarter_second_loses_the_fuse() -> None:
    assert plan.timeout(100.25, now=100.0) == 240
