"""`outgate-agent`: runs the agent's tasks; or cleans the node up; or shows what an agent does."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from outgate.agent import config
from outgate.agent.config import AgentSettings, data_path_settings, detect_method
from outgate.api.settings import SettingsWrong
from outgate.daemon import heap
from outgate.daemon.log import LEVELS, configure
from outgate.tunnel.underlay import DEFAULT_ROUTE
from outgate.vip.protocol import SOCKET_PATH

# The rest is imported once it is known what is to be done: --help and --version must not wait
# for the Kubernetes client.

_DEFAULT = config.DEFAULTS


@click.group(
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": "OUTGATE", "show_default": True},
)
@click.option(
    "--node-name",
    default=lambda: os.environ.get("NODE_NAME") or socket.gethostname(),
    show_default="$NODE_NAME, else the host's name",
    help="Name of this node's Node object.",
)
@click.option(
    "--tunnel-subnet4",
    default=str(_DEFAULT.tunnel_subnet4),
    help="IPv4 tunnel addresses; none for none.",
)
@click.option(
    "--tunnel-subnet6",
    default=str(_DEFAULT.tunnel_subnet6),
    help="IPv6 tunnel addresses; none for none.",
)
@click.option(
    "--tunnel-detect-method",
    default=DEFAULT_ROUTE,
    help="Underlay interface: defaultRouteInterface, or interface=NAME.",
)
@click.option("--vxlan-id", type=int, default=_DEFAULT.vni, help="VXLAN network identifier.")
@click.option("--vxlan-port", type=int, default=_DEFAULT.port, help="UDP port of the tunnel.")
@click.option(
    "--mark-mask", default=hex(_DEFAULT.mark_mask), help="Bits of the packet mark that are ours."
)
@click.option(
    "--table-base", type=int, default=_DEFAULT.table_base, help="First of our routing tables."
)
@click.option(
    "--rule-priority", type=int, default=_DEFAULT.rule_priority, help="Priority of our ip rules."
)
@click.option(
    "--reply-route/--no-reply-route",
    default=_DEFAULT.reply_route,
    help="Replies return by the tunnel, not by the CNI's routes.",
)
@click.option(
    "--counters/--no-counters",
    default=_DEFAULT.counters,
    help="Count packets and bytes by policy and by address.",
)
@click.option(
    "--strict-start/--no-strict-start",
    default=_DEFAULT.strict_start,
    help="Drop what a pod sends to the outside before the agent has heard of it.",
)
@click.option(
    "--source-check/--no-source-check",
    default=_DEFAULT.source_check,
    help="Drop what comes from a pod's address, but not by the way to that pod.",
)
@click.option(
    "--accept-mark",
    default="0",
    help="Packet mark by which another owner's FORWARD rules accept what the tunnel carries.",
)
@click.option(
    "--heartbeat",
    type=click.FloatRange(min=1.0),
    default=10.0,
    help="Seconds between reports to the controller.",
)
@click.option(
    "--resync",
    type=click.FloatRange(min=0.1),
    default=config.RESYNC,
    help="Seconds between looks whether others changed what was programmed.",
)
@click.option("--vip-socket", default=SOCKET_PATH, help="Where the vip process listens.")
@click.option("--http-port", type=int, default=config.HTTP_PORT, help="Port of probes and metrics.")
@click.option("--kubeconfig", default=None, help="Outside of a cluster: how to reach it.")
@click.option("--log-level", type=click.Choice(LEVELS), default="info")
@click.option("--log-format", type=click.Choice(("auto", "json", "console")), default="auto")
@click.option("--cleanup", is_flag=True, help="Remove all that Outgate put on this node, and exit.")
@click.version_option(package_name="outgate")
@click.pass_context
def main(
    context: click.Context,
    /,
    cleanup: bool,
    kubeconfig: str | None,
    log_level: str,
    log_format: Literal["auto", "json", "console"],
    **options: Any,
) -> None:
    """Program this node's share of the data path: Outgate's agent."""
    if context.invoked_subcommand:
        return
    configure(json={"json": True, "console": False}.get(log_format), level=log_level)
    try:
        settings = _settings(options)
    except SettingsWrong as error:
        if not cleanup:
            raise click.UsageError(str(error)) from error
        settings = AgentSettings(node="")  # no agent can have run with those that are wrong
    if cleanup:
        _clean_up(settings)
    else:
        run(settings, kubeconfig=kubeconfig)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
@click.pass_context
def dump(context: click.Context, as_json: bool) -> None:
    """Show what this node's agent plans, what the kernel holds, and how they differ."""
    from outgate.agent.dump import AgentAway, ask, text  # noqa: PLC0415

    parent = context.parent
    port = parent.params["http_port"] if parent else config.HTTP_PORT
    try:
        document = ask(port, path=config.PLAN_PATH)
    except AgentAway as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(document, indent=2) if as_json else text(document).rstrip("\n"))


