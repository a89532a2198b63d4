"""An nftables in memory, which refuses what the kernel refuses."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from outgate.rules.errors import KernelRefused
from outgate.rules.model import (
    AddChain,
    AddCounter,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    Chain,
    DeleteChain,
    DeleteCounter,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    Elements,
    EnsureTable,
    Family,
    FlushChain,
    Hook,
    Key,
    Operation,
    Ruleset,
    Set,
    Table,
    Transaction,
)

_CHAIN = re.compile(r"\b(?:goto|jump) (\w+)")
_SET = re.compile(r"@(\w+)")
_COUNTER = re.compile(r"\bcounter name (\w+)")


class FakeKernel:
    """The methods of the edge, on a dictionary.

    A netdev chain needs its device: `devices` are those that exist.
    """

    def __init__(self, *, devices: Iterable[str] = ("outgate",)) -> None:
        self._devices = set(devices)
        self._tables: dict[Family, Table] = {}

    def touched(self) -> bool:
        """See `Kernel`. It does not know who writes to it, so: perhaps."""
        return True

    def observe(self) -> Ruleset | None:
        """See `Kernel`."""
        return Ruleset(dict(self._tables)) if "inet" in self._tables else None

    def apply(self, transaction: Transaction) -> None:
        """See `Kernel`."""
        for stage in transaction.stages:
            drafts = {family: _Draft.of(table) for family, table in self._tables.items()}
            for operation in stage:
                self._perform(drafts, operation)
            self._tables = {family: draft.table(family) for family, draft in drafts.items()}

    def delete_device(self, name: str) -> None:
        """Take a network device away, and the chains on it, as the kernel does."""
        self._devices.discard(name)
        for family, table in self._tables.items():
            chains = {
                chain: value
                for chain, value in table.chains.items()
                if value.hook is None or value.hook.device != name
            }
            self._tables[family] = replace(table, chains=chains)

    def add_device(self, name: str) -> None:
        """A network device that chains may be on."""
        self._devices.add(name)

    def _perform(self, drafts: dict[Family, "_Draft"], operation: Operation) -> None:
        match operation:
            case EnsureTable(family):
                drafts.setdefault(family, _Draft())
            case DeleteTable(family):
                _need(family in drafts, f"table {family}", "delete", "does not exist")
                del drafts[family]
            case AddTable(table):
                draft = drafts.setdefault(table.family, _Draft())
                for part in _content(table):
                    self._need_device(part)
                    draft.perform(part)
            case _:
                family = operation.family
                _need(family in drafts, f"table {family}", "find", "does not exist")
                self._need_device(operation)
                drafts[family].perform(operation)

    def _need_device(self, operation: Operation) -> None:
        match operation:
            case AddChain(_, name, Hook(device=device)) if device:
                _need(device in self._devices, f"chain {name}", "add", f"no device {device}")
            case _:
                pass


def _content(table: Table) -> Iterable[Operation]:
    """The operations that a table's block stands for, in an order that works."""
    family = table.family
    yield from (AddCounter(family, name) for name in table.counters)
    yield from (AddSet(family, name, set_.type) for name, set_ in table.sets.items())
    yield from (AddChain(family, name, chain.hook) for name, chain in table.chains.items())
    yield from (AddRules(family, name, chain.rules) for name, chain in table.chains.items())
    yield from (
        AddElements(family, name, set_.type, set_.elements) for name, set_ in table.sets.items()
    )


