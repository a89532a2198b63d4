"""Rows D2, D3, P4: beside each CNI and kube-proxy, what is ours works and nothing else changes.

Each combination has a lab of its own, and the tests of it build on each other: in the order of this
file, Outgate serves, loses a gateway, sees the CNI start anew, and goes.
"""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import pytest
from e2e import nodestate
from e2e.world import CLIENTS, NODES, Json, World, families_of, gateway, populate, selected

from outgate.lab import (
    Cni,
    Families,
    Iptables,
    Lab,
    LabTimeout,
    Options,
    Protocol,
    ProxyMode,
    lifecycle,
    product,
    wait,
)

COMBINATIONS = {
    "host-gw, iptables-legacy": Options(
        "matrix",
        cni=Cni.FLANNEL_HOST_GW,
        proxy_mode=ProxyMode.IPTABLES,
        iptables=Iptables.LEGACY,
    ),
    "bridge, nftables": Options("matrix", cni=Cni.BRIDGE),
    "vxlan, iptables-nft, dual stack": Options(
        "matrix", proxy_mode=ProxyMode.IPTABLES, families=Families.DUAL
    ),
}
"""Beside the lab of all other tests, which has flannel's VXLAN, kube-proxy nftables, dual stack."""

EIP = {4: "172.30.0.105", 6: "fd00:30::105"}
SERVERS = ("server-gw1", "server-w1")


@dataclass(frozen=True)
class Beside:
    """A lab with Outgate in it, what its nodes held before, and the policy over all clients."""

    world: World
    before: Mapping[str, nodestate.State]
    policy: Json

    @property
    def families(self) -> tuple[int, ...]:
        """Those of the lab's pods."""
        return families_of(self.world.lab)

    def changed(self) -> list[str]:
        """What is different on any node, but for what Outgate's pods and addresses bring along."""
        naming = {*nodestate.names(self.world.lab), *EIP.values()}
        return [
            f"{node} {difference}"
            for node in NODES
            for difference in nodestate.differences(
                self.before[node], nodestate.read(self.world.lab, node), naming=naming
            )
        ]

    def wait_egress(self) -> None:
        """Until all clients leave with the egress IP."""
        for client, family in itertools.product(CLIENTS, self.families):
            self.world.wait_source(client, EIP[family], family)


@pytest.fixture(scope="module", params=list(COMBINATIONS.values()), ids=list(COMBINATIONS))
def beside(request: pytest.FixtureRequest) -> Iterator[Beside]:
    """One combination: brought up, looked at, then Outgate installed."""
    options: Options = request.param
    try:
        lab = Lab.up(options, report=print)
        populate(lab)
        world = World(lab)
        assert_inside_works(world)
        before = {node: nodestate.read(lab, node) for node in NODES}
        product.install(lab, product.load(lab, print))
        default = gateway(lab)
        policy = world.policy(
            "all-clients",
            {
                "appliedTo": selected(app="client"),
                "egressIP": {f"ipv{family}": EIP[family] for family in families_of(lab)},
            },
        )
        world.apply(default, policy)
        world.wait_condition(policy)
        yield Beside(world, before, policy)
    finally:
        lifecycle.down(options.name)


def assert_inside_works(world: World) -> None:
    """Pod to pod with the pod's own address, to ClusterIP, to every node."""
    for family in families_of(world.lab):
        for client, server in itertools.product(("client-gw1", "client-w1"), SERVERS):
            body = world.fetch(client, world.pod_address(server, family))
            assert world.pod_address(client, family) in body, (client, server)
        for client in CLIENTS:
            assert "server-" in world.fetch(client, world.cluster_ip(family), 80), client
            for node in NODES:
                address = world.node_address(node, family)
                assert world.lab.ping(client, address, namespace="e2e") is not None, (client, node)


def test_pods_of_every_node_leave_with_the_egress_ip_and_get_answers(beside: Beside) -> None:
    beside.wait_egress()
    for client, family in itertools.product(CLIENTS, beside.families):
        for protocol in Protocol:
            seen = beside.world.source(client, family, protocol=protocol)
            assert seen == EIP[family], (client, protocol)


def test_what_stays_inside_is_as_it_was(beside: Beside) -> None:
    assert_inside_works(beside.world)


def test_an_address_goes_on_where_its_node_is_no_gateway_any_more(beside: Beside) -> None:
    world = beside.world
    holder = world.get(beside.policy)["status"]["node"]
    other = {"gw1": "gw2", "gw2": "gw1"}[holder]
    world.lab.kubectl("label", "node", holder, "egressgateway-")
    try:
        world.lab.wait("the address to move", lambda: world.holders(EIP[4]) == (other,))
        beside.wait_egress()
    finally:
        world.lab.kubectl("label", "node", holder, "egressgateway=true", "--overwrite")


def test_nothing_of_others_has_changed_while_outgate_works(beside: Beside) -> None:
    beside.wait_egress()
    assert beside.changed() == []


def end(lab: Lab, *daemons: str) -> None:
    """They start again by themselves."""
    for node in NODES:
        lab.exec(node, "kill", *lab.exec(node, "pidof", *daemons).split())


def test_cni_kube_proxy_and_kubelet_may_write_all_their_rules_after_outgate(beside: Beside) -> None:
    lab = beside.world.lab
    for node in NODES:
        forget_rules(lab, node)
    assert beside.changed() != []
    daemons = ["kubelet", "kube-proxy"]
    if lab.options.cni is not Cni.BRIDGE:
        daemons.append("flanneld")
    end(lab, *daemons)
    with suppress(LabTimeout):
        wait.until("the rules to be back", lambda: beside.changed() == [], timeout=20.0)
    if beside.changed():
        # One that hears of the ServiceCIDRs after its first sync has a rule less until the next
        # full one, in an hour (pkg/proxy/nftables/proxier.go, OnServiceCIDRsChanged).
        end(lab, "kube-proxy")
    wait.until(
        "the rules to be back",
        lambda: beside.changed() == [],
        reason=lambda: "\n".join(beside.changed()),
    )
    beside.wait_egress()
    assert_inside_works(beside.world)


def forget_rules(lab: Lab, node: str) -> None:
    """Delete what kube-proxy wrote, and flannel, and the kubelet."""
    if lab.options.proxy_mode is ProxyMode.NFTABLES:
        lab.exec(node, "nft", "delete", "table", "ip", "kube-proxy")
        return
    commands = ("iptables", "ip6tables")[: len(lab.topology.pods)]
    for command, table in itertools.product(commands, ("filter", "nat")):
        lab.exec(node, command, "-t", table, "-F")


def test_without_the_policy_pods_leave_as_before(beside: Beside) -> None:
    beside.world.delete(beside.policy)
    for client, node in zip(CLIENTS, NODES, strict=True):
        for family in beside.families:
            address = beside.world.node_address(node, family)
            beside.world.wait_source(client, address, family)


def test_without_outgate_nothing_is_left_and_nothing_is_missing(beside: Beside) -> None:
    lab = beside.world.lab
    names = nodestate.names(lab)
    product.uninstall(lab)
    for node in NODES:
        after = nodestate.read(lab, node)
        assert nodestate.differences(beside.before[node], after, naming=names) == []
        assert nodestate.ours(lab, node) == []
    assert_inside_works(beside.world)
