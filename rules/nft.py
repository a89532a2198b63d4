"""nft's language: transactions as its text, and its JSON listings as tables.

Text goes in because people read it (golden files, `nft -f`); JSON comes out because it parses
without a grammar.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from outgate.rules.model import (
    TABLE,
    UNREAD,
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
    Field,
    FlushChain,
    Hook,
    Key,
    Operation,
    Set,
    SetType,
    Table,
    Transaction,
    Value,
)

_CHUNK = 500
"""Elements in one command: they have to fit into one netlink message (64 KiB).

Where a longer list is cut into several, nft 1.0.6 writes the element at each cut twice, and the
second time with the bytes of its mark or class swapped: a silent hole in the map.
"""

_VERBS: Mapping[type[Operation], str] = {
    AddCounter: "add counter",
    DeleteCounter: "delete counter",
    DeleteSet: "delete set",
    FlushChain: "flush chain",
    DeleteChain: "delete chain",
}

Json = Mapping[str, Any]


def render(transaction: Transaction) -> str:
    """All of it, to be read: the same for equal transactions."""
    return "".join(map(script, transaction.stages))


def script(operations: Iterable[Operation]) -> str:
    """One stage of a transaction as a script for `nft -f`."""
    return "".join(f"{line}\n" for operation in operations for line in _command(operation))


def _command(operation: Operation) -> Iterator[str]:
    match operation:
        case AddTable(table):
            yield from _table(table)
        case AddRules(family, name, rules):
            yield from (f"add rule {family} {TABLE} {name} {rule}" for rule in rules)
        case AddElements(family, name, type_, elements):
            yield from _chunks("add", family, name, _elements(type_, elements))
        case DeleteElements(family, name, type_, keys):
            items = [_key(type_.key, key) for key in sorted(keys)]
            yield from _chunks("delete", family, name, items)
        case _:
            yield _line(operation)


def _line(operation: Operation) -> str:
    """The operations that take one line: what they do, and the name of what."""
    match operation:
        case EnsureTable(family):
            verb, rest = "add table", ""
        case DeleteTable(family):
            verb, rest = "delete table", ""
        case AddSet(family, name, type_):
            verb, rest = f"add {_sort(type_)}", f" {name} {{ {'; '.join(_type(type_))}; }}"
        case AddChain(family, name, hook):
            verb, rest = "add chain", f" {name}{f' {{ {_hook(hook)} }}' if hook else ''}"
        case AddCounter(family, name) | FlushChain(family, name) | DeleteCounter(family, name):
            verb, rest = _VERBS[type(operation)], f" {name}"
        case DeleteChain(family, name) | DeleteSet(family, name):
            verb, rest = _VERBS[type(operation)], f" {name}"
        case _:
            raise TypeError(f"more than a line: {operation}")
    return f"{verb} {family} {TABLE}{rest}"


def _chunks(verb: str, family: Family, name: str, items: list[str]) -> Iterator[str]:
    for start in range(0, len(items), _CHUNK):
        yield f"{verb} element {family} {TABLE} {name} {{"
        yield from _listed(items[start : start + _CHUNK])
        yield "}"
        if start + _CHUNK < len(items):
            yield f"add table {family} {TABLE}"  # or nft would join the chunks again


def _table(table: Table) -> Iterator[str]:
    yield f"table {table.family} {TABLE} {{"
    for name in sorted(table.counters):
        yield f"\tcounter {name} {{"
        yield "\t}"
    for name in sorted(table.sets):
        yield from _set(name, table.sets[name])
    for name in sorted(table.chains):
        chain = table.chains[name]
        yield f"\tchain {name} {{"
        if chain.hook:
            yield f"\t\t{_hook(chain.hook)}"
        yield from (f"\t\t{rule}" for rule in chain.rules)
        yield "\t}"
    yield "}"
    for name in sorted(table.sets):
        if _is_big(table.sets[name]):
            set_ = table.sets[name]
            yield from _command(AddElements(table.family, name, set_.type, set_.elements))


def _is_big(set_: Set) -> bool:
    return len(set_.elements) > _CHUNK


def _set(name: str, set_: Set) -> Iterator[str]:
    yield f"\t{_sort(set_.type)} {name} {{"
    yield from (f"\t\t{line}" for line in _type(set_.type))
    if set_.elements and not _is_big(set_):
        yield "\t\telements = {"
        yield from (f"\t\t{line}" for line in _listed(_elements(set_.type, set_.elements)))
        yield "\t\t}"
    yield "\t}"


def _sort(type_: SetType) -> str:
    return "map" if type_.data else "set"


def _type(type_: SetType) -> Iterator[str]:
    if type_.data == "zone":
        yield "typeof meta mark : ct original zone"  # nft has no name for its type
    else:
        yield f"type {' . '.join(type_.key)}{f' : {type_.data}' if type_.data else ''}"
    if type_.interval:
        yield "flags interval"
    if type_.size:
        yield f"size {type_.size}"
    if type_.counted:
        yield "counter"


def _hook(hook: Hook) -> str:
    device = f' device "{hook.device}"' if hook.device else ""
    return f"type {hook.type} hook {hook.hook}{device} priority {hook.priority}; policy accept;"


def _listed(items: Iterable[str]) -> Iterator[str]:
    return (f"\t{item}," for item in items)


def _elements(type_: SetType, elements: Elements) -> list[str]:
    if type_.data is None:
        return [_key(type_.key, key) for key in sorted(elements)]
    return [
        f"{_key(type_.key, key)} : {_value(type_.data, data)}"
        for key, data in sorted(elements.items())
        if data is not None
    ]


def _key(fields: tuple[Field, ...], key: Key) -> str:
    if len(fields) == 1:
        return _WORDS[fields[0]](key[0])
    return " . ".join([_WORDS[field](value) for field, value in zip(fields, key, strict=True)])


def _value(field: Field, value: Value) -> str:
    return _WORDS[field](value)


def _ipv4(value: Value) -> str:
    if isinstance(value, tuple):
        # A span of one address too: nft 1.0.6 does not find it again to delete, if it is written
        # as an address.
        return f"{_ipv4(value[0])}-{_ipv4(value[1])}"
    return str(IPv4Address(value))


def _ipv6(value: Value) -> str:
    if isinstance(value, tuple):
        return f"{_ipv6(value[0])}-{_ipv6(value[1])}"
    return str(IPv6Address(value))


def _mark(value: Value) -> str:
    return f"{value:#010x}"


_WORDS: Mapping[Field, Callable[[Value], str]] = {
    "ipv4_addr": _ipv4,
    "ipv6_addr": _ipv6,
    "mark": _mark,
    "nf_proto": str,
    "ether_addr": str,
    "zone": str,
    "verdict": str,
}


def parse(listing: Json) -> Mapping[Family, Table]:
    """Our tables as `nft -j list ruleset` (or `list table`) shows them; others are left out.

    The rules of every chain are UNREAD: nft prints them in its own words.
    """
    tables: dict[Family, tuple[dict[str, Chain], dict[str, Set], set[str]]] = {}
    for item in listing["nftables"]:
        ((kind, found),) = item.items()
        if kind == "table" and found["name"] == TABLE and found["family"] in ("inet", "netdev"):
            tables[found["family"]] = ({}, {}, set())
        if found.get("table") != TABLE or found["family"] not in tables:
            continue
        chains, sets, counters = tables[found["family"]]
        match kind:
            case "chain":
                chains[found["name"]] = Chain(UNREAD, _parsed_hook(found))
            case "set" | "map":
                sets[found["name"]] = _parsed_set(found)
            case "counter":
                counters.add(found["name"])
    return {
        family: Table(family, chains=chains, sets=sets, counters=frozenset(counters))
        for family, (chains, sets, counters) in tables.items()
    }


def _parsed_hook(chain: Json) -> Hook | None:
    if "hook" not in chain:
        return None
    return Hook(chain["type"], chain["hook"], chain["prio"], chain.get("dev", ""))


def _parsed_set(found: Json) -> Set:
    key, data = found["type"], found.get("map")
    type_ = SetType(
        key=tuple(key) if isinstance(key, list) else (key,),
        data="zone" if data == "integer" else data,
        interval="interval" in found.get("flags", ()),
        size=found.get("size", 0),
    )
    elements: dict[Key, Value | None] = {}
    for element in found.get("elem", ()):
        left, right = element if type_.data else (element, None)
        if isinstance(left, dict) and "elem" in left:
            left = left["elem"]["val"]  # somebody gave it a comment or a counter
        fields = left["concat"] if len(type_.key) > 1 else [left]
        parsed = tuple(
            _parsed(field, value, interval=type_.interval)
            for field, value in zip(type_.key, fields, strict=True)
        )
        elements[parsed] = _parsed(type_.data, right, interval=False) if type_.data else None
    return Set(type_, elements)


def _parsed(field: Field, value: Any, *, interval: bool) -> Value:
    match field:
        case "ipv4_addr" | "ipv6_addr":
            first, last = _parsed_span(value)
            return (first, last) if interval else first
        case "mark" | "zone":
            return int(value)
        case "verdict":
            ((verb, argument),) = value.items()
            return f"{verb} {argument['target']}" if argument else str(verb)
        case _:
            return str(value)


def _parsed_span(value: Any) -> tuple[int, int]:
    match value:
        case {"range": [first, last]}:
            return _number(first), _number(last)
        case {"prefix": {"addr": address, "len": length}}:
            first = _number(address)
            bits = 128 if ":" in address else 32
            return first, first | ((1 << (bits - length)) - 1)
        case _:
            return _number(value), _number(value)


def _number(address: str) -> int:
    return int(IPv6Address(address) if ":" in address else IPv4Address(address))
