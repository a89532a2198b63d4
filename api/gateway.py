"""EgressGateway: a group of gateway nodes and the egress IPs that the outside may see."""

from typing import Annotated

import msgspec
from msgspec import Meta

from outgate.api.cel import Family, Rule, checked, covers, is_address, no_duplicates, say
from outgate.api.meta import ADDRESS_LENGTH, NAME_MAX, Conditions, LabelSelector, ObjectMeta, Wire
from outgate.api.netrules import any_entry, egress_address, pool_entry
from outgate.api.probes import HealthProbes

POOL_ENTRIES_MAX = 64
NODES_MAX = 1024
ADDRESSES_MAX = 16384

ENTRY_LENGTH = 79  # two IPv6 addresses of 39 characters and the dash

_EACH_ONCE = checked(no_duplicates("entry"))

PoolEntry4 = Annotated[
    str, Meta(max_length=ENTRY_LENGTH, extra_json_schema=checked(*pool_entry(4)))
]
PoolEntry6 = Annotated[
    str, Meta(max_length=ENTRY_LENGTH, extra_json_schema=checked(*pool_entry(6)))
]
AnyPoolEntry = Annotated[
    str, Meta(max_length=ENTRY_LENGTH, extra_json_schema=checked(*any_entry()))
]
"""A range `a-b` (both ends belong to it), a CIDR, or a single address."""


def _default_in_pool(family: Family) -> tuple[Rule, Rule]:
    """A default egress IP is one of its pool, and is not reserved."""
    default, pool = f"self.ipv{family}DefaultEIP", f"self.ipv{family}"
    skip = f"!has({default}) || !{is_address(default, family)}"
    return (
        Rule(
            f"{skip} || (has({pool}) && {pool}.exists(e, {covers('e', default, family)}))",
            f"the default is not in ippools.ipv{family}: choose one of it, or leave it out",
            say(
                f"{{{default}}} is not in ippools.ipv{family}: choose an address of the pool, "
                "add it to the pool, or leave the default out to have one chosen"
            ),
            f".ipv{family}DefaultEIP",
        ),
        Rule(
            f"{skip} || !has(self.reserved)"
            f" || !self.reserved.exists(e, {covers('e', default, family)})",
            "the default is reserved: choose another address of the pool",
            say(
                f"{{{default}}} is in ippools.reserved, which is never given out: "
                "choose another address of the pool, or take it out of reserved"
            ),
            f".ipv{family}DefaultEIP",
        ),
    )


class IPPools(Wire, frozen=True, kw_only=True):
    """The addresses that a gateway may give out, per family."""

    ipv4: Annotated[
        tuple[PoolEntry4, ...],
        Meta(
            max_length=POOL_ENTRIES_MAX,
            description="IPv4 addresses to give out: ranges a-b (both ends belong to it), CIDRs, "
            "single addresses. They must belong to the gateway nodes' segment.",
            extra_json_schema=_EACH_ONCE,
        ),
    ] = ()
    ipv6: Annotated[
        tuple[PoolEntry6, ...],
        Meta(
            max_length=POOL_ENTRIES_MAX,
            description="IPv6 addresses to give out, written as in ipv4.",
            extra_json_schema=_EACH_ONCE,
        ),
    ] = ()
    ipv4_default_eip: Annotated[
        str,
        Meta(
            max_length=ADDRESS_LENGTH,
            description="The IPv4 address of policies that ask for none; one of ipv4. "
            "Chosen from the pool when left out; status.ipv4DefaultEIP says which.",
            extra_json_schema=checked(*egress_address(4)),
        ),
    ] = msgspec.field(default="", name="ipv4DefaultEIP")
    ipv6_default_eip: Annotated[
        str,
        Meta(
            max_length=ADDRESS_LENGTH,
            description="The IPv6 address of policies that ask for none; one of ipv6. "
            "Chosen from the pool when left out; status.ipv6DefaultEIP says which.",
            extra_json_schema=checked(*egress_address(6)),
        ),
    ] = msgspec.field(default="", name="ipv6DefaultEIP")
    reserved: Annotated[
        tuple[AnyPoolEntry, ...],
        Meta(
            max_length=POOL_ENTRIES_MAX,
            description="Addresses of the pools that are never given out, of either family.",
            extra_json_schema=_EACH_ONCE,
        ),
    ] = ()

    RULES = (*_default_in_pool(4), *_default_in_pool(6))


