"""What an operator sets, checked and named in his own words before anything starts."""

from dataclasses import dataclass

from outgate.api.settings import SettingsWrong, mark_mask, network, tunnel_subnets
from outgate.api.view import TUNNEL_SUBNET4, TUNNEL_SUBNET6, DataPathSettings
from outgate.controller.model import Settings
from outgate.controller.tunnels import MeshSettings
from outgate.kube.election import Timing

MARK_MASK = DataPathSettings().mark_mask
LEASE = "outgate-controller"
NAMESPACE = "outgate-system"
HTTP_PORT = 7790


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
    """The decisions' settings. Raises SettingsWrong."""
    if options.heartbeat_stale <= 0:
        raise SettingsWrong(f"heartbeat-stale {options.heartbeat_stale}: must be more than 0 s")
    subnets = tunnel_subnets(options.tunnel_subnet4, options.tunnel_subnet6)
    return Settings(
        mesh=MeshSettings(
            subnet4=subnets.ipv4, subnet6=subnets.ipv6, mark_max=_mark_max(options.mark_mask)
        ),
        stale=options.heartbeat_stale,
        service_cidrs=tuple(sorted(_cidr(text) for text in options.service_cidrs)),
    )


def timing_of(options: Options) -> Timing:
    """The lease's timing: renewed until two thirds of its duration. Raises SettingsWrong."""
    duration = options.lease_duration
    try:
        return Timing(duration=duration, renew_deadline=duration * 2 / 3, retry=duration * 2 / 15)
    except ValueError as error:
        raise SettingsWrong(f"lease-duration {duration}: must be more than 0 s") from error


def _cidr(text: str) -> str:
    found = network("service-cidr", text.strip())
    if found is None:
        raise SettingsWrong("service-cidr is empty: leave it out, or name a CIDR")
    return str(found)


def _mark_max(text: str) -> int:
    """The highest ordinal of a mark under the mask: all bits set is the reply mark's."""
    mask = mark_mask(text)
    return mask // (mask & -mask) - 1
