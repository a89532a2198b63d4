"""What a source node says to the holder of its egress ids: its flows, read and packed in steps."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from outgate.vip.flows.entries import Seen, record_of
from outgate.vip.flows.messages import Complete, Flows, to_bytes
from outgate.vip.flows.records import FlowRecord

Known = Mapping[int, set[int]]
"""By egress id, the flows that its holder has been told of, as hashes of their keys: of a flow
each, 64 bits, for some seconds."""


def telling(
    seen: Iterable[Iterable[Seen]], egress_ids: Collection[int], *, index: int, known: Known
) -> Iterator[bytes]:
    """Payloads for `Streams.send`: the flows that are worth it, then that these were all.

    seen: `table.FlowTable.local` of the ids, which reads on as far as payloads are asked for. b""
    where there was nothing to tell of some of them, so that others have their turn.
    """
    count = 0
    for some in seen:
        records = unknown(some, index=index, known=known)
        count += len(records)
        if records:
            yield from to_bytes(Flows(records))
        else:
            yield b""
    yield from to_bytes(Complete(frozenset(egress_ids), count))


def unknown(some: Iterable[Seen], *, index: int, known: Known) -> tuple[FlowRecord, ...]:
    """What the holder is to be told of these, and was not; from now on it counts as told."""
    records: list[FlowRecord] = []
    for seen in some:
        record = record_of(seen, index=index)
        if record is None or (told := known.get(record.egress_id)) is None:
            continue
        name = hash(record.key)
        if name not in told:
            told.add(name)
            records.append(record)
    return tuple(records)
