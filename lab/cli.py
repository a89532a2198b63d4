"""The command `outgate-lab`."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from outgate.lab.errors import LabError
from outgate.lab.options import DEFAULT_NAME, Cni, Families, Iptables, Options, ProxyMode

if TYPE_CHECKING:
    from outgate.lab.lab import Lab

F = TypeVar("F", bound=Callable[..., Any])
FAULTS = (
    "cut-off",
    "cut-from-peers",
    "cut-from-api",
    "unplugged",
    "deaf",
    "mute",
    "stopped",
    "killed",
    "frozen",
    "api-stopped",
    "api-hung",
    "untaught",
    "unrouted",
)
"""The kinds of `passing.Kind`, which is imported when it is needed: a test compares them."""

PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def name_option(command: F) -> F:
    """`--name`, on every command that means one lab."""
    return click.option(
        "--name",
        default=DEFAULT_NAME,
        envvar="OUTGATE_LAB",
        show_default=True,
        show_envvar=True,
        help="Which lab.",
    )(command)


class LabGroup(click.Group):
    """Turns the lab's errors into one line and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except LabError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=LabGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Real Kubernetes in network namespaces: a lab for an egress gateway."""


@main.command()
@click.option("--nodes", default=3, show_default=True, help="Gateways and workers together.")
@click.option(
    "--gateways",
    default=2,
    show_default=True,
    help="How many of the nodes carry the label egressgateway=true.",
)
@click.option(
    "--cni",
    type=click.Choice([cni.value for cni in Cni]),
    default=Cni.FLANNEL_VXLAN.value,
    show_default=True,
)
@click.option(
    "--proxy-mode",
    type=click.Choice([mode.value for mode in ProxyMode]),
    default=ProxyMode.NFTABLES.value,
    show_default=True,
)
@click.option(
    "--iptables",
    type=click.Choice([backend.value for backend in Iptables]),
    default=Iptables.NFT.value,
    show_default=True,
    help="The back end of the nodes' iptables.",
)
@click.option("--ipv6", "families", flag_value=Families.IPV6.value, help="IPv6 only.")
@click.option("--dual-stack", "families", flag_value=Families.DUAL.value, help="IPv4 and IPv6.")
@name_option
def up(
    *,
    nodes: int,
    gateways: int,
    cni: str,
    proxy_mode: str,
    iptables: str,
    families: str | None,
    name: str,
) -> None:
    """Make a lab; ends when all its nodes are Ready."""
    from outgate.lab import lifecycle

    options = Options(
        name=name,
        nodes=nodes,
        gateways=gateways,
        cni=Cni(cni),
        proxy_mode=ProxyMode(proxy_mode),
        families=Families(families or Families.IPV4.value),
        iptables=Iptables(iptables),
    )
    began = time.monotonic()
    if lifecycle.up(options, click.echo):
        click.echo(f"lab {name} is up after {time.monotonic() - began:.1f} s")
    else:
        click.echo(f"lab {name} is up already: outgate-lab status --name {name}")


@main.command()
@name_option
def down(*, name: str) -> None:
    """Take a lab away, whatever state it is in."""
    from outgate.lab import lifecycle

    began = time.monotonic()
    if lifecycle.down(name):
        click.echo(f"lab {name} is gone after {time.monotonic() - began:.1f} s")
    else:
        click.echo(f"there is no lab {name}")


@main.command("list")
def list_labs() -> None:
    """Name all labs of this machine."""
    from outgate.lab import lifecycle

    for name in lifecycle.names():
        click.echo(name)


@main.command()
def build() -> None:
    """Get all programs: reuse what is there, build and keep the rest."""
    from outgate.lab import build as builds

    began = time.monotonic()
    builds.toolbox(click.echo, tell_found=True)
    click.echo(f"all programs are there after {time.monotonic() - began:.1f} s")


