"""The agent's report as a real API server takes it: valid by the CRD, and the agent's alone."""

from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from outgate.agent.probes.course import FIT, Verdict
from outgate.agent.reconcile import State
from outgate.agent.report import Reporter
from outgate.api.kinds import EGRESS_TUNNEL
from outgate.kube.client import Client
from outgate.tunnel.underlay import Underlay
from outgate.vip.client import VipState
from outgate.vip.protocol import Held, Move, Trouble
from outgate.vip.protocol import Report as Said

pytestmark = pytest.mark.kernel

SPEC = {"index": 1, "mac": "02:00:00:00:00:01", "ipv4": "198.18.192.1", "mark": 1}
UNDERLAY = Underlay("eth0", IPv4Address("192.0.2.1"), None, 1500)


@pytest.mark.usefixtures("crds")
def test_every_phase_is_accepted_and_the_spec_is_left_alone(client: Client) -> None:
    client.apply(EGRESS_TUNNEL, "node-a", {"spec": SPEC}, manager="outgate-controller")
    states = [State(underlay=UNDERLAY)]
    reporter = Reporter(
        client,
        node="node-a",
        state=lambda: states[-1],
        vip=lambda: VipState(True, True, Said(1, (Held("203.0.113.7", "eth0"),))),
        tunnel=lambda: client.get(EGRESS_TUNNEL, "node-a"),
        heartbeat=10.0,
    )
    assert reporter.say()
    states.append(State(error="net.ipv4.ip_forward is 0", failures=1, waiting=""))
    assert reporter.say()
    found = client.get(EGRESS_TUNNEL, "node-a")
    assert found is not None
    assert (found.status.phase, found.status.underlay.ipv4) == ("Failed", "")
    states.append(State(programmed=True, waiting="", underlay=UNDERLAY))
    assert reporter.say()
    found = client.get(EGRESS_TUNNEL, "node-a")
    assert found is not None
    assert (found.status.phase, found.status.underlay.ipv4) == ("Ready", "192.0.2.1")
    assert [one.type for one in found.status.conditions] == ["Programmed", "Announcing"]
    assert (found.spec.index, found.spec.ipv4) == (1, "198.18.192.1")


@dataclass(frozen=True)
class Claim:
    gateway: str
    epoch: int
    addresses: tuple[IPv4Address, ...]


@pytest.mark.usefixtures("crds")
def test_thousands_of_addresses_and_all_that_is_said_of_them_are_accepted_and_taken_back(
    client: Client,
) -> None:
    client.apply(EGRESS_TUNNEL, "node-a", {"spec": SPEC}, manager="outgate-controller")
    many = tuple(IPv4Address("198.18.0.0") + number for number in range(16384))
    claims = [(Claim("gw", 7, many[:8000]), Claim("gw", 9, many[8000:])), ()]
    verdicts = [{"gw": Verdict(False, "ProbesFailed", "m" * 600), "other": FIT}, {}]
    said = Said(
        1,
        moves=tuple(
            Move("gw", True, 1.5, 0, number, 16384, "node-b", "answered elsewhere", 0.4123)
            for number in range(21)
        ),
        troubles=tuple(
            Trouble(f"gw-{number}", "ReturnPathFailed", tuple(map(str, many[:8])), 16384, "m" * 300)
            for number in range(100)
        ),
    )
    reporter = Reporter(
        client,
        node="node-a",
        state=lambda: State(programmed=True, waiting="", underlay=UNDERLAY),
        vip=lambda: None,
        tunnel=lambda: client.get(EGRESS_TUNNEL, "node-a"),
        heartbeat=10.0,
        claims=lambda: claims[0],
        said=lambda: said,
        fitness=lambda: verdicts[0],
    )
    assert reporter.say()
    found = client.get(EGRESS_TUNNEL, "node-a")
    assert found is not None
    assert [len(one.addresses) for one in found.status.holding] == [8000, 8384]
    assert [(one.gateway, one.fit) for one in found.status.fitness] == [
        ("gw", False),
        ("other", True),
    ]
    assert [(one.epoch, one.why, one.took_milliseconds) for one in found.status.moves] == [
        (number, "answered elsewhere", 412) for number in range(5, 21)
    ]
    assert found.status.troubles[0].count == 16384
    claims.pop(0)
    verdicts.pop(0)
    assert reporter.say()
    found = client.get(EGRESS_TUNNEL, "node-a")
    assert found is not None
    assert (found.status.holding, found.status.fitness) == ((), ())
