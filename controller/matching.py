"""Which pods each policy matches, found by index: no policy looks at every pod. Pure."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from outgate.api.core import Namespace, Pod
from outgate.api.match import applies, in_scope, matchable, networks, pod_addresses
from outgate.api.meta import LabelSelector
from outgate.api.policy import AnyPolicy, EgressClusterPolicy

EVERYWHERE = ""
"""In place of a namespace: pods of all of them."""

_Numbered = tuple[int, int]  # an address and the place of its pod in the sorted list


class PodIndex:
    """The matchable pods, by namespace, label and address; an immutable view of one snapshot."""

    def __init__(self, pods: Iterable[Pod], namespaces: Mapping[tuple[str, str], Namespace]):
        self._namespaces = namespaces
        self._pods = sorted(
            (pod for pod in pods if matchable(pod)),
            key=lambda pod: (pod.metadata.namespace, pod.metadata.name),
        )
        self._within: dict[str, list[int]] = defaultdict(list)
        self._labelled: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        self._numbered: dict[tuple[str, int], list[_Numbered]] | None = None
        for place, pod in enumerate(self._pods):
            namespace = pod.metadata.namespace
            self._within[namespace].append(place)
            for label, value in pod.metadata.labels.items():
                self._labelled[namespace, label, value].append(place)
                self._labelled[EVERYWHERE, label, value].append(place)

    def matched(self, policy: AnyPolicy) -> tuple[Pod, ...]:
        """The pods that the policy matches, by namespace and name."""
        wide = isinstance(policy, EgressClusterPolicy)
        home = EVERYWHERE if wide else policy.metadata.namespace
        applied_to = policy.spec.applied_to
        selectors = applied_to.pod_selectors
        if applied_to.pod_selector is not None:
            selectors = (applied_to.pod_selector, *selectors)
        places: set[int] = set()
        for selector in selectors:
            places.update(self._selected(home, selector))
        if applied_to.pod_subnet:
            places.update(self._inside(home, applied_to.pod_subnet))
        found = (self._pods[place] for place in sorted(places))
        if not wide:
            return tuple(pod for pod in found if applies(applied_to, pod))
        scope = self._scope(policy)
        return tuple(
            pod for pod in found if pod.metadata.namespace in scope and applies(applied_to, pod)
        )

    def _scope(self, policy: AnyPolicy) -> frozenset[str]:
        return frozenset(
            name
            for name in self._within
            if in_scope(policy, name, namespace=self._namespaces.get(("", name)))
        )

    def _selected(self, home: str, selector: LabelSelector) -> Sequence[int]:
        """A superset of the pods that the selector takes: those of its rarest label."""
        lists = [
            self._labelled.get((home, label, value), ())
            for label, value in selector.match_labels.items()
        ]
        if lists:
            return min(lists, key=len)
        return range(len(self._pods)) if home == EVERYWHERE else self._within.get(home, ())

    def _inside(self, home: str, subnets: tuple[str, ...]) -> Iterable[int]:
        if self._numbered is None:
            self._numbered = self._by_address()
        for network in networks(subnets):
            numbered = self._numbered.get((home, network.version), [])
            first = bisect_left(numbered, int(network.network_address), key=itemgetter(0))
            last = bisect_right(numbered, int(network.broadcast_address), key=itemgetter(0))
            yield from (place for _, place in numbered[first:last])

    def _by_address(self) -> dict[tuple[str, int], list[_Numbered]]:
        numbered: dict[tuple[str, int], list[_Numbered]] = defaultdict(list)
        for place, pod in enumerate(self._pods):
            for address in pod_addresses(pod):
                for home in (pod.metadata.namespace, EVERYWHERE):
                    numbered[home, address.version].append((int(address), place))
        for entries in numbered.values():
            entries.sort()
        return numbered
