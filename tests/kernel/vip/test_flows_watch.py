"""What a gateway node hears from its kernel of flows whose port was changed."""

import select
from collections.abc import Iterator
from ipaddress import ip_address

import msgspec
import pytest
from kernel.harness import BRIEF, PATIENCE, Namespace

from outgate.vip.flows.entries import LOCAL, Entry, Timeouts, derive
from outgate.vip.flows.records import ICMP, ICMPV6, TCP, UDP, FlowRecord
from outgate.vip.flows.remapped import Changes
from outgate.vip.flows.table import Inserter
from outgate.vip.flows.watch import RemappedWatch

pytestmark = pytest.mark.kernel

EGRESS4, EGRESS6 = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")
POD4, OUT4 = (ip_address(text).packed for text in ("10.244.1.5", "203.0.113.10"))
POD6, OUT6 = (ip_address(text).packed for text in ("2001:db8:a1::5", "2001:db8:f::10"))
KEPT = FlowRecord(TCP, 2, 1, POD4, OUT4, 40000, 443, 40000)
CHANGED = FlowRecord(TCP, 2, 1, POD4, OUT4, 40001, 443, 1025)
change = msgspec.structs.replace


@pytest.fixture
def space() -> Iterator[Namespace]:
    made = Namespace("watch")
    try:
        yield made
    finally:
        made.delete()


@pytest.fixture
def watch(space: Namespace) -> Iterator[RemappedWatch]:
    with space.inside(RemappedWatch) as made:
        yield made


def entry(flow: FlowRecord) -> Entry:
    return derive(flow, EGRESS6 if len(flow.pod) == 16 else EGRESS4, Timeouts())


def make(space: Namespace, *entries: Entry) -> None:
    def work() -> None:
        with Inserter() as inserter:
            for _ in inserter.insert(entries):
                pass
            assert inserter.made.created == len(entries), inserter.made

    space.inside(work)


def heard(watch: RemappedWatch, patience: float = PATIENCE) -> Changes:
    select.select([watch], [], [], patience)
    return watch.turn()


@pytest.mark.parametrize(
    "flow",
    [
        CHANGED,
        change(CHANGED, protocol=UDP),
        change(CHANGED, protocol=ICMP, to=0),
        FlowRecord(TCP, 2, 1, POD6, OUT6, 40001, 443, 1025),
        FlowRecord(ICMPV6, 2, 1, POD6, OUT6, 40001, 0, 1025),
    ],
    ids=["tcp", "udp", "icmp", "tcp over ipv6", "icmpv6"],
)
def test_a_changed_port_is_heard_when_it_begins_and_ends(
    space: Namespace, watch: RemappedWatch, flow: FlowRecord
) -> None:
    make(space, entry(flow))
    began = heard(watch)
    # The kernel calls an entry assured when it is made, and says nothing of it when it ends.
    assert [change(record, assured=True) for record in began.added] == [flow] and not began.gone

    space.run("conntrack -D -m 131073" + (" -f ipv6" if len(flow.pod) == 16 else ""))
    ended = heard(watch)

    assert [record.key for record in ended.gone] == [flow.key]
    assert len(watch.own) == 0


def test_the_kernel_wakes_nobody_for_flows_that_kept_their_port(
    space: Namespace, watch: RemappedWatch
) -> None:
    local = change(entry(CHANGED), mark=2 << 16 | LOCAL | 1, zone=None)
    not_ours = change(entry(CHANGED), mark=0, zone=None, from_=5)
    make(space, entry(KEPT), local, change(not_ours, port=9))

    assert select.select([watch], [], [], BRIEF)[0] == []


def test_what_began_before_is_listed(space: Namespace) -> None:
    make(space, entry(KEPT), entry(CHANGED))
    with space.inside(RemappedWatch) as watch:
        assert watch.overrun

        listed = space.inside(lambda: list(watch.resync()))

        assert [record for changes in listed for record in changes.added] == [CHANGED]
        assert not watch.overrun


def test_what_ended_unheard_is_found_by_listing(space: Namespace, watch: RemappedWatch) -> None:
    watch.own.began(CHANGED)

    *_, last = space.inside(lambda: list(watch.resync()))

    assert last == Changes(gone=(CHANGED,))
