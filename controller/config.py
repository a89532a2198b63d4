"""What an operator sets, checked and named in his own words before anything starts."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from outgate.api.view import TUNNEL_SUBNET4, TUNNEL_SUBNET6, DataPathSettings
from outgate.controller.model import Settings
from outgate.controller.tunnels import MeshSettings
from outgate.kube.election import Timing

MARK_MASK = DataPathSettings().mark_mask
LEASE = "outgate-controller"
NAMESPACE = "outgate-system"
HTTP_PORT = 7790


class ConfigInvalid(ValueError):
    """A setting makes no sense; the message names it, and what would be right."""


@dataclass(frozen=True, slots=True)
class Options:
    """The settings as they are written: see `--help` for what each means."""

    tunnel_subnet4: str = str(TUNNEL_SUBNET4)
    tunnel_subnet6: str = str(TUNNEL_SUBNET6)
    mark_mask: str = hex(MARK_MASK)
    heartbeat_stale: float = 30.0
    service_cidrs: tuple[str, ...] = ()
    lease_name: str = LEASE
    lease_namespace: str = NAMESPACE
    lease_duration: float = 15.0


def settings_of(options: Options) -> Settings:
    """The decisions' settings. Raises ConfigInvalid."""
    if options.heartbeat_stale <= 0:
        raise ConfigInvalid(f"heartbeat-stale {options.heartbeat_stale}: must be more than 0 s")
    subnet4, subnet6 = _subnet4(options.tunnel_subnet4), _subnet6(options.tunnel_subnet6)
    if subnet4 is None and subnet6 is None:
        raise ConfigInvalid("tunnel-subnet4 and tunnel-subnet6 are both none: the mesh needs one")
    return Settings(
        mesh=MeshSettings(subnet4=subnet4, subnet6=subnet6, mark_max=_mark_max(options.mark_mask)),
        stale=options.heartbeat_stale,
        service_cidrs=tuple(sorted(_cidr(text) for text in options.service_cidrs)),
    )


def timing_of(options: Options) -> Timing:
    """The lease's timing: renewed until two thirds of its duration. Raises ConfigInvalid."""
    duration = options.lease_duration
    try:
        return Timing(duration=duration, renew_deadline=duration * 2 / 3, retry=duration * 2 / 15)
    except ValueError as error:
        raise ConfigInvalid(f"lease-duration {duration}: must be more than 0 s") from error


def _subnet4(text: str) -> IPv4Network | None:
    match _network("tunnel-subnet4", text):
        case None:
            return None
        case IPv4Network(prefixlen=length) as network if length <= 29:
            return network
        case network:
            raise ConfigInvalid(f"tunnel-subnet4 {network}: must be an IPv4 CIDR, /29 or shorter")


def _subnet6(text: str) -> IPv6Network | None:
    match _network("tunnel-subnet6", text):
        case None:
            return None
        case IPv6Network(prefixlen=length) as network if length <= 125:
            return network
        case network:
            raise ConfigInvalid(f"tunnel-subnet6 {network}: must be an IPv6 CIDR, /125 or shorter")


def _network(name: str, text: str) -> IPv4Network | IPv6Network | None:
    try:
        # An empty environment variable is none to click, hence the word.
        return ip_network(text, strict=False) if text not in ("", "none") else None
    except ValueError as error:
        raise ConfigInvalid(f"{name} {text!r} is not a CIDR: {error}") from error


def _cidr(text: str) -> str:
    network = _network("service-cidr", text.strip())
    if network is None:
        raise ConfigInvalid("service-cidr is empty: leave it out, or name a CIDR")
    return str(network)


def _mark_max(text: str) -> int:
    """The highest ordinal of a mark under the mask: all bits set is the reply mark's."""
    try:
        mask = int(text, 0)
    except ValueError as error:
        raise ConfigInvalid(f"mark-mask {text!r} is not a number, such as 0xff") from error
    bits = mask >> ((mask & -mask).bit_length() - 1) if mask > 0 else 0
    if not 0 < mask <= 0xFFFF or bits & (bits + 1) or bits < 3:
        raise ConfigInvalid(
            f"mark-mask {text}: must be two or more neighbouring bits of the low 16, such as 0xff"
        )
    return bits - 1
