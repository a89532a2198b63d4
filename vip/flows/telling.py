"""What a source node says to the holder of its egress ids: its flows, read and packed in steps."""

from collections.abc import Collection, Iterable, Iterator

from outgate.vip.flows.entries import Seen, record_of
from outgate.vip.flows.messages import Complete, Flows, to_bytes
from outgate.vip.flows.records import FlowRecord


def telling(
    seen: Iterable[Iterable[Seen]], egress_ids: Collection[int], *, index: int
) -> Iterator[bytes]:
    """Payloads for `Streams.send`: the flows that are worth it, then that these were all.

    seen: `table.local_flows` of the ids, which reads on as far as payloads are asked for.
    """
    count = 0
    for some in seen:
        records = _records(some, index)
        if records:
            count += len(records)
            yield from to_bytes(Flows(records))
    yield from to_bytes(Complete(frozenset(egress_ids), count))


def _records(seen: Iterable[Seen], index: int) -> tuple[FlowRecord, ...]:
    return tuple(record for one in seen if (record := record_of(one, index=index)) is not None)
