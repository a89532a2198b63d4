"""Row V8: a node that becomes a gateway node takes its share where `failback` says so, no more than
that, and of new addresses in any case; nothing is lost by it.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from e2e.world import AGENT, LEASE, NAMESPACE, VIP, Json, World, selected

from bench.failover import watch
from bench.failover.contestant import Address
from bench.failover.outgate import Outgate
from bench.failover.sight import ECHO, watched
from bench.failover.watch import Span
from outgate.vip.engine.election import heir

GATEWAY = "shares"
LABEL = "shares"
FIRST, NEW = ("gw1", "gw2"), "w1"
ALL = frozenset((*FIRST, NEW))
CLIENT = "client-gw1"
POOLS = {
    family: tuple(ip_address(first) + number for number in range(16))
    for family, first in (("ipv4", "172.30.0.176"), ("ipv6", "fd00:30::180"))
}
PAIRS = 6
"""Of addresses, that a policy has beside the pair that is watched."""

PATIENCE = 60.0

Held = Mapping[Address, tuple[str, int]]
"""By address, its holder and the epoch of its claim."""


def gateway(*, failback: bool) -> Json:
    pools = {family: [f"{pool[0]}-{pool[-1]}"] for family, pool in POOLS.items()}
    return {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": GATEWAY},
        "spec": {
            "failback": failback,
            "ippools": pools,
            "nodeSelector": {"selector": {"matchLabels": {LABEL: "yes"}}},
        },
    }


def several(world: World, name: str) -> Json:
    """A policy that uses some addresses of the gateway, for nobody."""
    spec = {
        "appliedTo": selected(pod="nobody"),
        "egressGatewayName": GATEWAY,
        "egressIP": {"allocatorPolicy": "rr", "count": PAIRS},
    }
    return world.policy(name, spec)


def held(world: World) -> Held:
    """The gateway's addresses as its status has them."""
    entries = world.lab.kubectl_json("get", "egw", GATEWAY)["status"].get("addresses", ())
    return {ip_address(e["address"]): (e.get("node", ""), e.get("epoch", 0)) for e in entries}


def wait_held(world: World) -> Held:
    """Once each address in use is held."""

    def there() -> Held:
        found = held(world)
        return found if all(node for node, _ in found.values()) else {}

    return world.lab.wait("the addresses to be held", there, timeout=PATIENCE)


def of_the_new(addresses: Iterable[Address]) -> set[Address]:
    """Those of which the new node's share consists."""
    return {address for address in addresses if heir(GATEWAY, address, ALL) == NEW}


@contextmanager
def labelled(world: World, *nodes: str) -> Iterator[None]:
    """These are the gateway's nodes, too, while the block runs."""
    world.lab.kubectl("label", "nodes", *nodes, f"{LABEL}=yes")
    try:
        yield
    finally:
        world.lab.kubectl("label", "nodes", *nodes, f"{LABEL}-")


def wait_ready(world: World, node: str) -> None:
    """Until the gateway counts on the node."""

    def ready() -> bool:
        listed = world.lab.kubectl_json("get", "egw", GATEWAY)["status"]["nodeList"]
        return any((one["name"], one["status"]) == (node, "Ready") for one in listed)

    world.lab.wait(f"{node} to be eligible", ready, timeout=PATIENCE)


@pytest.mark.parametrize("failback", [True, False], ids=["failback", "no-failback"])
def test_a_new_node_takes_its_share_where_it_may_and_of_new_addresses_always(
    world: World, failback: bool
) -> None:
    pair = {family: min(of_the_new(pool)) for family, pool in POOLS.items()}
    wanted = {family: str(address) for family, address in pair.items()}
    spec = {"appliedTo": selected(pod=CLIENT), "egressGatewayName": GATEWAY, "egressIP": wanted}
    policies = (world.policy("watched", spec), several(world, "before"))
    with (
        labelled(world, *FIRST),
        world.having(gateway(failback=failback)),
        world.having(*policies),
    ):
        for address in pair.values():
            world.wait_source(CLIENT, str(address), address.version)
        before = wait_held(world)
        one = Outgate(world.lab, *pair.values(), pods=(CLIENT,), namespace=NAMESPACE)
        with watched(world.lab, [one]) as sight:
            world.lab.wait("it to be served", lambda: sight.serves(one))
            start, waited = time.monotonic(), world.waited(VIP, AGENT)
            lapsed_before = world.lapsed(GATEWAY)
            with labelled(world, NEW):
                wait_ready(world, NEW)
                fair = of_the_new(before)
                assert 0 < len(fair) < len(before)
                if failback:
                    world.lab.wait(
                        f"{NEW} to hold {len(fair)} of {len(before)} addresses",
                        lambda: {a for a, (n, _) in held(world).items() if n == NEW} == fair,
                        timeout=PATIENCE,
                    )
                with world.having(several(world, "after")):
                    after = wait_held(world)
                starved = world.waited(VIP, AGENT) - waited >= LEASE
                lapsed = world.lapsed(GATEWAY) != lapsed_before
                # Of what is no share of its, not even the epoch has changed.
                moved = {address for address in before if after[address] != before[address]}
                assert lapsed or moved == (fair if failback else set())
                fresh = after.keys() - before.keys()
                share = {address for address in fresh if after[address][0] == NEW}
                assert lapsed or share == of_the_new(fresh)
                span = Span(start, time.monotonic() - ECHO)
            for address, tracks in sight.tracks(one).items():
                data = tracks.data.during(span)
                answering = watch.answering(tracks.arp.during(span).answers)
                assert watch.wrong(data, int(address)) == 0
                assert watch.together(answering).most == 1
                assert lapsed or watch.moves(answering) == failback
                assert starved or not watch.outages(data, end=span.end)
