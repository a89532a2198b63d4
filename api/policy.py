"""EgressPolicy and EgressClusterPolicy: which pods leave by which gateway, with which address."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from outgate.api.cel import Rule, checked, choose, no_duplicates, say
from outgate.api.meta import (
    ADDRESS_LENGTH,
    LABEL_MAX,
    NAME_MAX,
    Conditions,
    GatewayName,
    LabelSelector,
    ObjectMeta,
    Wire,
)
from outgate.api.netrules import destination, egress_address, network

SUBNETS_MAX = 256
EIPS_MAX = 16
"""Addresses that one policy may spread its pods over, of each family."""

CIDR_LENGTH = 43  # an IPv6 address of 39 characters, a slash, three digits

Cidr = Annotated[str, Meta(max_length=CIDR_LENGTH, extra_json_schema=checked(*network()))]
"""A CIDR, or a single address, of either family."""

Destination = Annotated[
    str, Meta(max_length=CIDR_LENGTH, extra_json_schema=checked(*destination()))
]
"""A CIDR, or a single address, that traffic can leave the cluster for."""

_SUBNETS = Meta(max_length=SUBNETS_MAX, extra_json_schema=checked(no_duplicates("network")))

Subnets = Annotated[tuple[Cidr, ...], _SUBNETS]
Destinations = Annotated[tuple[Destination, ...], _SUBNETS]

# Endpoint slices carry the policy's name as a label value.
_NAME_RULE = Rule(
    f"self.metadata.name.size() <= {LABEL_MAX}",
    f"the name is too long for a label value: at most {LABEL_MAX} characters",
    say(
        f"the name has @ characters: at most {LABEL_MAX} are taken, since it becomes a label of "
        "the policy's endpoint slices",
        at="string(self.metadata.name.size())",
    ),
)

_WAYS = (
    "[has(self.podSelector), has(self.podSelectors) && self.podSelectors.size() > 0,"
    " has(self.podSubnet) && self.podSubnet.size() > 0].filter(given, given).size()"
)


class AppliedTo(Wire, frozen=True, kw_only=True):
    """Which pods of the policy's namespace: exactly one of the three fields."""

    pod_selector: Annotated[
        LabelSelector | None, Meta(description="Pods by their labels; {} for all pods.")
    ] = None
    pod_selectors: Annotated[
        tuple[LabelSelector, ...],
        Meta(max_length=16, description="Pods that at least one of these selectors matches."),
    ] = ()
    pod_subnet: Annotated[
        Subnets, Meta(description="Pods by their address: CIDRs or single addresses.")
    ] = ()

    RULES = (
        Rule(
            f"{_WAYS} == 1",
            "write exactly one of podSelector, podSelectors and podSubnet",
            choose(
                (
                    f"{_WAYS} == 0",
                    "no pods are selected: write one of podSelector, podSelectors and podSubnet "
                    "(a podSelector without labels is all pods)",
                ),
                otherwise="several of podSelector, podSelectors and podSubnet are given: "
                "write exactly one of them",
            ),
        ),
    )


class ClusterAppliedTo(AppliedTo, frozen=True, kw_only=True):
    """Which pods of which namespaces; no namespaceSelector means every namespace."""

    namespace_selector: Annotated[
        LabelSelector | None,
        Meta(description="Namespaces by their labels; every namespace when left out."),
    ] = None


_FIXED = "((has(self.ipv4) && self.ipv4 != '') || (has(self.ipv6) && self.ipv6 != ''))"


