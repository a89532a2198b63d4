"""The rules of policies: a view for each address that one has, and which of them a pod is under.

Keeps what it worked out; what it gives depends on what it is asked alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import is_

from outgate.agent.egress import EgressTable, Entry, spread
from outgate.agent.matching import policy_key
from outgate.api.core import Pod
from outgate.api.match import networks
from outgate.api.policy import AnyPolicy, EgressClusterPolicy
from outgate.api.view import PolicyView


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy's views, by their keys in a NodeView, and what each leads to, in the same order.

    fault: why there are none.
    """

    entries: tuple[Entry, ...]
    views: Mapping[str, PolicyView]
    fault: str = ""

    def key_for(self, pod: Pod, version: int) -> str:
        """The key of the view that a pod is under, in one family; there must be one."""
        keys = tuple(self.views)
        if len(keys) == 1:
            return keys[0]
        meta = pod.metadata
        name = f"{meta.namespace}/{meta.name}/{meta.uid}"
        return keys[spread(name, self.entries, version)]


class PolicyRules:
    """Makes rules of policies, again and again, as both they and their addresses change little."""

    def __init__(self) -> None:
        # By policy, for as long as it and its entries are the same; and those that are known to be
        # still right, for as long as no policy and no gateway has changed at all.
        self._known: dict[str, tuple[AnyPolicy, Rules]] = {}
        self._fresh: dict[str, Rules] = {}
        self._source: tuple[object, ...] = ()
        self._made: Mapping[str, Rules] = {}

    def of(
        self,
        keys: frozenset[str],
        *,
        policy: Callable[[str], AnyPolicy],
        egress: EgressTable,
        source: tuple[object, ...],
    ) -> Mapping[str, Rules]:
        """The rules of these policies: the same object as before if nothing has changed.

        source: as long as these are the same objects, and `egress` is, nothing has.
        """
        source = (*source, egress)
        if not _same(source, self._source):
            self._source, self._fresh = source, {}
        elif keys == self._made.keys():
            return self._made
        made: dict[str, Rules] = {}
        for key in keys:
            if key not in self._fresh:
                self._fresh[key] = self._rules(policy(key), key, egress)
            made[key] = self._fresh[key]
        self._known = {key: known for key, known in self._known.items() if key in made}
        self._made = made
        return made

    def _rules(self, policy: AnyPolicy, key: str, egress: EgressTable) -> Rules:
        entries = egress.of(policy.status)
        known = self._known.get(key)
        if known is None or known[0] != policy or known[1].entries != entries:
            known = self._known[key] = policy, rules_of(policy, entries)
        return known[1]


def rules_of(policy: AnyPolicy, entries: tuple[Entry, ...]) -> Rules:
    """The policy's rules; or why it has none: destinations that can't be read are not "all"."""
    key = policy_key(policy)
    spec = policy.spec
    destinations = frozenset(networks(spec.dest_subnet))
    if spec.dest_subnet and not destinations:
        what = f"{type(policy).__name__} {key}"
        return Rules(entries, {}, f"{what}: destSubnet has no network that can be read")
    exclusions = frozenset(networks(spec.exclude_subnet))
    cluster = isinstance(policy, EgressClusterPolicy)
    rank = (1 if cluster else 0, policy.metadata.creation_timestamp, key)
    views = {
        f"{key}#{number}" if number > 1 else key: PolicyView(
            key, rank, destinations, exclusions, entry.egress4, entry.egress6
        )
        for number, entry in enumerate(entries, start=1)
    }
    return Rules(entries, views)


@dataclass(frozen=True, slots=True)
class _Part:
    """Of a set of policies, the keys of those with one view, sorted; and those with several."""

    single: tuple[str, ...]
    several: tuple[Rules, ...]


ByFamily = Mapping[int, tuple[str, ...]]
"""View keys, sorted, for IPv4 and for IPv6."""


class Lists:
    """The view keys that each pod is under, again and again, as both pods and rules change little.

    Equal lists of one round are one object.
    """

    def __init__(self) -> None:
        self._rules: Mapping[str, Rules] = {}
        self._unchanged = False
        self._parts: dict[frozenset[str], _Part] = {}
        self._parts_before: dict[frozenset[str], _Part] = {}
        self._pods: dict[tuple[str, str], tuple[Pod, _Part, ByFamily]] = {}
        self._pods_before: dict[tuple[str, str], tuple[Pod, _Part, ByFamily]] = {}
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}

    def begin(self, rules: Mapping[str, Rules]) -> None:
        """A new round, under these rules; what the last one did not ask for is forgotten."""
        self._unchanged = rules is self._rules
        self._rules, self._same = rules, {}
        # Made anew each round: its keys are then the very sets of the round, quick to compare.
        self._parts, self._parts_before = {}, self._parts
        self._pods, self._pods_before = {}, self._pods

    def of(self, under: frozenset[str], pod: Pod) -> ByFamily:
        """What a pod under these policies is under."""
        part = self._parts.get(under)
        if part is None:
            part = self._parts[under] = self._part(under)
        if not part.several:
            return {4: part.single, 6: part.single}
        key = pod.metadata.namespace, pod.metadata.name
        known = self._pods_before.get(key)
        if known is None or known[0] is not pod or known[1] is not part:
            known = pod, part, {version: _list(part, pod, version) for version in (4, 6)}
        self._pods[key] = known
        return {version: self._same.setdefault(keys, keys) for version, keys in known[2].items()}

    def _part(self, under: frozenset[str]) -> _Part:
        known = self._parts_before.get(under)
        if known and self._unchanged:
            return known
        rules = [self._rules[key] for key in sorted(under)]
        single = tuple(key for each in rules if len(each.views) == 1 for key in each.views)
        several = tuple(each for each in rules if len(each.views) > 1)
        # The same object as before, so that it is seen at once that nothing has changed.
        if known and known.single == single and _same(known.several, several):
            return known
        return _Part(single, several)


def _list(part: _Part, pod: Pod, version: int) -> tuple[str, ...]:
    chosen = (rules.key_for(pod, version) for rules in part.several)
    return tuple(sorted((*part.single, *chosen)))


def _same(new: tuple[object, ...], old: tuple[object, ...]) -> bool:
    return len(new) == len(old) and all(map(is_, new, old))
