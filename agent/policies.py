"""The rules of policies: a view for each address that one has, and which of them a pod is under.

Keeps what it worked out; what it gives depends on what it is asked alone.
"""

from collections.abc import Callable, Iterable, Mapping
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

    def of(
        self,
        keys: Iterable[str],
        *,
        policy: Callable[[str], AnyPolicy],
        egress: EgressTable,
        source: tuple[object, ...],
    ) -> Mapping[str, Rules]:
        """The rules of these policies. source: as long as these are the same objects, and `egress`
        is, no policy and no address has changed."""
        source = (*source, egress)
        if not _same(source, self._source):
            self._source, self._fresh = source, {}
        made: dict[str, Rules] = {}
        for key in keys:
            if key not in self._fresh:
                self._fresh[key] = self._rules(policy(key), key, egress)
            made[key] = self._fresh[key]
        self._known = {key: known for key, known in self._known.items() if key in made}
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


class Lists:
    """For each set of policies, the lists of view keys that pods under it have."""

    def __init__(self, rules: Mapping[str, Rules]) -> None:
        self._rules = rules
        self._parts: dict[frozenset[str], tuple[tuple[str, ...], tuple[Rules, ...]]] = {}
        self._lists: dict[tuple[frozenset[str], tuple[str, ...]], tuple[str, ...]] = {}

    def of(self, under: frozenset[str], pod: Pod, version: int) -> tuple[str, ...]:
        """The keys of the views that a pod under these policies is under, sorted."""
        single, several = self._split(under)
        chosen = tuple(rules.key_for(pod, version) for rules in several)
        if (under, chosen) not in self._lists:
            self._lists[under, chosen] = tuple(sorted((*single, *chosen)))
        return self._lists[under, chosen]

    def _split(self, under: frozenset[str]) -> tuple[tuple[str, ...], tuple[Rules, ...]]:
        if under not in self._parts:
            rules = [self._rules[key] for key in sorted(under)]
            single = tuple(key for each in rules if len(each.views) == 1 for key in each.views)
            self._parts[under] = single, tuple(each for each in rules if len(each.views) > 1)
        return self._parts[under]


def _same(new: tuple[object, ...], old: tuple[object, ...]) -> bool:
    return len(new) == len(old) and all(map(is_, new, old))