@main.command()
@name_option
def demo(*, name: str) -> None:
    """Show the main job: a cluster, Outgate installed, the examples, what the outside sees."""
    from outgate.lab import demo as demonstration

    options = Options(name=name, families=Families.DUAL)
    good = demonstration.run(options, click.echo)
    click.echo(demonstration.next_steps(name))
    if not good:
        raise LabError("some source addresses are not the expected ones: see the tables above")


@main.command()
def packages() -> None:
    """Print the Debian packages that the lab needs, one a line."""
    from outgate.lab import programs

    for package in programs.apt_packages():
        click.echo(package)


@main.command()
@name_option
def status(*, name: str) -> None:
    """Show the hosts of a lab and how they are."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    lab = _open(name)
    table = Table(
        box=SIMPLE,
        title_justify="left",
        title=f"lab {name}: {lab.options.cni.value}, {lab.options.families.value}, "
        f"kube-proxy {lab.options.proxy_mode.value}",
    )
    for column in ("host", "addresses", "state", "Ready", "processes", "MiB", "PID 1"):
        table.add_column(column, no_wrap=column != "state")
    for entry in lab.status():
        ready = {True: "yes", False: "no", None: ""}[entry.ready]
        table.add_row(
            entry.host.name,
            "\n".join(str(interface.ip) for interface in entry.host.addresses),
            entry.state,
            ready,
            str(entry.processes),
            f"{entry.resident / 2**20:.0f}",
            str(entry.first_process or ""),
        )
    Console().print(table)
    for first, second in lab.partitions():
        click.echo(f"cut: nothing passes from {first} to {second}")


@main.command(context_settings=PASS_THROUGH)
@name_option
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec(*, name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on HOST (a node, cp, router or outside)."""
    lab = _open(name)
    arguments = command[1:] if command[0] == "--" else command
    _become(lab, lab.exec_argv(host, arguments))


@main.command(context_settings=PASS_THROUGH, add_help_option=False)
@name_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(*, name: str, arguments: tuple[str, ...]) -> None:
    """Run kubectl as the lab's administrator."""
    lab = _open(name)
    _become(lab, lab.kubectl_argv(arguments))


@main.command(context_settings=PASS_THROUGH, add_help_option=False)
@name_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def helm(*, name: str, arguments: tuple[str, ...]) -> None:
    """Run helm as the lab's administrator."""
    lab = _open(name)
    _become(lab, lab.helm_argv(arguments))


