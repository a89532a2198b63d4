"""What the outside ought to see of a pod, worked out from the users' policies alone.

Independent of the product on purpose: Kubernetes itself evaluates the selectors (through kubectl),
and the only thing taken from a policy's status is the address that it was promised.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from outgate.lab.api import Json
from outgate.lab.lab import Lab
from outgate.lab.topology import Address, Network

DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy: the pods (namespace, name) it is about, where to, and with which addresses."""

    rank: tuple[int, str, str]
    pods: frozenset[tuple[str, str]]
    destinations: tuple[Network, ...]
    exclusions: tuple[Network, ...]
    addresses: frozenset[Address]

    def length(self, destination: Address) -> int | None:
        """The longest prefix of this policy that covers a destination; None if none does."""
        if any(destination in net for net in self.exclusions):
            return None
        if not self.destinations:
            return 0
        return max((net.prefixlen for net in self.destinations if destination in net), default=None)


def rules(lab: Lab) -> tuple[Rule, ...]:
    """The policies of the cluster, as they are now."""
    policies = lab.kubectl_json("get", "egresspolicies,egressclusterpolicies", "--all-namespaces")
    return tuple(_rule(lab, policy) for policy in policies["items"])


def expected(
    rules: Iterable[Rule], pod: tuple[str, str], destination: Address, otherwise: Address
) -> str:
    """The source address that the outside should see, or `dropped`.

    `otherwise` is what a pod under no policy is seen as: its node's address.
    """
    matching = [
        (-length, rule.rank, rule)
        for rule in rules
        if pod in rule.pods and (length := rule.length(destination)) is not None
    ]
    if not matching:
        return str(otherwise)
    rule = min(matching, key=lambda match: match[:2])[2]
    return next((str(a) for a in rule.addresses if a.version == destination.version), DROPPED)


def _rule(lab: Lab, policy: Json) -> Rule:
    metadata, spec = policy["metadata"], policy["spec"]
    namespace = metadata.get("namespace")
    applied = spec["appliedTo"]
    if namespace:
        namespaces = [namespace]
    else:
        chosen = lab.kubectl_json(
            "get", "namespaces", *_selector(applied.get("namespaceSelector", {}))
        )
        namespaces = [item["metadata"]["name"] for item in chosen["items"]]
    eip = policy.get("status", {}).get("eip", {})
    return Rule(
        rank=(0 if namespace else 1, metadata["creationTimestamp"], metadata["name"]),
        pods=frozenset(pod for each in namespaces for pod in _pods(lab, each, applied)),
        destinations=_networks(spec.get("destSubnet", ())),
        exclusions=_networks(spec.get("excludeSubnet", ())),
        addresses=frozenset(ip_address(text) for text in eip.values() if text),
    )


def _pods(lab: Lab, namespace: str, applied: Json) -> Iterable[tuple[str, str]]:
    selectors = applied.get("podSelectors") or [applied.get("podSelector", {})]
    subnets = _networks(applied.get("podSubnet", ()))
    for selector in selectors:
        found = lab.kubectl_json("get", "pods", "--namespace", namespace, *_selector(selector))
        for pod in found["items"]:
            ips = [ip_address(ip["ip"]) for ip in pod["status"].get("podIPs", ())]
            if not subnets or any(ip in net for ip in ips for net in subnets):
                yield namespace, pod["metadata"]["name"]


def _selector(selector: Json) -> tuple[str, ...]:
    terms = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for term in selector.get("matchExpressions", ()):
        key, values = term["key"], ",".join(term.get("values", ()))
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[term["operator"]]
        )
    return ("--selector", ",".join(terms)) if terms else ()


def _networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)
