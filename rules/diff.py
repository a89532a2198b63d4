"""What has to be done to turn one ruleset into another, as one transaction.

Within it, whatever is named exists before it is named and goes after its last mention: chains
come before the map elements that lead to them, elements go before their chains.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from outgate.rules.model import (
    AddChain,
    AddCounter,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteCounter,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    EnsureTable,
    Family,
    FlushChain,
    Operation,
    Ruleset,
    Table,
    Transaction,
)


def replace(desired: Ruleset) -> Transaction:
    """All of it anew, whatever was there before; packets see the old content or the new."""
    operations: list[Operation] = []
    for family in ("inet", "netdev"):
        operations += _replace(family, desired.tables.get(family))
    return Transaction(tuple(operations))


def diff(observed: Ruleset | None, desired: Ruleset) -> Transaction:
    """The changes from observed to desired; none if they are equal.

    Element by element where the declarations are the same. A table whose set types or hooks
    differ (the agent was upgraded) is replaced whole.
    """
    if observed is None:
        return replace(desired)
    operations: list[Operation] = []
    for family in ("inet", "netdev"):
        have, want = observed.tables.get(family), desired.tables.get(family)
        if have == want:
            continue
        if have is None or want is None or _declared_otherwise(have, want):
            operations += _replace(family, want)
        else:
            operations += _change(have, want)
    return Transaction(tuple(operations))


def _replace(family: Family, table: Table | None) -> tuple[Operation, ...]:
    emptied = (EnsureTable(family), DeleteTable(family))
    return emptied if table is None else (*emptied, AddTable(table))


def _declared_otherwise(have: Table, want: Table) -> bool:
    return any(
        name in have.sets and have.sets[name].type != wanted.type
        for name, wanted in want.sets.items()
    ) or any(
        name in have.chains and have.chains[name].hook != wanted.hook
        for name, wanted in want.chains.items()
    )


def _change(have: Table, want: Table) -> Iterator[Operation]:
    family = want.family
    for name in sorted(want.counters - have.counters):
        yield AddCounter(family, name)
    for name in _missing(want.sets, have.sets):
        yield AddSet(family, name, want.sets[name].type)
    for name in _missing(want.chains, have.chains):
        yield AddChain(family, name, want.chains[name].hook)
    yield from _change_rules(have, want)
    yield from _change_elements(have, want)
    for name in _missing(have.chains, want.chains):
        yield DeleteChain(family, name)
    for name in _missing(have.sets, want.sets):
        yield DeleteSet(family, name)
    for name in sorted(have.counters - want.counters):
        yield DeleteCounter(family, name)


def _change_rules(have: Table, want: Table) -> Iterator[Operation]:
    # Flushed before any is filled: a chain that goes may mention another one that goes.
    for name in sorted(have.chains):
        if have.chains[name] != want.chains.get(name):
            yield FlushChain(want.family, name)
    for name in sorted(want.chains):
        chain = want.chains[name]
        if chain != have.chains.get(name) and chain.rules:
            yield AddRules(want.family, name, chain.rules)


def _change_elements(have: Table, want: Table) -> Iterator[Operation]:
    """All deletions first: a span may be cut, or its data changed, within one transaction."""
    for name in sorted(have.sets):
        old = have.sets[name]
        new = want.sets[name].elements if name in want.sets else {}
        if new is old.elements:
            continue
        gone = frozenset(
            key for key, data in old.elements.items() if key not in new or new[key] != data
        )
        if gone:
            yield DeleteElements(want.family, name, old.type, gone)
    for name in sorted(want.sets):
        set_ = want.sets[name]
        before = have.sets[name].elements if name in have.sets else {}
        if before is set_.elements:
            continue
        added = {
            key: data
            for key, data in set_.elements.items()
            if key not in before or before[key] != data
        }
        if added:
            yield AddElements(want.family, name, set_.type, added)


def _missing(names: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    return sorted(names.keys() - others.keys())
