"""A flow as bytes: what goes in comes out, in few bytes, and nonsense is refused."""

from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.flows.errors import NotOurs
from outgate.vip.flows.messages import BATCH, Complete, Flows, Want, from_bytes, to_bytes
from outgate.vip.flows.records import ICMP, ICMPV6, TCP, UDP, FlowRecord, decode, encode
from outgate.vip.flows.remapped import Changes

numbers = st.integers(0, 0xFFFF)


@st.composite
def records(draw: st.DrawFn) -> FlowRecord:
    size, protocols = draw(st.sampled_from([(4, (TCP, UDP, ICMP)), (16, (TCP, UDP, ICMPV6))]))
    from_ = draw(numbers)
    return FlowRecord(
        protocol=draw(st.sampled_from(protocols)),
        egress_id=draw(numbers),
        index=draw(numbers),
        pod=draw(st.binary(min_size=size, max_size=size)),
        destination=draw(st.binary(min_size=size, max_size=size)),
        from_=from_,
        to=draw(numbers),
        port=draw(st.one_of(st.just(from_), numbers)),
        assured=draw(st.booleans()),
    )


batches = st.lists(records(), max_size=20).map(tuple)
ids = st.frozensets(numbers, max_size=20)


@given(batches)
def test_records_come_out_as_they_went_in(some: tuple[FlowRecord, ...]) -> None:
    assert tuple(decode(encode(some))) == some


def test_a_flow_over_ipv4_takes_17_bytes() -> None:
    record = FlowRecord(TCP, 2, 1, bytes(4), bytes(4), 40000, 443, 40000)

    assert len(encode([record])) == 17


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_refused(data: bytes) -> None:
    try:
        found = tuple(decode(data))
    except NotOurs:
        return
    assert all(len(record.pod) == len(record.destination) for record in found)


@given(
    st.one_of(
        st.builds(Want, ids),
        st.builds(Flows, batches),
        st.builds(Complete, ids, st.integers(0, 1 << 31)),
    )
)
def test_messages_come_out_as_they_went_in(message: Want | Flows | Complete) -> None:
    (payload,) = to_bytes(message)

    assert from_bytes(payload) == message


@given(added=batches, gone=batches, fresh=st.booleans())
def test_changes_come_in_an_order_that_means_the_same(
    added: tuple[FlowRecord, ...], gone: tuple[FlowRecord, ...], fresh: bool
) -> None:
    told = [from_bytes(payload) for payload in to_bytes(Changes(added, gone, fresh))]

    expected = [Changes(fresh=True)] if fresh else []
    expected += [Changes(gone=gone)] if gone else []
    expected += [Changes(added=added)] if added else []
    assert told == expected


def test_many_changes_are_cut_into_batches() -> None:
    record = FlowRecord(TCP, 2, 1, bytes(4), bytes(4), 40000, 443, 40001)

    payloads = to_bytes(Changes(added=(record,) * (BATCH + 1)))

    assert len(payloads) == 2


@given(st.binary(max_size=60))
def test_any_payload_is_a_message_or_refused(payload: bytes) -> None:
    try:
        message = from_bytes(payload)
    except NotOurs:
        return
    assert isinstance(message, Want | Flows | Complete | Changes)
