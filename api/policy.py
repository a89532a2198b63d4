"""EgressPolicy and EgressClusterPolicy: which pods leave by which gateway, with which address."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from outgate.api.meta import NAME_MAX, Condition, LabelSelector, ObjectMeta, Wire

SUBNETS_MAX = 256

Cidr = Annotated[str, Meta(min_length=2, max_length=49)]
"""A CIDR, or a single address, of either family."""

Subnets = Annotated[tuple[Cidr, ...], Meta(max_length=SUBNETS_MAX)]


class AppliedTo(Wire, frozen=True, kw_only=True):
    """Which pods of the policy's namespace: exactly one of the three fields."""

    pod_selector: LabelSelector | None = None
    pod_selectors: Annotated[tuple[LabelSelector, ...], Meta(max_length=16)] = ()
    pod_subnet: Subnets = ()


class ClusterAppliedTo(AppliedTo, frozen=True, kw_only=True):
    """Which pods of which namespaces; no namespaceSelector means every namespace."""

    namespace_selector: LabelSelector | None = None


class EgressIP(Wire, frozen=True, kw_only=True):
    """Which address the outside sees.

    A fixed address of the pool (`ipv4`, `ipv6`), the gateway node's own (`useNodeIP`), or one
    that the controller picks: the gateway's default (`default`), the next one that is not in use
    (`rr`), or any (`random`). A pick is kept until the policy changes.
    """

    ipv4: Annotated[str, Meta(max_length=15)] = ""
    ipv6: Annotated[str, Meta(max_length=45)] = ""
    use_node_ip: bool = msgspec.field(default=False, name="useNodeIP")
    allocator_policy: Literal["default", "rr", "random"] = "default"


class _PolicySpec(Wire, frozen=True, kw_only=True):
    egress_gateway_name: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    egress_ip: EgressIP = msgspec.field(default=EgressIP(), name="egressIP")
    dest_subnet: Subnets = ()
    exclude_subnet: Subnets = ()


class EgressPolicySpec(_PolicySpec, frozen=True, kw_only=True):
    """A team's wish for pods of its own namespace."""

    applied_to: AppliedTo


class EgressClusterPolicySpec(_PolicySpec, frozen=True, kw_only=True):
    """An administrator's wish for pods of any namespace."""

    applied_to: ClusterAppliedTo


class AssignedEIP(Wire, frozen=True, kw_only=True):
    """The addresses given to a policy; with `useNodeIP` those of the node that serves it."""

    ipv4: Annotated[str, Meta(max_length=15)] = ""
    ipv6: Annotated[str, Meta(max_length=45)] = ""


class PolicyStatus(Wire, frozen=True, kw_only=True):
    """What the controller made of a policy. `gateway` is the one in force, defaults resolved."""

    gateway: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    eip: AssignedEIP = AssignedEIP()
    use_node_ip: bool = msgspec.field(default=False, name="useNodeIP")
    node: Annotated[str, Meta(max_length=2 * NAME_MAX + 1)] = ""
    matched_pods: int = 0
    observed_generation: int = 0
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()


class EgressPolicy(Wire, frozen=True, kw_only=True):
    """Pods of this namespace leave by a gateway, with a stable address."""

    metadata: ObjectMeta
    spec: EgressPolicySpec
    status: PolicyStatus = PolicyStatus()


class EgressClusterPolicy(Wire, frozen=True, kw_only=True):
    """Pods of the selected namespaces leave by a gateway, with a stable address."""

    metadata: ObjectMeta
    spec: EgressClusterPolicySpec
    status: PolicyStatus = PolicyStatus()


AnyPolicy = EgressPolicy | EgressClusterPolicy