@main.command()
@name_option
@click.option("--lines", default=20, show_default=True, help="How many lines of each log.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.argument("host")
@click.argument("component", required=False)
def logs(*, name: str, lines: int, follow: bool, host: str, component: str | None) -> None:
    """Show the logs of HOST, or of one COMPONENT of it; also of a lab that did not come up."""
    from outgate.lab.paths import Paths

    folder = Paths(name).logs(host)
    found = sorted(folder.glob("*")) if folder.is_dir() else []
    if not found:
        raise LabError(f"no logs of host {host!r} in lab {name}")
    chosen = [file for file in found if component in (None, file.stem)]
    if not chosen:
        raise LabError(
            f"no component {component!r} on {host}; "
            f"there are {', '.join(file.stem for file in found)}"
        )
    options = ["-n", str(lines), *(["-F"] if follow else [])]
    raise SystemExit(subprocess.run(["tail", *options, *chosen], check=False).returncode)


@main.command("load-image")
@name_option
@click.argument("archive", type=click.Path(path_type=Path))
def load_image(*, name: str, archive: Path) -> None:
    """Import ARCHIVE (docker or OCI tar) into every node."""
    _open(name).load_image(archive)


@main.command()
@name_option
@click.option(
    "--write",
    "-w",
    "file",
    type=click.Path(path_type=Path),
    help="Write a pcap file instead of printing.",
)
@click.option("--seconds", default=10.0, show_default=True, help="End after so long.")
@click.option("--count", default=0, help="End after so many packets.")
@click.argument("segment")
@click.argument("expression", nargs=-1)
def capture(
    *,
    name: str,
    file: Path | None,
    seconds: float,
    count: int,
    segment: str,
    expression: tuple[str, ...],
) -> None:
    """Listen to SEGMENT (lan, outside, or a host) for what EXPRESSION selects."""
    lab = _open(name)
    if file is None:
        lab.show(segment, " ".join(expression), seconds=seconds, count=count)
        return
    with lab.capture(segment, " ".join(expression), file=file, count=count) as running:
        running.join(seconds)
        click.echo(f"written to {running.stop()}")


@main.command("kill-node")
@name_option
@click.argument("node")
def kill_node(*, name: str, node: str) -> None:
    """Cut NODE's power: everything on it dies at once, its wire falls silent."""
    _open(name).kill_node(node)


@main.command("start-node")
@name_option
@click.argument("node")
def start_node(*, name: str, node: str) -> None:
    """Power NODE on again, and wait until it is Ready."""
    _open(name).start_node(node)


@main.command()
@name_option
@click.option("--process", default="", help="Only processes with this in their command line.")
@click.argument("host")
def pause(*, name: str, process: str, host: str) -> None:
    """Freeze HOST: it keeps its memory and does nothing."""
    count = _open(name).pause(host, process=process)
    click.echo(f"{count} processes paused")


@main.command()
@name_option
@click.argument("host")
def resume(*, name: str, host: str) -> None:
    """Let everything on HOST run again."""
    _open(name).resume(host)


@main.command()
@name_option
@click.option("--one-way", is_flag=True, help="Only what goes from FIRST to SECOND is lost.")
@click.argument("first")
@click.argument("second")
def partition(*, name: str, one_way: bool, first: str, second: str) -> None:
    """Lose every frame between two hosts of the segment, until `heal`."""
    _open(name).partition(first, second, one_way=one_way)


@main.command("cut-api")
@name_option
@click.argument("node")
def cut_api(*, name: str, node: str) -> None:
    """Part NODE from the control plane, and from nothing else, until `heal`."""
    _open(name).cut_api(node)


@main.command()
@name_option
def heal(*, name: str) -> None:
    """End all partitions."""
    _open(name).heal()


@main.command()
@name_option
@click.option("--program", default="", help="For stopped and killed: outgate-vip, say.")
@click.option("--target", default="", help="For unrouted: an address beyond the router.")
@click.option("--seconds", default=10.0, show_default=True, help="How long; Ctrl-C ends it sooner.")
@click.argument("kind", type=click.Choice(FAULTS))
@click.argument("host", default="cp")
def fault(*, name: str, program: str, target: str, seconds: float, kind: str, host: str) -> None:
    """Let a fault happen to HOST (or the API server), for a while, and take it back."""
    from outgate.lab import passing

    lab = _open(name)
    with passing.happening(lab, passing.Fault(passing.Kind(kind), host, program, target)):
        click.echo(f"{kind}, for {seconds:g} s")
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:
            click.echo("taken back")


@main.command("link-down")
@name_option
@click.argument("host")
def link_down(*, name: str, host: str) -> None:
    """Pull HOST's cable."""
    _open(name).set_link(host, up=False)


@main.command("link-up")
@name_option
@click.argument("host")
def link_up(*, name: str, host: str) -> None:
    """Plug HOST's cable in again."""
    _open(name).set_link(host, up=True)


@main.command("stop-api")
@name_option
def stop_api(*, name: str) -> None:
    """Kill the API server."""
    _open(name).stop_api()


@main.command("start-api")
@name_option
def start_api(*, name: str) -> None:
    """Start the API server again, and wait until it is ready."""
    _open(name).start_api()


def _open(name: str) -> "Lab":
    from outgate.lab.lab import Lab

    return Lab.open(name)


def _become(lab: "Lab", argv: list[str]) -> NoReturn:
    """Turn into another program: it gets the terminal, the signals and the exit code."""
    from outgate.lab import cgroups

    cgroups.join_as_visitor(lab.paths)
    sys.stdout.flush()
    os.execvp(argv[0], argv)
