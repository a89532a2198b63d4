"""What others have on the node, as far as it may clash with ours: values, as the edges read them.

What is ours is left out by the edges (our tables, ip rules and routes of our protocol), but for
devices and sockets: whose those are is decided in `outgate.agent.clashes`.
"""

from dataclasses import dataclass
from typing import Literal

from outgate.api.view import IPAddress

ALL_BITS = 0xFFFFFFFF
"""The mask of those who take the whole mark for themselves."""


@dataclass(frozen=True, slots=True)
class Device:
    """A tunnel device, or the one that has our device's name.

    kind: as `ip -d link` names it, empty for a physical one. vni, port: 0 if it has none.
    """

    name: str
    kind: str
    vni: int = 0
    port: int = 0
    gbp: bool = False


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """A socket bound to the tunnel's port; process: name and number, empty if it is not seen.

    Nobody's process is seen from a container of its own, and a kernel's socket has none.
    """

    address: IPAddress
    port: int
    process: str = ""


@dataclass(frozen=True, slots=True)
class OtherRoute:
    """A route in one of our tables with somebody else's protocol; text: as `ip route` has it."""

    table: int
    protocol: int
    text: str


@dataclass(frozen=True, slots=True)
class OtherRule:
    """An ip rule that is not ours; table: 0 if it looks up none. text: as `ip rule` prints it.

    No mask: it asks for no mark.
    """

    version: Literal[4, 6]
    priority: int
    text: str
    table: int = 0
    mark: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True)
class MarkUse:
    """What a firewall rule does with a mark.

    table: as `nft list` or `iptables-legacy -t` names it. subject: whose mark. mask: the bits
    that it reads or writes. value: of these bits; None if it is no constant. comment: the rule's.
    """

    table: str
    chain: str
    subject: Literal["packet", "connection"]
    verb: Literal["reads", "writes"]
    mask: int
    value: int | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class NodeState:
    """All of it; all_rules: whether all firewall rules were read."""

    devices: tuple[Device, ...] = ()
    sockets: tuple[UdpSocket, ...] = ()
    routes: tuple[OtherRoute, ...] = ()
    rules: tuple[OtherRule, ...] = ()
    mark_uses: tuple[MarkUse, ...] = ()
    all_rules: bool = True
