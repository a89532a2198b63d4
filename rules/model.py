"""What Outgate keeps in nftables, as values: chains, sets, counters, and changes to them.

Rules are nft text and are never compared with what the kernel prints back; elements are values
and are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TABLE = "outgate"
"""The name of our tables, `inet` and `netdev`: nothing in them is anybody else's."""

Family = Literal["inet", "netdev"]

Field = Literal["mark", "ipv4_addr", "ipv6_addr", "nf_proto", "ether_addr", "zone", "verdict"]
Span = tuple[int, int]
Value = int | str | Span
"""One field of an element: marks, conntrack zones and addresses are ints, an address field of an
interval set is a span of them (both ends included); the rest is nft text (`goto via_1`)."""

Key = tuple[Value, ...]
Elements = Mapping[Key, Value | None]
"""Key → data; the data of a plain set's elements is None."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain is called: type, hook and numeric priority; `device` for netdev."""

    type: Literal["filter", "nat", "route"]
    hook: str
    priority: int
    device: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order, one line each; without a hook it is reached by jumps only."""

    rules: tuple[str, ...]
    hook: Hook | None = None


UNREAD = ("unread",)
"""The rules of a chain seen in the kernel that are not known to be ours: equal to no plan's."""


@dataclass(frozen=True, slots=True)
class SetType:
    """A declaration: the fields of the key, the data field of a map, and whether keys are spans.

    Spans are only used in concatenations: a plain interval set, wherever it is on the host, makes
    each transaction of nft 1.0.6 read all of it. size: the most elements it can have, which lets
    the kernel choose its fastest hash; 0: any number. counted: each element counts what it matched
    (nft 1.0.6 does not list this, so it makes no difference between two types).
    """

    key: tuple[Field, ...]
    data: Field | None = None
    interval: bool = False
    size: int = 0
    counted: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Set:
    """A set (or map) and what is in it."""

    type: SetType
    elements: Elements = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of ours, whole. `counters` are the names of the named counters."""

    family: Family
    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)
    counters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Our tables; a family that is not in it has none."""

    tables: Mapping[Family, Table]


@dataclass(frozen=True, slots=True)
class EnsureTable:
    """Make the table if it is missing; so that deleting it can't fail."""

    family: Family


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Remove the table with everything in it."""

    family: Family


@dataclass(frozen=True, slots=True)
class AddTable:
    """Make the table with this content."""

    table: Table


@dataclass(frozen=True, slots=True)
class AddCounter:
    """Make a named counter."""

    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class DeleteCounter:
    """Remove a named counter that no rule uses."""

    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class AddSet:
    """Make an empty set or map."""

    family: Family
    name: str
    type: SetType


@dataclass(frozen=True, slots=True)
class DeleteSet:
    """Remove a set that no rule uses."""

    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class AddChain:
    """Make an empty chain."""

    family: Family
    name: str
    hook: Hook | None


@dataclass(frozen=True, slots=True)
class FlushChain:
    """Remove all rules of a chain."""

    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class AddRules:
    """Append rules to a chain."""

    family: Family
    chain: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteChain:
    """Remove an empty chain that nothing jumps to."""

    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class AddElements:
    """Put elements into a set or map."""

    family: Family
    set: str
    type: SetType
    elements: Elements


@dataclass(frozen=True, slots=True)
class DeleteElements:
    """Take the elements with these keys out of a set or map."""

    family: Family
    set: str
    type: SetType
    keys: frozenset[Key]


Operation = (
    EnsureTable
    | DeleteTable
    | AddTable
    | AddCounter
    | DeleteCounter
    | AddSet
    | DeleteSet
    | AddChain
    | FlushChain
    | AddRules
    | DeleteChain
    | AddElements
    | DeleteElements
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Operations that the kernel does all, in this order, or not at all.

    before, after: transactions of their own: what the rules will lead to, and what they no longer
    do.
    """

    operations: tuple[Operation, ...]
    before: tuple[Operation, ...] = ()
    after: tuple[Operation, ...] = ()

    @property
    def stages(self) -> tuple[tuple[Operation, ...], ...]:
        """Those that there are, in their order."""
        return tuple(stage for stage in (self.before, self.operations, self.after) if stage)

    @property
    def size(self) -> int:
        """How many operations there are in all."""
        return sum(map(len, self.stages))

    def __bool__(self) -> bool:
        return bool(self.stages)
