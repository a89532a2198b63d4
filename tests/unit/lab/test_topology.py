from ipaddress import ip_address, ip_network

import pytest

from outgate.lab import Families, LabError, Options, Role
from outgate.lab.options import MAX_NODES
from outgate.lab.topology import router_outside, topology

POOLS = [
    (ip_address("172.30.0.100"), ip_address("172.30.0.199")),
    (ip_address("fd00:30::100"), ip_address("fd00:30::1ff")),
]


def test_the_default_lab_has_two_gateways_and_a_worker() -> None:
    shape = topology(Options())
    assert [(host.name, str(host.address)) for host in shape.hosts] == [
        ("cp", "172.30.0.10"),
        ("gw1", "172.30.0.11"),
        ("gw2", "172.30.0.12"),
        ("w1", "172.30.0.13"),
        ("router", "172.30.0.1"),
        ("outside", "203.0.113.10"),
    ]
    assert [host.role for host in shape.nodes] == [Role.GATEWAY, Role.GATEWAY, Role.WORKER]


def test_both_families_have_the_same_digits() -> None:
    shape = topology(Options(families=Families.DUAL))
    addresses = [str(interface) for interface in shape.node("gw1").addresses]
    assert addresses == ["172.30.0.11/24", "fd00:30::11/64"]
    outside = [str(interface.ip) for interface in shape.host("outside").addresses]
    assert outside == ["203.0.113.10", "203.0.113.20", "2001:db8:cafe::10", "2001:db8:cafe::20"]
    assert [str(i) for i in router_outside(Families.DUAL)] == [
        "203.0.113.1/24",
        "2001:db8:cafe::1/64",
    ]


def test_a_lab_of_one_family_has_no_trace_of_the_other() -> None:
    shape = topology(Options(families=Families.IPV6))
    networks = [*shape.pods, *shape.services]
    networks += [cidr for node in shape.nodes for cidr in node.pod_cidrs]
    assert {network.version for network in networks} == {6}
    assert {i.version for host in shape.hosts for i in host.addresses} == {6}


def test_pod_ranges_are_apart_and_within_the_clusters() -> None:
    shape = topology(Options(nodes=MAX_NODES, families=Families.DUAL))
    ranges = [cidr for node in shape.nodes for cidr in node.pod_cidrs]
    assert len(set(ranges)) == 2 * MAX_NODES
    clusters = {4: ip_network("10.244.0.0/16"), 6: ip_network("fd00:244::/56")}
    for cidr in ranges:
        cluster = clusters[cidr.version]
        assert cidr.network_address in cluster and cidr.broadcast_address in cluster


def test_no_host_takes_an_address_of_the_egress_pools() -> None:
    shape = topology(Options(nodes=MAX_NODES, families=Families.DUAL))
    for host in shape.hosts:
        for interface in host.addresses:
            for first, last in POOLS:
                if interface.version == first.version:
                    assert not int(first) <= int(interface.ip) <= int(last)


def test_hardware_addresses_are_unique_on_the_segment() -> None:
    hosts = topology(Options(nodes=MAX_NODES)).hosts
    assert len({host.mac for host in hosts}) == len(hosts)


def test_an_unknown_node_is_answered_with_the_nodes() -> None:
    shape = topology(Options())
    with pytest.raises(LabError, match="no node 'x' in this lab; nodes are gw1, gw2, w1"):
        shape.node("x")
    with pytest.raises(LabError, match="no node 'cp'"):
        shape.node("cp")
    with pytest.raises(LabError, match=r"no host 'x'.*router, outside"):
        shape.host("x")
