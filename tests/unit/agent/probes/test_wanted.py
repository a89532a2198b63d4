"""Whose probes a node runs."""

import msgspec
from unit.agent.cluster import gateway

from outgate.agent.probes.wanted import failed, forgiven, wanted
from outgate.api.gateway import EgressGateway, GatewayNode
from outgate.api.probes import HealthProbes, ICMPProbe

PROBES = HealthProbes(icmp=ICMPProbe(ips=("192.0.2.254",)))


def egw(name: str, **reasons: str) -> EgressGateway:
    """A gateway with probes, and its candidates with the reasons why they are not eligible."""
    made = gateway(name=name)
    nodes = tuple(
        GatewayNode(name=node, status="NotReady" if reason else "Ready", reason=reason)
        for node, reason in reasons.items()
    )
    replace = msgspec.structs.replace
    return replace(
        made,
        spec=replace(made.spec, health_probes=PROBES),
        status=replace(made.status, node_list=nodes),
    )


def test_a_node_probes_for_the_gateways_that_take_it_eligible_or_not() -> None:
    gateways = [egw("well", a=""), egw("ill", a="Unfit"), egw("other", b="")]
    assert wanted(gateways, node="a") == {"well": PROBES, "ill": PROBES}


def test_what_had_failed_before_the_agent_began_has_to_pass_first() -> None:
    gateways = [egw("well", a=""), egw("ill", a="Unfit"), egw("cordoned", a="Cordoned")]
    assert failed(gateways, node="a") == {"ill"}
    assert failed(gateways, node="b") == frozenset()


def test_a_node_that_fails_is_forgiven_while_nobody_is_better() -> None:
    gateways = [
        egw("all-fail", a="Unfit", b="Unfit"),
        egw("the-rest-is-worse", a="Unfit", b="Cordoned"),
        egw("another-is-well", a="Unfit", b=""),
        egw("well", a="", b="Unfit"),
        egw("cordoned", a="Cordoned", b="Unfit"),
    ]
    assert forgiven(gateways, node="a") == {"all-fail", "the-rest-is-worse"}