class NodeSelector(Wire, frozen=True, kw_only=True):
    """Which nodes are candidates to be gateway nodes."""

    selector: LabelSelector


class EgressGatewaySpec(Wire, frozen=True, kw_only=True):
    """What the administrator asks for."""

    node_selector: NodeSelector
    ippools: IPPools = IPPools()
    cluster_default: Annotated[
        bool,
        Meta(description="Serve policies that name no gateway, where their namespace names none."),
    ] = False
    failback: Annotated[
        bool,
        Meta(
            description="A node that comes, or comes back, takes its fair share of the addresses "
            "from the others. Otherwise addresses stay where they are until their node fails."
        ),
    ] = False
    health_probes: Annotated[
        HealthProbes | None,
        Meta(
            description="What a node must reach to hold addresses; left out, nothing is probed. "
            "Where all nodes fail, none is better: addresses are held as if nothing were probed. "
            "List several targets, of different owners."
        ),
    ] = None


class GatewayNode(Wire, frozen=True, kw_only=True):
    """A candidate node: `status` is `Ready` if it is eligible, else `NotReady` with a reason."""

    name: Annotated[str, Meta(max_length=NAME_MAX)]
    status: Annotated[str, Meta(max_length=32)]
    reason: Annotated[str, Meta(max_length=64)] = ""
    message: Annotated[str, Meta(max_length=512)] = ""


class EgressAddress(Wire, frozen=True, kw_only=True):
    """An egress IP in use: the 16-bit egress id that the mesh carries for it, and its holder.

    `node` is the one that claimed it at the highest `epoch` of all that still report; empty while
    none does. Then matched traffic is dropped, and `epoch` is the last one that was seen.
    `address` is empty for the one entry that stands for "the gateway node's own address"
    (`useNodeIP`): nobody has to claim that, so its node is assigned, and it has no epoch.
    """

    address: Annotated[str, Meta(max_length=45)]
    id: Annotated[int, Meta(ge=1, le=65534)]
    node: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    epoch: Annotated[int, Meta(ge=0)] = 0


class PoolUsage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """How much of the pools is given out. Totals saturate at 2^63 - 1 (the API's integer)."""

    ipv4_total: int = 0
    ipv4_free: int = 0
    ipv6_total: int = 0
    ipv6_free: int = 0


class EgressGatewayStatus(Wire, frozen=True, kw_only=True):
    """What the controller made of it."""

    node_list: Annotated[tuple[GatewayNode, ...], Meta(max_length=NODES_MAX)] = ()
    addresses: Annotated[tuple[EgressAddress, ...], Meta(max_length=ADDRESSES_MAX)] = ()
    ipv4_default_eip: Annotated[str, Meta(max_length=15)] = msgspec.field(
        default="", name="ipv4DefaultEIP"
    )
    ipv6_default_eip: Annotated[str, Meta(max_length=45)] = msgspec.field(
        default="", name="ipv6DefaultEIP"
    )
    ip_usage: PoolUsage = PoolUsage()
    ready_nodes: int = 0
    observed_generation: int = 0
    conditions: Conditions = ()


class EgressGateway(Wire, frozen=True, kw_only=True):
    """A group of gateway nodes and the egress IPs that the outside may see."""

    metadata: ObjectMeta
    spec: EgressGatewaySpec
    status: EgressGatewayStatus = EgressGatewayStatus()
