"""From a source node's entry to the new holder's."""

from ipaddress import ip_address

import msgspec
import pytest

from outgate.vip.flows.ctnetlink import HEADER, creation, parse
from outgate.vip.flows.entries import (
    LOCAL,
    Seen,
    Timeouts,
    bound_elsewhere,
    bound_here,
    derive,
    record_of,
)
from outgate.vip.flows.records import ICMP, ICMPV6, TCP, UDP
from outgate.vip.flows.zone import zone

POD, SERVICE, OUT = (
    ip_address(text).packed for text in ("10.244.1.5", "10.96.0.9", "203.0.113.10")
)
POD6, OUT6 = (ip_address(text).packed for text in ("2001:db8:a1::5", "2001:db8:f::10"))
EGRESS, EGRESS6 = ip_address("198.51.100.7"), ip_address("2001:db8:e::7")
TUNNELLED = Seen(
    protocol=TCP,
    source=POD,
    destination=OUT,
    from_=40000,
    to=443,
    reply_source=OUT,
    reply_to=443,
    bound=POD,
    port=40000,
    mark=7 << 16 | LOCAL | 3,
    live=True,
    assured=True,
)
change = msgspec.structs.replace


def test_a_flow_gets_the_address_and_keeps_its_port_at_the_new_holder() -> None:
    record = record_of(TUNNELLED, index=9)

    assert record is not None
    entry = derive(record, EGRESS, Timeouts())
    assert (entry.source, entry.destination, entry.from_, entry.to) == (POD, OUT, 40000, 443)
    assert (entry.bound, entry.port) == (EGRESS.packed, 40000)
    assert (entry.really, entry.really_to) == (OUT, 443)
    assert (entry.mark, entry.zone) == (7 << 16 | 9, zone(7))
    assert entry.timeout == 432_000


def test_of_a_service_the_holder_sees_what_is_behind_it() -> None:
    seen = change(TUNNELLED, destination=SERVICE, to=80, port=40001)

    record = record_of(seen, index=9)

    assert record is not None
    # 40001: two flows of the pod to the service met behind it.
    assert (record.destination, record.to, record.from_, record.port) == (OUT, 443, 40001, 40001)


def test_a_flow_that_was_bound_here_tells_the_port_that_the_outside_sees() -> None:
    seen = change(TUNNELLED, bound=EGRESS.packed, port=1025)

    record = record_of(seen, index=9)

    assert record is not None and record.remapped
    assert (record.from_, record.port) == (40000, 1025)


@pytest.mark.parametrize(
    "seen",
    [
        change(TUNNELLED, live=False),
        change(TUNNELLED, mark=7 << 16 | 3),
        change(TUNNELLED, mark=0),
        change(TUNNELLED, mark=LOCAL | 3),
    ],
    ids=["not established", "of another node", "unmarked", "without an egress id"],
)
def test_what_is_not_worth_it_is_not_told(seen: Seen) -> None:
    assert record_of(seen, index=9) is None


def test_an_own_pods_flow_is_bound_anew_and_keeps_its_mark() -> None:
    seen = change(TUNNELLED, destination=SERVICE, to=80)

    here = bound_here(seen, EGRESS, Timeouts(), port=1025)
    back = bound_elsewhere(change(seen, bound=EGRESS.packed, port=1025), Timeouts())

    assert (here.bound, here.port, here.zone, here.mark) == (EGRESS.packed, 1025, None, seen.mark)
    assert (here.destination, here.to, here.really, here.really_to) == (SERVICE, 80, OUT, 443)
    assert (back.bound, back.port, back.really, back.really_to) == (POD, 40000, OUT, 443)


@pytest.mark.parametrize(
    ("protocol", "assured", "seconds"),
    [
        (TCP, True, 432_000),
        (UDP, True, 120),
        (UDP, False, 30),
        (ICMP, False, 30),
        (ICMPV6, True, 9),
    ],
)
def test_an_entry_lives_as_long_as_the_kernel_would_have_it(
    protocol: int, assured: bool, seconds: int
) -> None:
    assert Timeouts(icmpv6=9).of(protocol, assured=assured) == seconds


@pytest.mark.parametrize(
    ("protocol", "pod", "out"),
    [
        (TCP, POD, OUT),
        (UDP, POD, OUT),
        (ICMP, POD, OUT),
        (TCP, POD6, OUT6),
        (ICMPV6, POD6, OUT6),
    ],
)
@pytest.mark.parametrize("local", [True, False], ids=["in no zone", "in its id's zone"])
def test_what_is_written_is_read_alike(protocol: int, pod: bytes, out: bytes, local: bool) -> None:
    to = 0 if protocol in (ICMP, ICMPV6) else 443
    seen = change(
        TUNNELLED,
        protocol=protocol,
        source=pod,
        destination=out,
        bound=pod,
        reply_source=out,
        to=to,
        reply_to=to,
    )
    record = record_of(seen, index=9)
    assert record is not None
    given = EGRESS6 if len(pod) == 16 else EGRESS
    entry = bound_here(seen, given, Timeouts()) if local else derive(record, given, Timeouts())

    # The message leaves the replies' side to the kernel.
    expected = change(seen, mark=entry.mark)
    assert parse(creation(entry)[HEADER.size :]) == expected


def test_a_zone_is_the_egress_id() -> None:
    assert zone(2) == 2
