"""What has to be done to turn one ruleset into another, so that no packet ever meets half of it.

The kernel makes a transaction's rules and hashed elements visible at once, but interval sets only
when all else is done, and a packet that is just on its way through the old rules finds no element
that has gone. So what is new comes before the rules that lead to it, and what is no longer used
goes after them: three transactions, of which the middle one is the change. Interval sets never
change: one with other elements has another name.

Within each, whatever is named exists before it is named and goes after its last mention.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace as changed
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

_FAMILIES: tuple[Family, ...] = ("inet", "netdev")


def replace(desired: Ruleset) -> Transaction:
    """All of it anew, where there is nothing of ours, or nothing that is worth keeping."""
    before: list[Operation] = []
    operations: list[Operation] = []
    for family in _FAMILIES:
        before += (EnsureTable(family), DeleteTable(family))
        if family in desired.tables:
            table = desired.tables[family]
            intervals = {name: set_ for name, set_ in table.sets.items() if set_.type.interval}
            before.append(AddTable(Table(family, sets=intervals)))
            rest = {name: set_ for name, set_ in table.sets.items() if name not in intervals}
            operations.append(AddTable(changed(table, sets=rest)))
    return Transaction(tuple(operations), before=tuple(before))


def diff(observed: Ruleset | None, desired: Ruleset) -> Transaction:
    """The changes from observed to desired; none if they are equal.

    Element by element where the declarations are the same. Where a set has another type, or a chain
    another hook, under the same name, all but the interval sets is made anew: then a packet may be
    lost. So what is declared otherwise in another version should be named otherwise too.
    """
    if observed is None:
        return replace(desired)
    total = Transaction(())
    for family in _FAMILIES:
        have, want = observed.tables.get(family), desired.tables.get(family)
        if have == want:
            continue
        if want is None:
            part = Transaction((EnsureTable(family), DeleteTable(family)))
        elif have is None:
            part = Transaction((EnsureTable(family), DeleteTable(family), AddTable(want)))
        elif _declared_otherwise(have, want):
            part = _rebuild(have, want)
        else:
            part = _change(have, want)
        total = Transaction(
            total.operations + part.operations,
            before=total.before + part.before,
            after=total.after + part.after,
        )
    return total


def _declared_otherwise(have: Table, want: Table) -> bool:
    return any(
        name in have.sets and have.sets[name].type != wanted.type
        for name, wanted in want.sets.items()
    ) or any(
        name in have.chains and have.chains[name].hook != wanted.hook
        for name, wanted in want.chains.items()
    )


def _change(have: Table, want: Table) -> Transaction:
    family = want.family
    new_sets = _missing(want.sets, have.sets)
    new_chains = [name for name in _missing(want.chains, have.chains) if not _base(want, name)]
    before = [
        *(AddCounter(family, name) for name in sorted(want.counters - have.counters)),
        *_made(want, sets=new_sets, chains=new_chains),
    ]
    after: list[Operation] = []
    gone = [name for name in _missing(have.chains, want.chains) if not _base(have, name)]
    after += (
        DeleteElements(family, name, have.sets[name].type, frozenset(have.sets[name].elements))
        for name in _missing(have.sets, want.sets)
        if have.sets[name].type.data == "verdict" and have.sets[name].elements
    )
    after += (FlushChain(family, name) for name in gone)
    after += (DeleteChain(family, name) for name in gone)
    after += (DeleteSet(family, name) for name in _missing(have.sets, want.sets))
    after += (DeleteCounter(family, name) for name in sorted(have.counters - want.counters))
    operations = (*_change_chains(have, want), *_change_elements(have, want))
    return Transaction(operations, before=tuple(before), after=tuple(after))


def _rebuild(have: Table, want: Table) -> Transaction:
    """Everything anew but the interval sets that stay, which would be empty for a moment."""
    family = want.family
    kept = {
        name
        for name, set_ in want.sets.items()
        if set_.type.interval and have.sets.get(name) == set_
    }
    intervals = [
        name for name, set_ in sorted(want.sets.items()) if set_.type.interval and name not in kept
    ]
    clash = [name for name in intervals if name in have.sets]
    early = [name for name in intervals if name not in clash]
    before = _made(want, sets=early, chains=())
    operations: list[Operation] = []
    operations += (FlushChain(family, name) for name in sorted(have.chains))
    operations += (
        DeleteElements(family, name, set_.type, frozenset(set_.elements))
        for name, set_ in sorted(have.sets.items())
        if set_.type.data == "verdict" and set_.elements
    )
    operations += (DeleteChain(family, name) for name in sorted(have.chains))
    operations += (DeleteSet(family, name) for name in sorted(have.sets) if name not in kept)
    operations += (AddCounter(family, name) for name in sorted(want.counters - have.counters))
    later = [name for name in sorted(want.sets) if name not in kept and name not in early]
    operations += _made(want, sets=later, chains=sorted(want.chains))
    after = (DeleteCounter(family, name) for name in sorted(have.counters - want.counters))
    return Transaction(tuple(operations), before=tuple(before), after=tuple(after))


def _made(table: Table, *, sets: Iterable[str], chains: Iterable[str]) -> Iterator[Operation]:
    """These sets and chains, whole: chains before the elements that lead to them."""
    family = table.family
    for name in sets:
        yield AddSet(family, name, table.sets[name].type)
    for name in chains:
        yield AddChain(family, name, table.chains[name].hook)
    for name in chains:
        if table.chains[name].rules:
            yield AddRules(family, name, table.chains[name].rules)
    for name in sets:
        if table.sets[name].elements:
            yield AddElements(family, name, table.sets[name].type, table.sets[name].elements)


def _change_chains(have: Table, want: Table) -> Iterator[Operation]:
    """Base chains come and go at the moment of the change, the others' rules change there."""
    family = want.family
    changed_ = [
        name
        for name, chain in sorted(want.chains.items())
        if name in have.chains and have.chains[name] != chain
    ]
    gone = [name for name in _missing(have.chains, want.chains) if _base(have, name)]
    new = [name for name in _missing(want.chains, have.chains) if _base(want, name)]
    for name in (*changed_, *gone):
        yield FlushChain(family, name)
    for name in gone:
        yield DeleteChain(family, name)
    for name in new:
        yield AddChain(family, name, want.chains[name].hook)
    for name in (*changed_, *new):
        if want.chains[name].rules:
            yield AddRules(family, name, want.chains[name].rules)


def _change_elements(have: Table, want: Table) -> Iterator[Operation]:
    """Of the sets that stay. All deletions first: the data of an element may be changed within one
    transaction.
    """
    shared = [
        (name, old, want.sets[name])
        for name, old in sorted(have.sets.items())
        if name in want.sets and want.sets[name].elements is not old.elements
    ]
    for name, old, new in shared:
        gone = frozenset(
            key
            for key, data in old.elements.items()
            if key not in new.elements or new.elements[key] != data
        )
        if gone:
            yield DeleteElements(want.family, name, old.type, gone)
    for name, old, new in shared:
        added = {
            key: data
            for key, data in new.elements.items()
            if key not in old.elements or old.elements[key] != data
        }
        if added:
            yield AddElements(want.family, name, new.type, added)


def _base(table: Table, name: str) -> bool:
    return table.chains[name].hook is not None


def _missing(names: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    return sorted(names.keys() - others.keys())
