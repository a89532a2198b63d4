"""What several chains say: the parts of the conntrack mark, and why packets are dropped."""

from outgate.api.view import DataPathSettings, IPAddress

ID = "ct mark & 0xffff0000"
"""A flow's egress id, still in its upper half: 0 for flows that are not ours."""

LOCAL = 0x8000
"""In the lower half of a flow's mark: it began at a pod of this node, and what is below is the
number of its policy. Without it the lower half is the index of the node that it came from."""

NUMBER = "ct mark & 0x0000ffff"
"""The lower half of a flow's mark."""

SYN = "tcp flags & (syn | rst) == syn"

COUNTERS = frozenset(
    {
        "foreign_tunnel",  # to the tunnel's port, or out of it, from what is no peer
        "invalid",  # conntrack knows no flow for it, so that nothing would translate it
        "leak",  # about to leave with another address than its egress id's
        "no_gateway",  # the egress id has no next hop
        "not_held",  # the egress id has no address here (in this family)
        "spoofed",  # from a pod's address, but not by the way to that pod
        "stray",  # into the tunnel, but no flow of ours
        "tunnel_address",  # to the tunnel's addresses, from elsewhere
        "unclassified",  # strict start: from a pod network, but from no pod that is known
    }
)
"""Why a packet was dropped."""

NODE_COUNTERS = frozenset({"no_node"})
"""The same, in the netdev table: a reply to a node that is not in the mesh."""


def drop(reason: str) -> str:
    """The end of a rule that drops and counts."""
    return f"counter name {reason} drop"


def from_tunnel(settings: DataPathSettings) -> str:
    """It comes by the tunnel device."""
    return f"meta iifgroup {settings.group}"


def into_tunnel(settings: DataPathSettings) -> str:
    """It leaves by the tunnel device."""
    return f"meta oifgroup {settings.group}"


def protocol(address: IPAddress) -> str:
    """The word for the address' family, as in `ip saddr`."""
    return "ip" if address.version == 4 else "ip6"


def set_mark(mark: int, *, settings: DataPathSettings) -> str:
    """Our bits of the packet mark become those of this one; of others', what it has is added."""
    others = 0xFFFFFFFF & ~settings.mark_mask
    return f"meta mark set meta mark & {others:#010x} | {mark:#x}"


def counted(set_: str, *, key: str, settings: DataPathSettings) -> tuple[str, ...]:
    """A rule that counts by the elements of a set and goes on; none if nothing is counted."""
    return (f"{key} @{set_}",) if settings.counters else ()
