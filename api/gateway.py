"""EgressGateway: a group of gateway nodes and the egress IPs that the outside may see."""

from typing import Annotated

import msgspec
from msgspec import Meta

from outgate.api.meta import NAME_MAX, Condition, LabelSelector, ObjectMeta, Wire

POOL_ENTRIES_MAX = 64
NODES_MAX = 1024
ADDRESSES_MAX = 16384

PoolEntry = Annotated[str, Meta(min_length=2, max_length=91)]
"""A range `a-b` (both ends belong to it), a CIDR, or a single address."""


class IPPools(Wire, frozen=True, kw_only=True):
    """The addresses that a gateway may give out, per family."""

    ipv4: Annotated[tuple[PoolEntry, ...], Meta(max_length=POOL_ENTRIES_MAX)] = ()
    ipv6: Annotated[tuple[PoolEntry, ...], Meta(max_length=POOL_ENTRIES_MAX)] = ()
    ipv4_default_eip: Annotated[str, Meta(max_length=15)] = msgspec.field(
        default="", name="ipv4DefaultEIP"
    )
    ipv6_default_eip: Annotated[str, Meta(max_length=45)] = msgspec.field(
        default="", name="ipv6DefaultEIP"
    )
    reserved: Annotated[tuple[PoolEntry, ...], Meta(max_length=POOL_ENTRIES_MAX)] = ()


class NodeSelector(Wire, frozen=True, kw_only=True):
    """Which nodes are candidates to be gateway nodes."""

    selector: LabelSelector


class EgressGatewaySpec(Wire, frozen=True, kw_only=True):
    """What the administrator asks for."""

    node_selector: NodeSelector
    ippools: IPPools = IPPools()
    cluster_default: bool = False


class GatewayNode(Wire, frozen=True, kw_only=True):
    """A candidate node: `status` is `Ready` if it is eligible, else `NotReady` with a reason."""

    name: Annotated[str, Meta(max_length=NAME_MAX)]
    status: Annotated[str, Meta(max_length=32)]
    reason: Annotated[str, Meta(max_length=64)] = ""
    message: Annotated[str, Meta(max_length=512)] = ""


class EgressAddress(Wire, frozen=True, kw_only=True):
    """An egress IP in use: the 16-bit egress id that the mesh carries for it, and its holder.

    `address` is empty for the one entry that stands for "the gateway node's own address"
    (`useNodeIP`). `node` is empty while no node is eligible: matched traffic is then dropped.
    """

    address: Annotated[str, Meta(max_length=45)]
    id: Annotated[int, Meta(ge=1, le=65534)]
    node: Annotated[str, Meta(max_length=NAME_MAX)] = ""


class PoolUsage(Wire, frozen=True, kw_only=True):
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
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=16)] = ()


class EgressGateway(Wire, frozen=True, kw_only=True):
    """A group of gateway nodes and the egress IPs that the outside may see."""

    metadata: ObjectMeta
    spec: EgressGatewaySpec
    status: EgressGatewayStatus = EgressGatewayStatus()
