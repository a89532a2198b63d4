"""Classes as chains and maps: where each destination of a pod's policies leads. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from outgate.api.view import NodeView, PolicyView
from outgate.rules.classes import Keys
from outgate.rules.intervals import ADDRESSES, PROTOCOLS, named_by_content
from outgate.rules.model import Chain, Elements, Set, SetType
from outgate.rules.numbers import UNCOUNTED
from outgate.rules.resolve import Egress, Version, resolve
from outgate.rules.source import class_chain
from outgate.rules.words import LOCAL


@dataclass(frozen=True, slots=True)
class ClassPart:
    """A class in one family: its chain, and its maps by name.

    keys, policies: what it was made of, in the order of the list, each policy with its number.
    """

    keys: Keys
    policies: tuple[tuple[PolicyView, int], ...]
    chain: Chain
    maps: Mapping[str, Set]


def class_parts(
    view: NodeView,
    classes: Mapping[Keys, int],
    numbers: Mapping[str, int],
    before: Mapping[tuple[Version, int], ClassPart],
    *,
    same: bool,
) -> Mapping[tuple[Version, int], ClassPart]:
    """Each class of the view's pods, by family and id.

    before: those of the last plan, taken again where they are right. same: no policy has changed
    since, so that a class of the same list hasn't either.
    """
    used: set[tuple[Version, Keys]] = {
        (4 if pod.version == 4 else 6, keys) for pod, keys in view.pods.items() if keys
    }
    parts: dict[tuple[Version, int], ClassPart] = {}
    for version, keys in sorted(used):
        name = version, classes[keys]
        known = before.get(name)
        if known and same and known.keys == keys:
            parts[name] = known
            continue
        policies = tuple(
            (policy, numbers.get(policy.key, UNCOUNTED))
            for policy in map(view.policies.__getitem__, keys)
        )
        alike = known is not None and known.policies == policies
        parts[name] = known if known and alike else _part(keys, policies, name)
    return parts


def _part(
    keys: Keys, policies: tuple[tuple[PolicyView, int], ...], name: tuple[Version, int]
) -> ClassPart:
    """Single addresses in a hash: there may be thousands, and a change is a microsecond there."""
    version, id_ = name
    number_of = {policy.key: number for policy, number in policies}
    found = resolve((policy for policy, _ in policies), version=version)

    def mark(egress: Egress) -> int:
        return egress.id << 16 | LOCAL | number_of[egress.policy]

    address = ADDRESSES[version]
    maps: dict[str, Set] = {}
    single = spans = ""
    if found.singles:
        single = f"single{version}_{id_:x}"
        singles: Elements = {(at,): mark(egress) for at, egress in found.singles.items()}
        maps[single] = Set(SetType((address,), "mark"), singles)
    if found.ranges:
        type_ = SetType(("nf_proto", address), "mark", interval=True)
        ranges: Elements = {
            (PROTOCOLS[version], (each.first, each.last)): mark(each.egress)
            for each in found.ranges
        }
        spans = named_by_content(f"spans{version}", ranges)
        maps[spans] = Set(type_, ranges)
    return ClassPart(keys, policies, class_chain(version, single=single, spans=spans), maps)