def run(settings: AgentSettings, *, kubeconfig: str | None = None) -> None:
    """Run until a signal."""
    heap.begin()
    from outgate.agent import metrics  # noqa: PLC0415
    from outgate.agent.wiring import parts_of  # noqa: PLC0415
    from outgate.daemon.http import HttpServer  # noqa: PLC0415
    from outgate.daemon.metrics import task_failed  # noqa: PLC0415
    from outgate.daemon.supervisor import Supervisor  # noqa: PLC0415
    from outgate.kube.client import Client  # noqa: PLC0415
    from outgate.kube.errors import ApiUnavailable  # noqa: PLC0415

    try:
        api = Client.connect(kubeconfig)
    except ApiUnavailable as error:
        raise click.ClickException(str(error)) from error
    parts = parts_of(api, settings, first_time=heap.settle)
    reconciler = parts.reconciler
    metrics.REGISTRY.register(parts.traffic)
    metrics.REGISTRY.register(parts.addresses)
    supervisor = Supervisor((*parts.tasks, heap.Heap()), failed=task_failed)

    def unready() -> Mapping[str, str]:
        # The loop says itself why, and better than "not ready".
        return {name: why for name, why in supervisor.unready().items() if name != reconciler.name}

    supervisor.add(
        HttpServer(
            port=settings.http_port,
            dead=supervisor.dead,
            unready=unready,
            checks={"programmed": reconciler.unready, "probes": parts.unfit},
            pages=parts.pages,
        )
    )
    supervisor.run()


def _clean_up(settings: AgentSettings) -> None:
    from outgate.agent.cleanup import clean_up  # noqa: PLC0415
    from outgate.rules.errors import KernelRefused as RulesRefused  # noqa: PLC0415
    from outgate.tunnel.errors import KernelRefused as MeshRefused  # noqa: PLC0415
    from outgate.vip.errors import VipError  # noqa: PLC0415

    found = False
    try:
        for what in clean_up(settings.data_path):
            found = True
            click.echo(f"removed {what}")
    except (RulesRefused, MeshRefused, VipError) as error:
        raise click.ClickException(f"not all is removed: {error}") from error
    if not found:
        click.echo("nothing of Outgate's is on this node")


def _settings(options: Mapping[str, Any]) -> AgentSettings:
    names = (
        "tunnel_subnet4",
        "tunnel_subnet6",
        "vxlan_id",
        "vxlan_port",
        "mark_mask",
        "table_base",
        "rule_priority",
        "reply_route",
        "counters",
        "strict_start",
        "source_check",
        "accept_mark",
    )
    return AgentSettings(
        node=options["node_name"],
        data_path=data_path_settings(**{name: options[name] for name in names}),
        detect=detect_method(options["tunnel_detect_method"]),
        heartbeat=options["heartbeat"],
        resync=options["resync"],
        http_port=options["http_port"],
        vip_socket=Path(options["vip_socket"]),
    )


if __name__ == "__main__":
    main()
