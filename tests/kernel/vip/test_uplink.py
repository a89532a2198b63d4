"""The node's own uplink: where an address's link goes down, another node serves the address."""

import pytest
from kernel.vip.processes import eventually
from kernel.vip.vip_lan import Lan, Start

pytestmark = pytest.mark.kernel

VIP = "198.51.100.7"
NODES = ("a", "b")


def test_an_address_leaves_a_node_whose_link_to_its_network_goes_down(
    lan: Lan, start: Start
) -> None:
    lan.second_segment(*NODES)
    vips = {host: start(host) for host in NODES}

    def holders() -> list[str]:
        return [host for host in NODES if f" {VIP}/32 " in lan.ip(host, "-4 addr show dev eth1")]

    for vip in vips.values():
        vip.told(VIP, members=NODES)
    eventually(lambda: len(holders()) == 1)
    (first,) = holders()
    (second,) = set(NODES) - {first}
    lan.ip("lan", f"link set q{first} down")  # the cable; they go on hearing each other by eth0
    eventually(lambda: holders() == [second])
    assert vips[first].now().unfit == {"internet": "uplink eth1 is down"}
    lan.ip("lan", f"link set q{first} up")
    eventually(lambda: vips[first].now().unfit == {})
    lan.ip("lan", f"link set q{second} down")
    eventually(lambda: holders() == [first])
