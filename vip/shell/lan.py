"""The links that the segment is asked and heard on, from what the kernel has: pure."""

from collections.abc import Iterable

from outgate.api.view import IPAddress
from outgate.vip.model import Holding, Observed
from outgate.vip.placement import place
from outgate.vip.segment import LanLink


def lan_links(
    observed: Observed, addresses: Iterable[IPAddress], *, default: str
) -> tuple[LanLink, ...]:
    """Those that egress addresses are or may come to be on, by name."""
    names = {place(address, observed.links, default=default) for address in addresses}
    # Routers are link-local, where they advertise themselves (RFC 4861 §4.2); who asks must not be.
    own = [one for one in observed.foreign if not one.address.is_link_local]
    return tuple(
        LanLink(
            name=link.name,
            mac=link.mac,
            router4=_first(observed.routers, link.name, 4),
            router6=_first(observed.routers, link.name, 6),
            own4=_first(own, link.name, 4),
            own6=_first(own, link.name, 6),
        )
        for link in sorted(observed.links, key=lambda one: one.name)
        if link.name in names
    )


def _first(holdings: Iterable[Holding], interface: str, version: int) -> IPAddress | None:
    found = (
        one.address
        for one in holdings
        if one.interface == interface and one.address.version == version
    )
    return min(found, key=int, default=None)
