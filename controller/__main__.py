"""`outgate-controller`: wires the controller's tasks together and runs them."""

import os
from typing import Any, Literal

import click

from outgate.api.settings import SettingsWrong
from outgate.controller import config
from outgate.controller.config import Options
from outgate.controller.reconcile import Reconciler
from outgate.controller.watched import Watched
from outgate.daemon.http import HttpServer
from outgate.daemon.log import LEVELS, configure
from outgate.daemon.metrics import task_failed
from outgate.daemon.supervisor import Supervisor
from outgate.kube.client import Client
from outgate.kube.errors import ApiUnavailable
from outgate.kube.lease import LeaderElection

_DEFAULTS = Options()


@click.command(context_settings={"auto_envvar_prefix": "OUTGATE", "show_default": True})
@click.option(
    "--tunnel-subnet4",
    default=_DEFAULTS.tunnel_subnet4,
    help="IPv4 tunnel addresses, or none.",
)
@click.option(
    "--tunnel-subnet6",
    default=_DEFAULTS.tunnel_subnet6,
    help="IPv6 tunnel addresses, or none.",
)
@click.option(
    "--mark-mask", default=_DEFAULTS.mark_mask, help="Bits of the packet mark that are Outgate's."
)
@click.option(
    "--heartbeat-stale",
    type=float,
    default=_DEFAULTS.heartbeat_stale,
    help="Seconds after which an agent that does not report counts as silent.",
)
@click.option(
    "--service-cidrs",
    default="",
    help="CIDRs of ClusterIPs, with commas, where the API has no ServiceCIDR objects.",
)
@click.option("--lease-name", default=_DEFAULTS.lease_name, help="Lease that the leader holds.")
@click.option(
    "--lease-namespace",
    default=lambda: os.environ.get("POD_NAMESPACE", _DEFAULTS.lease_namespace),
    show_default="$POD_NAMESPACE",
    help="Namespace of that lease.",
)
@click.option(
    "--lease-duration",
    type=float,
    default=_DEFAULTS.lease_duration,
    help="Seconds after which another replica takes over from a leader that died.",
)
@click.option("--http-port", type=int, default=config.HTTP_PORT, help="Port of probes and metrics.")
@click.option("--kubeconfig", default=None, help="Outside of a cluster: how to reach it.")
@click.option("--log-level", type=click.Choice(LEVELS), default="info")
@click.option("--log-format", type=click.Choice(("auto", "json", "console")), default="auto")
@click.version_option(package_name="outgate")
def main(
    http_port: int,
    kubeconfig: str | None,
    log_level: str,
    log_format: Literal["auto", "json", "console"],
    service_cidrs: str,
    **options: Any,
) -> None:
    """Allocate, assign, and say so in statuses: Outgate's controller."""
    configure(json={"json": True, "console": False}.get(log_format), level=log_level)
    cidrs = tuple(filter(None, (text.strip() for text in service_cidrs.split(","))))
    try:
        run(Options(service_cidrs=cidrs, **options), http_port=http_port, kubeconfig=kubeconfig)
    except SettingsWrong as error:
        raise click.UsageError(str(error)) from error


def run(options: Options, *, http_port: int, kubeconfig: str | None) -> None:
    """Run until a signal. Raises SettingsWrong."""
    settings, timing = config.settings_of(options), config.timing_of(options)
    try:
        api = Client.connect(kubeconfig)
    except ApiUnavailable as error:
        raise click.ClickException(str(error)) from error
    watched = Watched()
    election = LeaderElection(
        api, lease=options.lease_name, namespace=options.lease_namespace, timing=timing
    )
    supervisor = Supervisor(
        (*watched.reflectors(api), election, Reconciler(api, watched, election, settings=settings)),
        failed=task_failed,
    )
    supervisor.add(HttpServer(port=http_port, dead=supervisor.dead, unready=supervisor.unready))
    supervisor.run()


if __name__ == "__main__":
    main()
