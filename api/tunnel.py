"""EgressTunnel: a node's place in the VXLAN mesh.

The controller owns `spec` (what is allocated), the node's agent owns `status` (what it made of
it): two writers, no shared field.
"""

from typing import Annotated, Literal

from msgspec import Meta

from outgate.api.cel import Rule, checked, say
from outgate.api.gateway import ADDRESSES_MAX
from outgate.api.meta import NAME_MAX, Conditions, ObjectMeta, Wire
from outgate.api.netrules import plain_address
from outgate.api.view import INDEX_MAX

_MAC = "^02(:[0-9a-f]{2}){5}$"
_MAC_FORM = "not a MAC of the tunnel: write 02 and five more bytes, such as 02:00:5e:00:53:01"

Address4 = Annotated[str, Meta(max_length=45, extra_json_schema=checked(plain_address(4)))]
Address6 = Annotated[str, Meta(max_length=45, extra_json_schema=checked(plain_address(6)))]


class EgressTunnelSpec(Wire, frozen=True, kw_only=True):
    """What the controller allocated to the node; never shared by two nodes.

    `index` names the node in conntrack marks. `mark` is the packet mark that routes towards this
    node, for gateway candidates only: 0 on the others.
    """

    index: Annotated[int, Meta(ge=1, le=INDEX_MAX)]
    mac: Annotated[
        str,
        Meta(
            max_length=32,
            extra_json_schema=checked(
                Rule(f"self.matches('{_MAC}')", _MAC_FORM, say(f"'{{self}}' is {_MAC_FORM}"))
            ),
        ),
    ]
    ipv4: Address4 = ""
    ipv6: Address6 = ""
    mark: Annotated[int, Meta(ge=0, le=16383)] = 0


class Underlay(Wire, frozen=True, kw_only=True):
    """Where the node's outer packets leave: interface, addresses, MTU in bytes."""

    interface: Annotated[str, Meta(max_length=15)] = ""
    ipv4: Address4 = ""
    ipv6: Address6 = ""
    mtu: Annotated[int, Meta(ge=0, le=65535)] = 0


NO_UNDERLAY = Underlay()
"""The one that is left out on the wire: see `outgate.api.policy.NO_EIP`."""


GATEWAYS_MAX = 1024
MOVES_MAX = 16
TROUBLED_MAX = 8


class Holding(Wire, frozen=True, kw_only=True):
    """Egress IPs that the node claimed together and holds, at this epoch of their gateway.

    Each claim of a gateway's addresses has a higher epoch than all before it.
    """

    gateway: Annotated[str, Meta(max_length=NAME_MAX)]
    epoch: Annotated[int, Meta(ge=0)]
    addresses: Annotated[
        tuple[Annotated[str, Meta(max_length=45)], ...], Meta(max_length=ADDRESSES_MAX)
    ]


class Fitness(Wire, frozen=True, kw_only=True):
    """Whether the node can serve a gateway: its uplink is up, and its health probes pass."""

    gateway: Annotated[str, Meta(max_length=NAME_MAX)]
    fit: bool
    reason: Annotated[str, Meta(max_length=64)] = ""
    message: Annotated[str, Meta(max_length=512)] = ""


class AddressMove(Wire, frozen=True, kw_only=True):
    """Egress IPs of a gateway that the node took, or let go, within a few seconds.

    `firstEpoch`, `epoch`: of the claims, the lowest and the highest. `node`: where they came from,
    or go to; empty if that is nobody, or not known. `why`: of claims `planned` (the holder let go
    when it was asked to), `crash` (it fell silent) or `free` (nobody held them); of releases the
    reason. `tookMilliseconds`: since the silent holder was last heard, or since a planned move was
    asked for; 0 where nothing was waited for.
    """

    gateway: Annotated[str, Meta(max_length=NAME_MAX)]
    kind: Literal["Claimed", "Released"]
    first_epoch: Annotated[int, Meta(ge=0)]
    epoch: Annotated[int, Meta(ge=0)]
    count: Annotated[int, Meta(ge=1)]
    node: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    why: Annotated[str, Meta(max_length=64)] = ""
    took_milliseconds: Annotated[int, Meta(ge=0)] = 0
    time: Annotated[str, Meta(max_length=64)] = ""


class AddressTrouble(Wire, frozen=True, kw_only=True):
    """What is wrong, now, with egress IPs of a gateway, as this node sees it.

    `reason`: `Conflict` (somebody else answers for one that the node holds), `Occupied` (for one
    that it would take), `ReturnPathFailed` (packets to one that it holds go elsewhere),
    `ReturnPathUnknown`, or `Failsafe` (it holds them without being certain of its right).
    `addresses` are the first few of `count`.
    """

    gateway: Annotated[str, Meta(max_length=NAME_MAX)]
    reason: Annotated[str, Meta(max_length=64)]
    addresses: Annotated[
        tuple[Annotated[str, Meta(max_length=45)], ...], Meta(max_length=TROUBLED_MAX)
    ] = ()
    count: Annotated[int, Meta(ge=0)] = 0
    message: Annotated[str, Meta(max_length=256)] = ""


class EgressTunnelStatus(Wire, frozen=True, kw_only=True):
    """What the node's agent reports.

    `holding`: as its vip process says. `fitness`: of the gateways whose selector takes the node.
    `moves`: the last ones, oldest first. `troubles`: those that last.
    """

    phase: Literal["Pending", "Ready", "Failed"] = "Pending"
    underlay: Underlay = NO_UNDERLAY
    last_heartbeat_time: Annotated[str, Meta(max_length=64)] = ""
    agent_version: Annotated[str, Meta(max_length=64)] = ""
    holding: Annotated[tuple[Holding, ...], Meta(max_length=ADDRESSES_MAX)] = ()
    fitness: Annotated[tuple[Fitness, ...], Meta(max_length=GATEWAYS_MAX)] = ()
    moves: Annotated[tuple[AddressMove, ...], Meta(max_length=MOVES_MAX)] = ()
    troubles: Annotated[tuple[AddressTrouble, ...], Meta(max_length=GATEWAYS_MAX)] = ()
    conditions: Conditions = ()


class EgressTunnel(Wire, frozen=True, kw_only=True):
    """A node's place in the VXLAN mesh."""

    metadata: ObjectMeta
    spec: EgressTunnelSpec
    status: EgressTunnelStatus = EgressTunnelStatus()
