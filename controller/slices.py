"""The slices that list a policy's pods, at most 100 each, moved as little as possible. Pure.

A pod stays in the slice that has it; new ones fill the room that is left, so one pod more is one
slice written, however many the policy matches. Slices that have become too sparse are packed anew.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from outgate.api.core import Pod
from outgate.api.endpoint import (
    ENDPOINTS_MAX,
    POLICY_LABEL,
    EgressClusterEndpointSlice,
    EgressEndpointSlice,
    Endpoint,
)
from outgate.api.match import pod_addresses
from outgate.api.meta import API_VERSION, LABEL_MAX, NAME_MAX, ObjectMeta, OwnerReference
from outgate.api.policy import AnyPolicy, EgressClusterPolicy
from outgate.controller.addresses import text_of

AnySlice = EgressEndpointSlice | EgressClusterEndpointSlice
_Key = tuple[str, str]  # namespace and name of a pod


def endpoint_of(pod: Pod) -> Endpoint:
    """The pod as it is listed."""
    addresses = pod_addresses(pod)
    return Endpoint(
        ns=pod.metadata.namespace,
        pod=pod.metadata.name,
        node=pod.spec.node_name,
        ipv4=tuple(text_of(address) for address in addresses if address.version == 4),
        ipv6=tuple(text_of(address) for address in addresses if address.version == 6),
    )


def owner_of(policy: AnyPolicy) -> OwnerReference:
    """The reference that lets a slice go with its policy."""
    return OwnerReference(
        api_version=API_VERSION,
        kind=type(policy).__name__,
        name=policy.metadata.name,
        uid=policy.metadata.uid,
        controller=True,
    )


def slices_of(
    policy: AnyPolicy, *, endpoints: Sequence[Endpoint], existing: Iterable[AnySlice]
) -> tuple[AnySlice, ...]:
    """The policy's slices as they should be, by name; those of `existing` not in it are to go.

    `existing` are the policy's own (`owns`).
    """
    wanted: dict[_Key, Endpoint] = {(e.ns, e.pod): e for e in endpoints}
    kept: dict[str, list[_Key]] = {}
    placed: set[_Key] = set()
    for slice_ in sorted(existing, key=lambda slice_: slice_.metadata.name):
        keys = [(e.ns, e.pod) for e in slice_.endpoints]
        kept[slice_.metadata.name] = here = [
            key for key in dict.fromkeys(keys) if key in wanted and key not in placed
        ]
        placed.update(here)
    needed = -(-len(wanted) // ENDPOINTS_MAX)
    if len([keys for keys in kept.values() if keys]) > 2 * needed:
        kept = {name: [] for name in sorted(kept)[:needed]}
        placed = set()

    new = sorted(wanted.keys() - placed)
    changed: dict[str, list[_Key]] = {}
    for name, keys in kept.items():
        room = ENDPOINTS_MAX - len(keys)
        changed[name], new = keys + new[:room], new[room:]
    number = 0
    while new:
        name = slice_name(policy, number)
        number += 1
        if name not in changed:
            changed[name], new = new[:ENDPOINTS_MAX], new[ENDPOINTS_MAX:]
    return tuple(
        _slice(policy, name, tuple(wanted[key] for key in sorted(keys)))
        for name, keys in sorted(changed.items())
        if keys
    )


def slice_name(policy: AnyPolicy, number: int) -> str:
    """Name of the policy's slice of that number; the policy's uid keeps namesakes apart."""
    suffix = f"-{_digest(policy.metadata.uid or policy.metadata.name)}-{number}"
    return policy.metadata.name[: NAME_MAX - len(suffix)].rstrip("-.") + suffix


def label_value(name: str) -> str:
    """A policy's name as a label value: itself if it fits, else cut, with a hash of the whole."""
    if len(name) <= LABEL_MAX:
        return name
    digest = _digest(name)
    return f"{name[: LABEL_MAX - len(digest) - 1].rstrip('-.')}-{digest}"


def owner_uid(slice_: AnySlice) -> str:
    """uid of the policy that a slice belongs to; "" if it is none of ours."""
    kinds = ("EgressPolicy", "EgressClusterPolicy")
    return next(
        (
            owner.uid
            for owner in slice_.metadata.owner_references
            if owner.api_version == API_VERSION and owner.kind in kinds and owner.controller
        ),
        "",
    )


def same(slice_: AnySlice, wanted: AnySlice) -> bool:
    """Whether what we own of a slice is as wanted."""
    label = wanted.metadata.labels[POLICY_LABEL]
    return (
        slice_.endpoints == wanted.endpoints
        and slice_.metadata.labels.get(POLICY_LABEL) == label
        and owner_uid(slice_) == owner_uid(wanted)
    )


def settled(
    policy: AnyPolicy, *, endpoints: Sequence[Endpoint], existing: Sequence[AnySlice]
) -> bool:
    """Whether the slices list just these endpoints: the same answer as `slices_of`, sooner."""
    return (
        len(existing) == -(-len(endpoints) // ENDPOINTS_MAX)
        and sum(len(slice_.endpoints) for slice_ in existing) == len(endpoints)
        and {(e.ns, e.pod): e for slice_ in existing for e in slice_.endpoints}
        == {(e.ns, e.pod): e for e in endpoints}
        and all(
            slice_.metadata.labels.get(POLICY_LABEL) == label_value(policy.metadata.name)
            for slice_ in existing
        )
    )


def by_owner(slices: Iterable[AnySlice]) -> dict[str, list[AnySlice]]:
    """The slices of each policy's uid; foreign ones are left out."""
    found: dict[str, list[AnySlice]] = {}
    for slice_ in slices:
        uid = owner_uid(slice_)
        if uid:
            found.setdefault(uid, []).append(slice_)
    return found


def _slice(policy: AnyPolicy, name: str, endpoints: tuple[Endpoint, ...]) -> AnySlice:
    meta = ObjectMeta(
        name=name,
        namespace=policy.metadata.namespace,
        labels={POLICY_LABEL: label_value(policy.metadata.name)},
        owner_references=(owner_of(policy),),
    )
    if isinstance(policy, EgressClusterPolicy):
        return EgressClusterEndpointSlice(metadata=meta, endpoints=endpoints)
    return EgressEndpointSlice(metadata=meta, endpoints=endpoints)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=4).hexdigest()
