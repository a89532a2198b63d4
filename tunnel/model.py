"""What Outgate keeps in the kernel for its mesh, as values: one VXLAN device and all that hangs
on it, the routes of our tables, and the ip rules that lead to them.
"""

from dataclasses import dataclass
from typing import Literal

from outgate.api.view import IPAddress

Family = Literal[4, 6]

RP_FILTER_LOOSE = 2
"""A source is good if any route leads to it (RFC 3704): a gateway knows no route to the pods."""


@dataclass(frozen=True, slots=True)
class Link:
    """The VXLAN device: GBP, no learning, no link-local address.

    `vni`, `port`, `local`, `gbp` and `learning` are fixed when it is made; the rest may change.
    `mtu` in bytes. `group`: by which the rules know it.
    """

    name: str
    vni: int
    port: int
    local: IPAddress
    mac: str
    mtu: int
    group: int
    gbp: bool = True
    learning: bool = False
    up: bool = True
    link_local: bool = False
    rp_filter: int = RP_FILTER_LOOSE

    @property
    def fixed(self) -> tuple[object, ...]:
        """What can't be changed on a device that exists."""
        return (self.name, self.vni, self.port, self.local, self.gbp, self.learning)


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the device, as a network of one."""

    address: IPAddress


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour on the device: which MAC has the address."""

    address: IPAddress
    mac: str


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """A permanent forwarding entry: at which node's underlay address the MAC is."""

    mac: str
    underlay: IPAddress


@dataclass(frozen=True, slots=True)
class Route:
    """A default route of one of our tables: on the device, by this next hop."""

    table: int
    gateway: IPAddress


@dataclass(frozen=True, slots=True)
class Rule:
    """Packets with this mark (under our mask) look up this table."""

    family: Family
    mark: int
    mask: int
    table: int


@dataclass(frozen=True, slots=True)
class OuterRule:
    """UDP that this node sends to the tunnel's port looks up the main table, before any `Rule`.

    VXLAN routes the outer packet by the mark of the inner one, which is an egress id by then: it
    would match some gateway's rule, or another owner's, and lead back into the tunnel.
    """

    family: Family
    port: int


@dataclass(frozen=True, slots=True)
class Landing:
    """An ip rule that does nothing, right behind every `Rule`: where a `Bypass` goes on."""

    family: Family


@dataclass(frozen=True, slots=True)
class Bypass:
    """Lookups that start at the device pass over every `Rule`.

    The kernel checks a forwarded packet's source by a lookup that starts at the device it leaves
    by; with `src_valid_mark` this lookup has its mark, which would lead into the tunnel, and strict
    reverse-path filters would drop it. What really came by the tunnel has no mark of ours.
    """

    family: Family
    device: str


@dataclass(frozen=True, slots=True)
class Unmarked:
    """Packets without a mark of ours pass over every `Rule`: they don't pay for each gateway."""

    family: Family
    mask: int


IpRule = OuterRule | Landing | Bypass | Unmarked | Rule
"""What does not hang on the device: it stays when the device goes."""

Object = Address | Neighbour | FdbEntry | Route | IpRule
"""What is only ever added or deleted, never changed."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """All of it: the device, if there is one, and the objects."""

    link: Link | None = None
    objects: frozenset[Object] = frozenset()


@dataclass(frozen=True, slots=True)
class AddLink:
    """Make the device and bring it up."""

    link: Link


@dataclass(frozen=True, slots=True)
class ChangeLink:
    """Set all that may change on the device."""

    link: Link


@dataclass(frozen=True, slots=True)
class DeleteLink:
    """Remove the device; what hangs on it and its routes go with it, the ip rules stay."""

    name: str


@dataclass(frozen=True, slots=True)
class Add:
    """Make the object; it must not exist."""

    object: Object


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the object; it must exist."""

    object: Object


Operation = AddLink | ChangeLink | DeleteLink | Add | Delete
