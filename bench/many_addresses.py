"""A node that holds 1,000 addresses is cut off: until the last one is answered for, and by whom."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from bench import environment
from bench.failover.bare import cluster
from bench.failover.outgate import GATEWAY, gateway, policy
from bench.failover.sweep import Sweep, Taken
from bench.figures import Figure, percentile
from outgate.lab import Lab, LabError, Options, passing, product
from outgate.lab.passing import Fault, Kind
from outgate.lab.topology import GATEWAY_LABEL, ROUTER

LAB = "many"
COUNT = 1000
ROUNDS = 3
LAST = 2000.0  # ms, issue 5, Figures
NODES, GATEWAYS = 4, 3

NETWORK = IPv4Network("172.31.0.0/21")
"""A second network of the nodes' segment: the first has no room for 1,000 addresses."""

HOSTS = IPv4Address("172.31.7.0")
"""Of it, the nodes' and the router's own."""

SPREAD = 1.25
"""How many times its fair share one heir may get: our own idea of "spread over" (issue 5)."""

SETTLE = 15.0
"""Seconds until members that are new count as such: the engine's `settle`, and a margin."""

PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Round:
    """One fault: seconds until each address was answered for, by which MAC; missing: that never
    were.
    """

    took: tuple[float, ...]
    heirs: Mapping[int, int]
    missing: int


def run() -> tuple[Figure, ...]:
    """Each round, all addresses are brought to the first gateway node, which is cut off."""
    count = environment.rounds("MANY", ROUNDS)
    with cluster(Options(name=LAB, nodes=NODES, gateways=GATEWAYS)) as lab:
        source = _widen(lab)
        sweep = Sweep(lab.paths.netns(ROUTER), source=source)
        try:
            _label(lab, first_only=True)
            product.install(lab, product.load(lab, print))
            _fill(lab)
            return tuple(figures([_round(lab, sweep) for _ in range(count)]))
        finally:
            sweep.close()


def addresses() -> tuple[IPv4Address, ...]:
    """Those that are moved."""
    return tuple(NETWORK[number] for number in range(1, COUNT + 1))


def _widen(lab: Lab) -> IPv4Address:
    """Give nodes and router an address in the second network; the router's."""
    for host in (*lab.topology.nodes, lab.topology.host(ROUTER)):
        own = f"{HOSTS + host.number}/{NETWORK.prefixlen}"
        lab.exec(host.name, "ip", "address", "add", own, "dev", "eth0")
    return HOSTS + lab.topology.host(ROUTER).number


def _fill(lab: Lab) -> None:
    """A gateway with one pool, and a policy for each of its addresses, about no pod."""
    wide = gateway()
    wide["spec"]["ippools"]["ipv4"] = [f"{addresses()[0]}-{addresses()[-1]}"]
    lab.apply(wide)
    items = [_policy(number, address) for number, address in enumerate(addresses())]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    lab.kubectl("create", "--filename", "-", stdin=text, timeout=PATIENCE)


def _policy(number: int, address: IPv4Address) -> dict[str, Any]:
    made = policy()
    made["metadata"]["name"] = f"address-{number}"
    made["spec"]["appliedTo"]["podSelector"]["matchLabels"] = {"app": f"address-{number}"}
    made["spec"]["egressIP"] = {"ipv4": str(address)}
    return made


def _label(lab: Lab, *, first_only: bool) -> None:
    """Which gateway nodes are members: the first one, or all."""
    key, value = GATEWAY_LABEL
    for node in lab.topology.nodes[1:GATEWAYS]:
        label = f"{key}-" if first_only else f"{key}={value}"
        lab.kubectl("label", "node", node.name, label, "--overwrite")


def _round(lab: Lab, sweep: Sweep) -> Round:
    macs = {h.name: int(h.mac.replace(":", ""), 16) for h in lab.topology.nodes}
    victim = lab.topology.nodes[0].name
    _label(lab, first_only=True)
    others = {mac for name, mac in macs.items() if name != victim}
    before = sweep.until_taken(addresses(), but=others, seconds=PATIENCE)
    if len(before) < COUNT:
        raise LabError(f"{victim} holds {len(before)} of {COUNT} addresses after {PATIENCE:g} s")
    _label(lab, first_only=False)
    lab.wait("all gateway nodes to be members", lambda: _ready(lab) == GATEWAYS, timeout=PATIENCE)
    time.sleep(SETTLE)
    start = time.monotonic()
    with passing.happening(lab, Fault(Kind.CUT_OFF, victim)):
        taken = sweep.until_taken(addresses(), but={macs[victim]}, seconds=PATIENCE)
    made = judge(taken, start=start)
    print(
        f"{len(taken)} of {COUNT}, the last after {max(made.took, default=0.0):.2f} s", flush=True
    )
    return made


def _ready(lab: Lab) -> int:
    status = lab.kubectl_json("get", "egressgateway", GATEWAY).get("status", {})
    return sum(node.get("status") == "Ready" for node in status.get("nodeList", ()))


def judge(taken: Mapping[IPv4Address, Taken], *, start: float) -> Round:
    """What was seen of one fault. Pure."""
    return Round(
        took=tuple(sorted(one.at - start for one in taken.values())),
        heirs=Counter(one.mac for one in taken.values()),
        missing=COUNT - len(taken),
    )


def figures(rounds: Sequence[Round]) -> Iterator[Figure]:
    """Of all rounds, the worst; of an address that nobody took, the whole time that was waited."""
    took = [one * 1e3 for each in rounds for one in (*each.took, *[PATIENCE] * each.missing)]
    yield Figure("last", max(took), "ms", LAST)
    yield Figure("first", min(took), "ms")
    yield Figure("p50", percentile(took, 50), "ms")
    yield Figure("p99", percentile(took, 99), "ms")
    heirs = GATEWAYS - 1
    largest = max(max(each.heirs.values(), default=COUNT) for each in rounds)
    yield Figure("spread", largest * heirs / COUNT, "x", SPREAD)
    yield Figure("missing", sum(each.missing for each in rounds), "addresses", 0)
    yield Figure("rounds", len(rounds), "", better="higher")
