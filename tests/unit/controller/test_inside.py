import pytest

from outgate.api.clusterinfo import AutoDetect
from outgate.api.core import (
    CalicoIPPool,
    CalicoIPPoolSpec,
    ConfigMap,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ServiceCIDR,
    ServiceCIDRSpec,
)
from outgate.api.meta import ObjectMeta
from outgate.controller.inside import flannel_networks, inside_networks

NODE = Node(
    metadata=ObjectMeta(name="node-a"),
    spec=NodeSpec(pod_cidrs=("203.0.113.0/26", "2001:db8:a::/64")),
    status=NodeStatus(
        addresses=(
            NodeAddress(type="InternalIP", address="192.0.2.1"),
            NodeAddress(type="ExternalIP", address="2001:db8::1"),
            NodeAddress(type="Hostname", address="node-a"),
        )
    ),
)
SERVICES = ServiceCIDR(
    metadata=ObjectMeta(name="kubernetes"), spec=ServiceCIDRSpec(cidrs=("198.51.100.0/24",))
)
CALICO = CalicoIPPool(
    metadata=ObjectMeta(name="default"), spec=CalicoIPPoolSpec(cidr="203.0.113.64/26")
)


def flannel(text: str) -> dict[tuple[str, str], ConfigMap]:
    key = ("kube-flannel", "kube-flannel-cfg")
    meta = ObjectMeta(name=key[1], namespace=key[0])
    return {key: ConfigMap(metadata=meta, data={"net-conf.json": text})}


def found(
    detect: AutoDetect | None = None,
    *,
    extra: tuple[str, ...] = (),
    services: tuple[ServiceCIDR, ...] = (SERVICES,),
    config: str = '{"Network": "203.0.113.128/25", "IPv6Network": "2001:db8:f::/56"}',
) -> tuple[dict[str, str], tuple[str, ...]]:
    networks, problems = inside_networks(
        detect=detect or AutoDetect(),
        extra=extra,
        nodes=[NODE],
        service_cidrs=services,
        config_maps=flannel(config),
        calico_pools=[CALICO],
        configured_service_cidrs=("198.51.100.128/25",),
    )
    assert list(networks) == sorted(networks, key=lambda n: (n.cidr, n.source, n.name))
    return {network.cidr: network.source for network in networks}, problems


def test_every_source_is_named() -> None:
    networks, problems = found(extra=("192.0.2.128/25",))
    assert problems == ()
    assert networks == {
        "203.0.113.0/26": "NodePodCIDR",
        "2001:db8:a::/64": "NodePodCIDR",
        "192.0.2.1/32": "NodeAddress",
        "2001:db8::1/128": "NodeAddress",
        "198.51.100.0/24": "ServiceCIDR",
        "203.0.113.128/25": "Flannel",
        "2001:db8:f::/56": "Flannel",
        "203.0.113.64/26": "Calico",
        "192.0.2.128/25": "Extra",
    }


@pytest.mark.parametrize(
    ("detect", "left"),
    [
        (AutoDetect(pod_cidr=False), {"NodeAddress", "ServiceCIDR"}),
        (AutoDetect(node_ip=False), {"NodePodCIDR", "ServiceCIDR", "Flannel", "Calico"}),
        (AutoDetect(cluster_ip=False), {"NodePodCIDR", "NodeAddress", "Flannel", "Calico"}),
        (AutoDetect(pod_cidr=False, node_ip=False, cluster_ip=False), set()),
    ],
)
def test_what_is_switched_off_is_not_detected(detect: AutoDetect, left: set[str]) -> None:
    assert set(found(detect)[0].values()) == left


def test_configured_service_cidrs_count_only_where_the_api_has_none() -> None:
    assert "198.51.100.128/25" not in found()[0]
    assert found(services=())[0]["198.51.100.128/25"] == "ServiceCIDR"


def test_what_cannot_be_read_is_told_and_harms_nothing_else() -> None:
    networks, problems = found(config="{", extra=("bad", "192.0.2.128/25"))
    assert "192.0.2.128/25" in networks
    assert len(problems) == 2


def test_flannel_may_have_one_family_or_none() -> None:
    (config,) = flannel('{"EnableIPv4": false, "IPv6Network": "2001:db8:f::/56"}').values()
    assert flannel_networks(config) == ("2001:db8:f::/56",)
    (config,) = flannel("{}").values()
    assert flannel_networks(config) == ()
