"""Which policies each local pod is under: pure, and remembered from one pass to the next.

The answer is that of asking `outgate.api.match` for every pod and every policy; the memory only
saves asking again about objects that have not changed. API objects are immutable, so "the same
object" is "unchanged".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from outgate.api.core import Namespace, Pod
from outgate.api.match import applies, in_scope, matchable
from outgate.api.meta import LabelSelector
from outgate.api.policy import AnyPolicy, EgressClusterPolicy

Key = tuple[str, str]
"""(namespace, name), as stores have it; the namespace is empty for cluster-scoped kinds."""

_Label = tuple[str, str]


def policy_key(policy: AnyPolicy) -> str:
    """`namespace/name`, or `name` of a cluster policy: unique, since names have no slash."""
    meta = policy.metadata
    if isinstance(policy, EgressClusterPolicy):
        return meta.name
    return f"{meta.namespace}/{meta.name}"


class PodMatcher:
    """Matches pods to policies, again and again, as both change little by little.

    Policies are found by namespace and by one label that their selector demands, so a pod is
    compared with those that may be about it, not with all of the cluster's. about: which pods
    policies are about at all.
    """

    def __init__(self, *, about: Callable[[Pod], bool] = matchable) -> None:
        self._about = about
        self._policies: dict[str, AnyPolicy] = {}
        self._sources: tuple[Mapping[Key, AnyPolicy], ...] = ()
        self._by_label: dict[tuple[str, _Label], dict[str, AnyPolicy]] = {}
        self._by_scope: dict[str, dict[str, AnyPolicy]] = {}
        self._pods: dict[Key, tuple[Pod, Namespace | None, frozenset[str]]] = {}

    def match(
        self,
        pods: Mapping[Key, Pod],
        namespaces: Mapping[Key, Namespace],
        *policies: Mapping[Key, AnyPolicy],
    ) -> Mapping[Key, frozenset[str]]:
        """Keys of the policies that each pod is under; pods under none are left out."""
        changed = self._take(policies)
        again = [self._policies[name] for name in changed if name in self._policies]
        # Equal sets become one object, so that comparing them costs nothing from here on.
        same: dict[frozenset[str], frozenset[str]] = {}
        matched: dict[Key, tuple[Pod, Namespace | None, frozenset[str]]] = {}
        for key, pod in pods.items():
            namespace = namespaces.get(("", pod.metadata.namespace))
            known = self._pods.get(key)
            if known is None or known[0] is not pod or known[1] is not namespace:
                under = frozenset(self._under(pod, namespace, self._candidates(pod)))
            else:
                under = known[2]
                is_under = frozenset(self._under(pod, namespace, again))
                if is_under != changed & under:
                    under = (under - changed) | is_under
            matched[key] = (pod, namespace, same.setdefault(under, under))
        self._pods = matched
        return {key: under for key, (_, _, under) in matched.items() if under}

    def policy(self, key: str) -> AnyPolicy:
        """A policy of the last `match` by its key."""
        return self._policies[key]

    def _take(self, sources: tuple[Mapping[Key, AnyPolicy], ...]) -> frozenset[str]:
        if len(sources) == len(self._sources) and all(
            new is old for new, old in zip(sources, self._sources, strict=True)
        ):
            return frozenset()
        self._sources = sources
        now = {policy_key(policy): policy for source in sources for policy in source.values()}
        before = self._policies
        changed = frozenset(
            [key for key, policy in now.items() if before.get(key) is not policy]
            + [key for key in before if key not in now]
        )
        for key in changed:
            if key in before:
                for place in self._places(before[key]):
                    place.pop(key, None)
            if key in now:
                for place in self._places(now[key]):
                    place[key] = now[key]
        self._policies = now
        return changed

    def _places(self, policy: AnyPolicy) -> Iterator[dict[str, AnyPolicy]]:
        """Where to look the policy up: one label of each selector, or the scope as a whole."""
        scope = "" if isinstance(policy, EgressClusterPolicy) else policy.metadata.namespace
        applied_to = policy.spec.applied_to
        selectors = [*applied_to.pod_selectors]
        if applied_to.pod_selector is not None:
            selectors.append(applied_to.pod_selector)
        labels = [_demanded(selector) for selector in selectors]
        if applied_to.pod_subnet or None in labels:
            yield self._by_scope.setdefault(scope, {})
        for label in labels:
            if label is not None:
                yield self._by_label.setdefault((scope, label), {})

    def _candidates(self, pod: Pod) -> Iterable[AnyPolicy]:
        found: dict[str, AnyPolicy] = {}
        for scope in ("", pod.metadata.namespace):
            found.update(self._by_scope.get(scope, {}))
            for label in pod.metadata.labels.items():
                found.update(self._by_label.get((scope, label), {}))
        return found.values()

    def _under(
        self, pod: Pod, namespace: Namespace | None, candidates: Iterable[AnyPolicy]
    ) -> Iterator[str]:
        if not self._about(pod):
            return
        for policy in candidates:
            if in_scope(policy, pod.metadata.namespace, namespace=namespace) and applies(
                policy.spec.applied_to, pod
            ):
                yield policy_key(policy)


def _demanded(selector: LabelSelector) -> _Label | None:
    # Any would be right; this one is always the same.
    return max(selector.match_labels.items(), default=None)
