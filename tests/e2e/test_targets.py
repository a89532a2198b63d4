"""Row G7: probe targets of a gateway that nodes lose, and reach again; seen by a 10 ms probe."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest
from e2e.world import AGENT, LEASE, NAMESPACE, OUTSIDE_OTHER, VIP, Json, World, selected

from bench.failover import watch
from bench.failover.outgate import Outgate
from bench.failover.sight import ECHO, Sight, watched
from bench.failover.watch import Span
from outgate.lab import passing
from outgate.lab.passing import Fault, Kind

GATEWAY = "probed"
CLIENT = "client-w1"
NODES = ("gw1", "gw2")
PROBE = {"interval": 1, "timeout": 3}
TARGETS = {"icmp": OUTSIDE_OTHER[4], "http": OUTSIDE_OTHER[6]}
PATIENCE = 60.0
"""Seconds until a node is found unfit, or fit, and the address is where it should be."""


@dataclass(frozen=True)
class Seen:
    """The gateway's address in use, and its observer."""

    world: World
    one: Outgate
    sight: Sight

    def holder(self) -> str:
        """The node that answers for the address, steadily, while it serves."""
        return self.world.lab.wait(
            "one node to serve the address",
            lambda: self.sight.holder(self.one) if self.sight.serves(self.one) else "",
            timeout=PATIENCE,
        )

    def entry(self, node: str) -> Json:
        """What the gateway's status says of a node."""
        listed = self.world.lab.kubectl_json("get", "egw", GATEWAY)["status"]["nodeList"]
        return dict(next(one for one in listed if one["name"] == node))

    def wait_unfit(self, node: str, target: str) -> None:
        """Until the status says that the node has not reached the target for too long."""
        told = self.world.lab.wait(
            f"{node} to be unfit without {target}",
            lambda: entry if target in (entry := self.entry(node)).get("message", "") else {},
            timeout=PATIENCE,
        )
        assert (told["status"], told["reason"]) == ("NotReady", "Unfit")
        assert "no target has answered for 3 s" in told["message"]

    def wait_fit(self, node: str) -> None:
        """Until the node may hold addresses again."""
        self.world.lab.wait(
            f"{node} to be fit", lambda: self.entry(node)["status"] == "Ready", timeout=PATIENCE
        )

    def events(self) -> list[str]:
        """What Events have told of moves of the gateway's addresses."""
        found = self.world.lab.kubectl_json(
            "get",
            "events",
            "--all-namespaces",
            "--field-selector",
            f"involvedObject.kind=EgressGateway,involvedObject.name={GATEWAY},reason=Moved",
        )
        return [str(event["message"]) for event in found["items"]]

    def watch(self) -> "Watch":
        """Begin to watch."""
        world = self.world
        return Watch(self, time.monotonic(), world.waited(VIP, AGENT), world.lapsed(GATEWAY))


@dataclass(frozen=True)
class Watch:
    """What has been seen since a time. By then: how long our processes had waited for CPUs, and how
    many addresses had lapsed.
    """

    seen: Seen
    since: float
    waited: float
    lapses: float

    def moves(self) -> int:
        """How often the address went to another node. Asserted: nobody else answered or was seen,
        and nothing was lost, unless our processes were starved.
        """
        span = Span(self.since, time.monotonic() - ECHO)
        ((address, tracks),) = self.seen.sight.tracks(self.seen.one).items()
        answering = watch.answering(tracks.arp.during(span).answers)
        data = tracks.data.during(span)
        assert watch.wrong(data, int(address)) == 0
        assert watch.together(answering).most == 1
        starved = self.seen.world.waited(VIP, AGENT) - self.waited >= LEASE
        assert starved or not watch.outages(data, end=span.end)
        return watch.moves(answering)

    def lapsed(self) -> bool:
        """Whether a busy machine has moved addresses, too."""
        return self.seen.world.lapsed(GATEWAY) != self.lapses


@pytest.fixture(scope="module")
def seen(world: World) -> Iterator[Seen]:
    gateway = {
        "apiVersion": "outgate.dev/v1beta1",
        "kind": "EgressGateway",
        "metadata": {"name": GATEWAY},
        "spec": {
            "ippools": {"ipv4": ["172.30.0.172"]},
            "nodeSelector": {"selector": {"matchLabels": {"egressgateway": "true"}}},
            "healthProbes": {
                "icmp": {**PROBE, "ips": [TARGETS["icmp"]]},
                "http": {**PROBE, "urls": [f"http://[{TARGETS['http']}]:8080/"]},
            },
        },
    }
    spec = {"appliedTo": selected(pod=CLIENT), "egressGatewayName": GATEWAY}
    with world.having(gateway), world.having(world.policy(GATEWAY, spec)) as (made,):
        address = IPv4Address(made["status"]["eip"]["ipv4"])
        world.wait_source(CLIENT, str(address))
        one = Outgate(world.lab, address, pods=(CLIENT,), namespace=NAMESPACE)
        with watched(world.lab, [one]) as sight:
            yield Seen(world, one, sight)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_node_that_loses_a_target_gives_its_addresses_away_until_it_has_it_back(
    seen: Seen, target: str
) -> None:
    node, told, since = seen.holder(), set(seen.events()), seen.watch()
    other = next(one for one in NODES if one != node)
    with passing.happening(seen.world.lab, Fault(Kind.UNROUTED, node, target=target)):
        seen.wait_unfit(node, target)
        seen.world.lab.wait(
            f"{other} to serve the address", lambda: seen.holder() == other, timeout=PATIENCE
        )
        words = f"moved from {node} to {other}", f"{node} is Unfit"
        seen.world.lab.wait(
            "an Event that says why",
            lambda: any(all(w in one for w in words) for one in {*seen.events()} - told),
        )
    seen.wait_fit(node)
    # No failback.
    assert (seen.holder(), since.moves()) == (other, 1) or since.lapsed()


def test_what_all_nodes_have_lost_is_no_reason_to_move(seen: Seen) -> None:
    node, since = seen.holder(), seen.watch()
    other = next(one for one in NODES if one != node)
    # The holder last: as long as the other is better, the address would rightly go there.
    with all_unfit(seen, (other,)), all_unfit(seen, (node,)):
        seen.world.wait_condition(
            {"apiVersion": "outgate.dev/v1beta1", "kind": "EgressGateway", **named(GATEWAY)},
            "False",
            "NoEligibleNode",
        )
    assert (seen.holder(), since.moves()) == (node, 0) or since.lapsed()


def test_what_all_nodes_lose_at_once_takes_no_address_from_the_last_of_them(seen: Seen) -> None:
    seen.holder()
    with all_unfit(seen, NODES):
        node = seen.holder()
        other = next(one for one in NODES if one != node)
        with passing.happening(seen.world.lab, Fault(Kind.CUT_OFF, node)):
            seen.world.lab.wait(
                f"{other} to serve the address", lambda: seen.holder() == other, timeout=PATIENCE
            )
    seen.holder()


@contextmanager
def all_unfit(seen: Seen, nodes: Iterable[str]) -> Iterator[None]:
    """These nodes don't reach a target, and are known not to; fit again at the end."""
    target = TARGETS["icmp"]
    with ExitStack() as faults:
        for node in nodes:
            fault = Fault(Kind.UNROUTED, node, target=target)
            faults.enter_context(passing.happening(seen.world.lab, fault))
        for node in nodes:
            seen.wait_unfit(node, target)
        yield
    for node in nodes:
        seen.wait_fit(node)


def named(name: str) -> Json:
    """The metadata of an object of that name."""
    return {"metadata": {"name": name}}