@dataclass(slots=True)
class _Draft:
    """A table while a transaction works on it."""

    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, table: Table) -> "_Draft":
        return cls(dict(table.chains), dict(table.sets), set(table.counters))

    def table(self, family: Family) -> Table:
        return Table(family, chains=self.chains, sets=self.sets, counters=frozenset(self.counters))

    def perform(self, operation: Operation) -> None:
        match operation:
            case AddCounter(_, name):
                self.counters.add(name)
            case AddSet(_, name, type_):
                existing = self.sets.setdefault(name, Set(type_))
                _need(existing.type == type_, f"set {name}", "add", "exists with another type")
            case AddChain(_, name, hook):
                chain = self.chains.setdefault(name, Chain((), hook))
                _need(chain.hook == hook, f"chain {name}", "add", "exists with another hook")
            case FlushChain(_, name):
                self._need_known(name, self.chains, "flush", "chain")
                self.chains[name] = replace(self.chains[name], rules=())
            case AddRules(_, name, rules):
                self._need_known(name, self.chains, "add rules to", "chain")
                for rule in rules:
                    self._check_mentions(rule, f"chain {name}")
                chain = self.chains[name]
                self.chains[name] = replace(chain, rules=chain.rules + rules)
            case AddElements(_, name, _, elements):
                self._need_known(name, self.sets, "add elements to", "set")
                self._add_elements(name, elements)
            case DeleteElements(_, name, _, keys):
                self._need_known(name, self.sets, "delete elements of", "set")
                self._delete_elements(name, keys)
            case _:
                self._delete(operation)

    def _delete(self, operation: Operation) -> None:
        match operation:
            case DeleteCounter(_, name):
                self._need_known(name, self.counters, "delete", "counter")
                self._need_unused(_COUNTER, name, "counter")
                self.counters.discard(name)
            case DeleteSet(_, name):
                self._need_known(name, self.sets, "delete", "set")
                self._need_unused(_SET, name, "set")
                del self.sets[name]
            case DeleteChain(_, name):
                self._need_known(name, self.chains, "delete", "chain")
                self._need_unused(_CHAIN, name, "chain")
                _need(not self.chains[name].rules, f"chain {name}", "delete", "is not empty")
                del self.chains[name]
            case _:
                raise TypeError(f"no operation inside a table: {operation}")

    def _add_elements(self, name: str, elements: Elements) -> None:
        set_ = self.sets[name]
        object_ = f"set {name}"
        for key, data in elements.items():
            if set_.type.data == "verdict":
                self._check_mentions(str(data), object_)
            _need(set_.elements.get(key, data) == data, object_, "add", f"{key} has other data")
        merged = {**set_.elements, **elements}
        _need(not set_.type.size or len(merged) <= set_.type.size, object_, "add", "is full")
        if set_.type.interval:
            _check_disjoint(merged, object_)
        self.sets[name] = Set(set_.type, merged)

    def _delete_elements(self, name: str, keys: Iterable[Key]) -> None:
        left = dict(self.sets[name].elements)
        for key in keys:
            _need(key in left, f"set {name}", "delete", f"{key} does not exist")
            del left[key]
        self.sets[name] = replace(self.sets[name], elements=left)

    def _need_known(self, name: str, names: Iterable[str], op: str, sort: str) -> None:
        _need(name in set(names), f"{sort} {name}", op, "does not exist")

    def _need_unused(self, pattern: re.Pattern[str], name: str, sort: str) -> None:
        texts = [rule for chain in self.chains.values() for rule in chain.rules]
        texts += [
            str(data)
            for set_ in self.sets.values()
            if set_.type.data == "verdict"
            for data in set_.elements.values()
        ]
        used = any(name in pattern.findall(text) for text in texts)
        _need(not used, f"{sort} {name}", "delete", "is in use")

    def _check_mentions(self, text: str, object_: str) -> None:
        """Each chain, set and counter that a rule or a verdict names has to be there."""
        names: Mapping[re.Pattern[str], Iterable[str]] = {
            _CHAIN: self.chains,
            _SET: self.sets,
            _COUNTER: self.counters,
        }
        for pattern, known in names.items():
            for name in pattern.findall(text):
                _need(name in known, object_, "add", f"{name} does not exist")


def _need(condition: bool, object_: str, op: str, message: str) -> None:
    if not condition:
        raise KernelRefused(object_, op, message)


def _check_disjoint(elements: Elements, object_: str) -> None:
    """All sets of ours with spans have one, as the last field."""
    spans = sorted((key[:-1], key[-1]) for key in elements)
    for (prefix, span), (other, following) in pairwise(spans):
        if prefix == other and isinstance(span, tuple) and isinstance(following, tuple):
            _need(span[1] < following[0], object_, "add", f"{span} overlaps {following}")
