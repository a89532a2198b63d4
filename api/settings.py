"""Settings that agent and controller share: read and checked once, in the operator's own words."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

NONE = "none"
"""A subnet that there is not: an empty environment variable does not count as one."""

LOW_BITS = 0xFFFF


class SettingsWrong(ValueError):
    """A setting makes no sense; the message names it, and says what would be right."""


@dataclass(frozen=True, slots=True)
class TunnelSubnets:
    """Where the tunnel's addresses come from; a family that is off has none."""

    ipv4: IPv4Network | None
    ipv6: IPv6Network | None


def tunnel_subnets(ipv4: str, ipv6: str) -> TunnelSubnets:
    """The tunnel's subnets; an address in a subnet stands for it. Raises SettingsWrong."""
    subnets = TunnelSubnets(_subnet4(ipv4), _subnet6(ipv6))
    if subnets.ipv4 is None and subnets.ipv6 is None:
        raise SettingsWrong("tunnel-subnet4 and tunnel-subnet6 are both none: the mesh needs one")
    return subnets


def mark_mask(text: str) -> int:
    """The bits of the packet mark that are ours: contiguous, two or more, within the low 16.

    Raises SettingsWrong.
    """
    try:
        mask = int(text, 0)
    except ValueError as error:
        raise SettingsWrong(f"mark-mask {text!r}: must be a number, as in 0xff") from error
    lowest = mask & -mask
    if not 0 < mask <= LOW_BITS:
        raise SettingsWrong(
            f"mark-mask {mask:#x}: must be within the low 16 bits (0xffff), as in 0xff or 0x3f00"
        )
    if (mask // lowest) & (mask // lowest + 1):
        raise SettingsWrong(f"mark-mask {mask:#x}: its bits must be contiguous, as in 0xff")
    if mask == lowest:
        raise SettingsWrong(
            f"mark-mask {mask:#x}: one bit is the mark of replies and leaves none for gateway "
            f"nodes; give at least two"
        )
    return mask


def network(name: str, text: str) -> IPv4Network | IPv6Network | None:
    """The CIDR in the setting `name`; None for `none`. Raises SettingsWrong."""
    try:
        return ip_network(text, strict=False) if text not in ("", NONE) else None
    except ValueError as error:
        raise SettingsWrong(f"{name} {text!r} is not a CIDR: {error}") from error


def _subnet4(text: str) -> IPv4Network | None:
    match network("tunnel-subnet4", text):
        case None:
            return None
        case IPv4Network(prefixlen=length) as subnet if length <= 29:
            return subnet
        case subnet:
            raise SettingsWrong(f"tunnel-subnet4 {subnet}: must be an IPv4 CIDR, /29 or shorter")


def _subnet6(text: str) -> IPv6Network | None:
    match network("tunnel-subnet6", text):
        case None:
            return None
        case IPv6Network(prefixlen=length) as subnet if length <= 125:
            return subnet
        case subnet:
            raise SettingsWrong(f"tunnel-subnet6 {subnet}: must be an IPv6 CIDR, /125 or shorter")
