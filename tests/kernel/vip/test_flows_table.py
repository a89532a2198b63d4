"""Entries of a real kernel's flow table: read by egress id, made, made anew, refused."""

import errno
from collections.abc import Iterator
from ipaddress import ip_address

import msgspec
import pytest
from kernel.harness import Namespace

from outgate.vip.flows.entries import LOCAL, Entry, Seen, Timeouts, derive
from outgate.vip.flows.records import ICMP, ICMPV6, TCP, UDP, FlowRecord
from outgate.vip.flows.table import STEP, WALK, FlowTable, Inserter, Made, timeouts
from outgate.vip.flows.zone import zone

pytestmark = pytest.mark.kernel

EGRESS4, EGRESS6 = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")
OUT4, OUT6 = (ip_address(text).packed for text in ("203.0.113.10", "2001:db8:f::10"))
change = msgspec.structs.replace


@pytest.fixture
def space() -> Iterator[Namespace]:
    made = Namespace("flows")
    try:
        yield made
    finally:
        made.delete()


def record(number: int, *, protocol: int = TCP, egress_id: int = 2) -> FlowRecord:
    six = protocol == ICMPV6
    pod = ip_address("2001:db8:a1::5" if six else "10.244.1.5") + number // 60_000
    from_ = 1024 + number % 60_000
    to = 0 if protocol in (ICMP, ICMPV6) else 443
    out = OUT6 if six else OUT4
    return FlowRecord(protocol, egress_id, 1, pod.packed, out, from_, to, from_)


def entry(flow: FlowRecord, given: Timeouts | None = None) -> Entry:
    return derive(flow, EGRESS6 if len(flow.pod) == 16 else EGRESS4, given or Timeouts())


def make(space: Namespace, *entries: Entry) -> Made:
    def work() -> Made:
        with Inserter() as inserter:
            assert sum(inserter.insert(entries)) == len(entries)
            return inserter.made

    return space.inside(work)


def read(space: Namespace, mark: int = 0, mask: int = 0) -> list[Seen]:
    with FlowTable() as table:
        return space.inside(lambda: [seen for some in table.listed(mark, mask) for seen in some])


@pytest.mark.parametrize("protocol", [TCP, UDP, ICMP, ICMPV6])
def test_what_is_made_is_there_and_bound(space: Namespace, protocol: int) -> None:
    flow = change(record(0, protocol=protocol), port=1025)

    assert make(space, entry(flow)) == Made(created=1)

    (seen,) = read(space)
    assert (seen.source, seen.from_, seen.to) == (flow.pod, flow.from_, flow.to)
    assert (seen.bound, seen.port) == (entry(flow).bound, 1025)
    assert seen.live and seen.assured and seen.mark == 2 << 16 | 1


def test_it_lies_in_the_zone_of_its_id_and_lives_as_long_as_others(space: Namespace) -> None:
    space.sysctl({"netfilter/nf_conntrack_tcp_timeout_established": 777})
    make(space, entry(record(0), space.inside(timeouts)))

    listing = space.run("conntrack -L")

    assert f"zone-orig={zone(2)}" in listing
    assert " 776 ESTABLISHED" in listing or " 777 ESTABLISHED" in listing


def test_an_entry_that_is_there_is_made_anew(space: Namespace) -> None:
    flow = record(0)
    make(space, entry(flow))

    made = make(space, entry(change(flow, port=1025)))

    assert made == Made(replaced=1)
    assert [seen.port for seen in read(space)] == [1025]


def test_a_port_that_another_flow_has_is_not_taken_from_it(space: Namespace) -> None:
    flow = record(0)
    other = change(flow, pod=ip_address("10.244.1.6").packed)

    made = make(space, entry(flow), entry(other))

    assert made == Made(created=1, taken=1)
    assert [seen.source for seen in read(space)] == [flow.pod]


def test_a_full_table_is_told(space: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the kernel says of a full table; its limit is one for the whole machine.
    full = lambda _, messages: dict.fromkeys(range(len(messages)), errno.ENOMEM)  # noqa: E731
    monkeypatch.setattr(Inserter, "_send", full)
    entries = [entry(record(number)) for number in range(3)]

    assert make(space, *entries) == Made(full=3)


def test_many_are_made_in_steps(space: Namespace) -> None:
    def work() -> list[int]:
        with Inserter() as inserter:
            return list(inserter.insert(entry(record(n)) for n in range(2 * STEP + 1)))

    assert space.inside(work) == [STEP, STEP, 1]
    assert len(read(space)) == 2 * STEP + 1


@pytest.fixture(params=["one id after the other", "all at once"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the kernel is asked for the flows of two ids."""
    tracked = WALK if request.param == "one id after the other" else WALK - 1
    monkeypatch.setattr("outgate.vip.flows.table.tracked_flows", lambda unknown: tracked)


@pytest.mark.usefixtures("asked")
def test_a_source_node_finds_the_flows_of_given_ids_only(space: Namespace) -> None:
    own = [
        change(
            entry(record(number, protocol=protocol, egress_id=egress_id)),
            mark=egress_id << 16 | mark,
            zone=None,
        )
        for number, (protocol, egress_id, mark) in enumerate(
            [
                (TCP, 2, LOCAL | 1),
                (UDP, 3, LOCAL | 2),
                (ICMPV6, 2, LOCAL | 1),
                (TCP, 4, LOCAL | 1),  # of another address
                (TCP, 2, 1),  # of another node
            ]
        )
    ]
    assert make(space, *own).created == 5
    with FlowTable() as table:
        found = space.inside(lambda: [seen for some in table.local({2, 3}) for seen in some])

    assert sorted(seen.mark for seen in found) == [2 << 16 | LOCAL | 1] * 2 + [3 << 16 | LOCAL | 2]


@pytest.mark.usefixtures("asked")
def test_what_is_forgotten_is_of_the_tunnel_and_of_that_id(space: Namespace) -> None:
    own = change(entry(record(0)), zone=None, mark=2 << 16 | LOCAL | 1, port=9)
    make(space, entry(record(1)), entry(record(2, egress_id=3)), entry(record(3, egress_id=4)), own)

    def work() -> int:
        with Inserter() as inserter:
            return sum(inserter.forget({2, 3}))

    assert space.inside(work) == 2
    assert {seen.mark for seen in read(space)} == {4 << 16 | 1, own.mark}


def test_what_comes_back_while_it_is_forgotten_stays(space: Namespace) -> None:
    make(space, *(entry(record(number)) for number in range(4 * STEP)))

    def work() -> tuple[int, int]:
        ids = {2}
        with Inserter() as inserter:
            steps = inserter.forget(ids)
            first = next(steps)
            ids.clear()
            return first, sum(steps)

    first, rest = space.inside(work)
    assert 0 < first <= STEP
    assert rest == 0
    assert len(read(space)) == 4 * STEP - first


def test_connections_that_are_being_set_up_are_not_live(space: Namespace) -> None:
    space.run(
        f"conntrack -I -p tcp --state SYN_SENT -t 100 -s 10.244.1.5 -d 203.0.113.10 "
        f"--sport 1 --dport 2 -m {2 << 16 | LOCAL}"
    )

    (seen,) = read(space)

    assert not seen.live


def test_a_list_that_was_given_up_leaves_nothing_for_the_next_one(space: Namespace) -> None:
    make(space, *(entry(record(number)) for number in range(2 * STEP)))

    def work() -> list[int]:
        with FlowTable() as table:
            next(table.listed(0, 0))
            return [sum(len(some) for some in table.listed(0, 0)) for _ in range(2)]

    assert space.inside(work) == [2 * STEP, 2 * STEP]
