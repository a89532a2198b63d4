"""`outgate drain NODE`: planned moves, which lose nothing, of all its addresses to other nodes.

A drained node stays so, over restarts and reboots, until `--undo`: the mark is on the Node object.
Pods are not touched: that is `kubectl drain`, which moves the addresses, too, since it cordons.
"""

import time
from collections.abc import Callable, Iterable

import click

from outgate.api.core import DRAINED_ANNOTATION
from outgate.api.gateway import EgressGateway
from outgate.api.kinds import EGRESS_GATEWAY, NODE
from outgate.kube.api import Api
from outgate.kube.errors import ApiConflict, ApiError, ApiUnavailable

MANAGER = "outgate-drain"
PAUSE = 0.5
"""Seconds between two looks."""

SHOWN = 5
"""Addresses of a gateway that are named; of more, how many."""


class NotDrained(Exception):
    """The node still has addresses, or is none; the text says which, and what would help."""


def mark(api: Api, name: str, *, drained: bool) -> None:
    """Say that the node is to have no addresses, or may have some again. Raises NotDrained."""
    node = api.get(NODE, name)
    if node is None:
        known = ", ".join(sorted(one.metadata.name for one in api.list(NODE)[0]))
        raise NotDrained(f"there is no node {name}; there are {known}")
    metadata: dict[str, object] = {"uid": node.metadata.uid}  # or a node would be made
    if drained:
        metadata["annotations"] = {DRAINED_ANNOTATION: "true"}
    try:
        api.apply(NODE, name, {"metadata": metadata}, manager=MANAGER)
    except ApiConflict as error:
        raise NotDrained(f"node {name} was deleted meanwhile") from error


def left(gateways: Iterable[EgressGateway], *, node: str) -> tuple[str, ...]:
    """What the node still has, a sentence for each gateway; why it stays, where that is known."""
    return tuple(
        f"{_addresses(held)} of gateway {one.metadata.name}{_why(one, node=node)}"
        for one in sorted(gateways, key=lambda one: one.metadata.name)
        if (
            held := [
                a.address or "the node's own address"
                for a in one.status.addresses
                if a.node == node
            ]
        )
    )


def wait(
    api: Api,
    node: str,
    *,
    deadline: float,
    say: Callable[[str], object],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Wait until no address is on the node. Raises NotDrained past the deadline (by `clock`)."""
    told: tuple[str, ...] = ()
    while True:
        try:
            now = left(api.list(EGRESS_GATEWAY)[0], node=node)
            if not now:
                return
        except ApiUnavailable as error:
            now = (str(error),)
        if now != told:
            say(f"to move from {node}: {'; '.join(now)}")
            told = now
        if clock() >= deadline:
            raise NotDrained(
                f"still on {node}: {'; '.join(now)}. The node stays drained, and they move as soon "
                f"as another node may have them; outgate drain --undo {node} takes it back"
            )
        pause(PAUSE)


def _addresses(held: list[str]) -> str:
    more = f" and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
    return ", ".join(sorted(held)[:SHOWN]) + more


def _why(gateway: EgressGateway, *, node: str) -> str:
    others = [one for one in gateway.status.node_list if one.name != node]
    if any(one.status == "Ready" for one in others):
        return ""
    if not others:
        return " (which has no other node)"
    reasons = ", ".join(f"{one.name} {one.reason or one.status}" for one in others)
    return f" (no other node is eligible: {reasons})"


@click.command()
@click.argument("node")
@click.option("--undo", is_flag=True, help="The node may have addresses again.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds to wait until no address is left on the node.",
)
@click.option("--kubeconfig", default=None, help="How to reach the cluster; else as kubectl does.")
def drain(node: str, undo: bool, timeout: float, kubeconfig: str | None) -> None:
    """Move all egress addresses off NODE, without breaking a connection, and keep them off."""
    # The Kubernetes client takes a second to import, --help does not need it.
    from outgate.kube.client import Client

    try:
        api = Client.connect(kubeconfig)
        mark(api, node, drained=not undo)
        if undo:
            click.echo(f"{node} may have addresses again")
            return
        wait(api, node, deadline=time.monotonic() + timeout, say=click.echo)
        click.echo(f"{node} is drained: no address is on it")
    except (NotDrained, ApiError) as error:
        raise click.ClickException(str(error)) from error