class EgressIP(Wire, frozen=True, kw_only=True):
    """Which address the outside sees.

    A fixed address of the pool (`ipv4`, `ipv6`), the gateway node's own (`useNodeIP`), or one
    that the controller picks: the gateway's default (`default`), the next one that is not in use
    (`rr`), or any (`random`). A pick is kept until the policy changes. With `count`, so many are
    picked, and each pod leaves with one of them, always the same.
    """

    ipv4: Annotated[
        str,
        Meta(
            max_length=ADDRESS_LENGTH,
            description="A fixed IPv4 address of the gateway's pool.",
            extra_json_schema=checked(*egress_address(4)),
        ),
    ] = ""
    ipv6: Annotated[
        str,
        Meta(
            max_length=ADDRESS_LENGTH,
            description="A fixed IPv6 address of the gateway's pool.",
            extra_json_schema=checked(*egress_address(6)),
        ),
    ] = ""
    use_node_ip: Annotated[
        bool, Meta(description="Leave with the gateway node's own address, not one of the pool.")
    ] = msgspec.field(default=False, name="useNodeIP")
    allocator_policy: Annotated[
        Literal["default", "rr", "random"],
        Meta(
            description="Which address is given when none is fixed: the gateway's default, the "
            "next one that is not in use, or any."
        ),
    ] = "default"
    count: Annotated[
        int,
        Meta(
            ge=1,
            le=EIPS_MAX,
            description="How many addresses of each family the pods are spread over, each pod "
            "with one of its own; for more than one, allocatorPolicy is rr or random.",
        ),
    ] = 1

    RULES = (
        Rule(
            f"!self.useNodeIP || !{_FIXED}",
            "useNodeIP leaves with the node's own address: remove ipv4 and ipv6, "
            "or set useNodeIP: false",
        ),
        Rule(
            f"self.allocatorPolicy == 'default' || !{_FIXED}",
            "a fixed ipv4 or ipv6 leaves nothing to pick: remove it, or allocatorPolicy",
            say(
                "allocatorPolicy {self.allocatorPolicy} picks an address, but a fixed one is "
                "given: remove ipv4 and ipv6, or set allocatorPolicy: default"
            ),
            ".allocatorPolicy",
        ),
        Rule(
            "!self.useNodeIP || self.allocatorPolicy == 'default'",
            "useNodeIP takes no address of the pool: remove allocatorPolicy, "
            "or set useNodeIP: false",
            field=".allocatorPolicy",
        ),
        Rule(
            "self.count == 1 || self.allocatorPolicy != 'default'",
            "several addresses are picked from the pool: set allocatorPolicy to rr or random, "
            "or leave out count",
            choose(
                (
                    "self.useNodeIP",
                    "useNodeIP leaves with the node's one address: leave out count, "
                    "or set useNodeIP: false and allocatorPolicy: rr",
                ),
                (
                    _FIXED,
                    "a fixed address is one, not several: leave out count, "
                    "or remove ipv4 and ipv6 and set allocatorPolicy: rr",
                ),
                otherwise="the gateway's default address is one, not several: set "
                "allocatorPolicy to rr or random, or leave out count",
            ),
            ".count",
        ),
    )


_BOTH = "(has(self.destSubnet) && has(self.excludeSubnet))"


class _PolicySpec(Wire, frozen=True, kw_only=True):
    egress_gateway_name: Annotated[
        GatewayName,
        Meta(
            description="The gateway to leave by. When left out: the one that the namespace's "
            "annotation names, else the cluster's default."
        ),
    ] = ""
    egress_ip: EgressIP = msgspec.field(default=EgressIP(), name="egressIP")
    dest_subnet: Annotated[
        Destinations,
        Meta(
            description="Destinations that leave by the gateway, CIDRs or single addresses; "
            "everything outside the cluster when left out."
        ),
    ] = ()
    exclude_subnet: Annotated[
        Subnets,
        Meta(description="Destinations that leave as if there were no policy."),
    ] = ()

    RULES = (
        Rule(
            f"!{_BOTH} || !self.destSubnet.exists(d, d in self.excludeSubnet)",
            "a network is in destSubnet and in excludeSubnet: remove one of the two",
            say(
                "@ is in destSubnet and in excludeSubnet: remove it from one of the two",
                at="self.destSubnet.filter(d, d in self.excludeSubnet)[0]",
            ),
            ".excludeSubnet",
        ),
    )


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


NO_EIP = AssignedEIP()
"""The one that is left out on the wire (msgspec compares by identity): an empty object in a
server-side apply that takes its last field away would arrive as null, and be refused."""


class PolicyStatus(Wire, frozen=True, kw_only=True):
    """What the controller made of a policy.

    `gateway` is the one in force, defaults resolved. `eip` is the first of its addresses; with
    `egressIP.count` above 1, `eips` has all of them, those of one pod together. `node` names all
    the nodes that hold them.
    """

    gateway: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    eip: AssignedEIP = NO_EIP
    eips: Annotated[tuple[AssignedEIP, ...], Meta(max_length=EIPS_MAX)] = ()
    use_node_ip: bool = msgspec.field(default=False, name="useNodeIP")
    node: Annotated[str, Meta(max_length=2 * EIPS_MAX * (NAME_MAX + 1))] = ""
    matched_pods: int = 0
    observed_generation: int = 0
    conditions: Conditions = ()

    def every_eip(self) -> tuple[AssignedEIP, ...]:
        """All addresses, however many there are: a pod has those of one entry."""
        return self.eips or (self.eip,)


class EgressPolicy(Wire, frozen=True, kw_only=True):
    """Pods of this namespace leave by a gateway, with a stable address."""

    metadata: ObjectMeta
    spec: EgressPolicySpec
    status: PolicyStatus = PolicyStatus()

    RULES = (_NAME_RULE,)


class EgressClusterPolicy(Wire, frozen=True, kw_only=True):
    """Pods of the selected namespaces leave by a gateway, with a stable address."""

    metadata: ObjectMeta
    spec: EgressClusterPolicySpec
    status: PolicyStatus = PolicyStatus()

    RULES = (_NAME_RULE,)


AnyPolicy = EgressPolicy | EgressClusterPolicy
