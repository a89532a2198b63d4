from collections import Counter

from outgate.controller.assign import assign, heir

NODES = ["node-a", "node-b", "node-c"]
MANY = [f"198.51.100.{number}" for number in range(1, 241)]


def test_addresses_spread_over_the_nodes() -> None:
    spread = Counter(heir("gw", address, tuple(NODES)) for address in MANY)
    assert all(50 < count < 110 for count in spread.values())


def test_a_node_that_stays_eligible_keeps_standing_for_the_gateway() -> None:
    for node in NODES:
        assert assign(gateway="gw", eligible=NODES, before=node) == node


def test_another_node_stands_for_the_gateway_when_the_last_one_may_not() -> None:
    assert assign(gateway="gw", eligible=NODES[1:], before="node-a") in NODES[1:]
    assert assign(gateway="gw", eligible=[], before="node-a") == ""


def test_the_order_of_the_nodes_does_not_matter() -> None:
    chosen = {assign(gateway="gw", eligible=nodes, before="") for nodes in (NODES, NODES[::-1])}
    assert len(chosen) == 1


def test_two_gateways_choose_each_their_own_node() -> None:
    chosen = {heir(f"gateway-{number}", "", tuple(NODES)) for number in range(20)}
    assert chosen == set(NODES)
