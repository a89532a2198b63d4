"""What pyroute2's dumps say, as values of ours; the sockets are `outgate.tunnel.kernel`'s."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from outgate.tunnel import afspec
from outgate.tunnel.model import Address, Family, FdbEntry, Link, Neighbour

FAMILIES: tuple[tuple[int, Family], ...] = ((socket.AF_INET, 4), (socket.AF_INET6, 6))
MAIN_TABLE = 254

_NUD_NOARP = 0x40
_NUD_PERMANENT = 0x80
_IFF_UP = 0x1
_IFA_F_UNUSABLE = 0x01 | 0x20 | 0x40  # temporary, deprecated, tentative
_SCOPE_GLOBAL = 0


def link(device: Any) -> Link:
    """A device of our name that is no VXLAN device reads as one that has to be made anew."""
    data = device.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")

    def value(name: str) -> Any:
        return data.get_attr(name) if hasattr(data, "get_attr") else None

    inet6 = device.get_nested("IFLA_AF_SPEC", "AF_INET6")
    mode = inet6.get_attr("IFLA_INET6_ADDR_GEN_MODE") if inet6 else afspec.ADDR_GEN_NONE
    inet = device.get_nested("IFLA_AF_SPEC", "AF_INET")
    local = value("IFLA_VXLAN_LOCAL") or value("IFLA_VXLAN_LOCAL6") or "0.0.0.0"
    return Link(
        name=device.get_attr("IFLA_IFNAME"),
        vni=value("IFLA_VXLAN_ID") or 0,
        port=value("IFLA_VXLAN_PORT") or 0,
        local=ip_address(local),
        mac=device.get_attr("IFLA_ADDRESS"),
        mtu=device.get_attr("IFLA_MTU"),
        group=device.get_attr("IFLA_GROUP") or 0,
        gbp=bool(value("IFLA_VXLAN_GBP")),
        learning=bool(value("IFLA_VXLAN_LEARNING")),
        up=bool(device["flags"] & _IFF_UP),
        link_local=mode != afspec.ADDR_GEN_NONE,
        rp_filter=inet["rp_filter"] if inet else 0,
    )


def addresses(netlink: Any, index: int) -> Iterator[Address]:
    """Those of the device."""
    for found in netlink.get_addr(index=index):
        text = found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS")
        yield Address(ip_address(text))


def neighbours(netlink: Any, index: int) -> Iterator[Neighbour]:
    """One that is not permanent has no MAC here: it is not what was planned."""
    for family, _ in FAMILIES:
        for found in netlink.get_neighbours(family=family, ifindex=index):
            if not found["state"] & _NUD_NOARP:
                permanent = found["state"] & _NUD_PERMANENT
                mac = found.get_attr("NDA_LLADDR") if permanent else ""
                yield Neighbour(ip_address(found.get_attr("NDA_DST")), mac)


def forwarding(netlink: Any, index: int) -> Iterator[FdbEntry]:
    """Where the device sends frames for a MAC."""
    for found in netlink.get_neighbours(family=socket.AF_BRIDGE, ifindex=index):
        underlay = found.get_attr("NDA_DST")
        if underlay:
            yield FdbEntry(found.get_attr("NDA_LLADDR"), ip_address(underlay))


def default_routes(netlink: Any) -> Iterator[tuple[int, int, int]]:
    """Version, interface index and metric of each in the main table."""
    for family, version in FAMILIES:
        for found in netlink.get_routes(family=family, table=MAIN_TABLE):
            if found["dst_len"] == 0:
                hops = found.get_attr("RTA_MULTIPATH") or ()
                out = found.get_attr("RTA_OIF") or next((hop["oif"] for hop in hops), 0)
                yield version, out, found.get_attr("RTA_PRIORITY") or 0


def is_usable(address: Any, *, protocol: int) -> bool:
    """Not an egress IP of ours, nor one that is about to go."""
    flags = address.get_attr("IFA_FLAGS") or address["flags"]
    if address["family"] == socket.AF_INET:
        flags = 0  # there, bit 0x01 means secondary
    return (
        address["scope"] == _SCOPE_GLOBAL
        and not flags & _IFA_F_UNUSABLE
        and (address.get_attr("IFA_PROTO") or 0) != protocol
    )
