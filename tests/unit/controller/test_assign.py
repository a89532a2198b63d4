from collections import Counter

from outgate.controller.assign import assign, heir

NODES = ["node-a", "node-b", "node-c"]
MANY = [f"198.51.100.{number}" for number in range(1, 241)]


def test_addresses_spread_over_the_nodes() -> None:
    spread = Counter(assign(MANY, gateway="gw", eligible=NODES, holders={}, pairs={}).values())
    assert all(50 < count < 110 for count in spread.values())


def test_heirs_of_a_lost_node_are_all_the_others() -> None:
    before = assign(MANY, gateway="gw", eligible=NODES, holders={}, pairs={})
    after = assign(MANY, gateway="gw", eligible=NODES[1:], holders=before, pairs={})
    heirs = Counter(after[address] for address, node in before.items() if node == "node-a")
    assert min(heirs["node-b"], heirs["node-c"]) > 15


def test_holder_that_stays_eligible_keeps_its_address() -> None:
    holders = dict.fromkeys(MANY, "node-b")
    assert assign(MANY, gateway="gw", eligible=NODES, holders=holders, pairs={}) == holders


def test_no_eligible_node_is_no_holder() -> None:
    assert assign(MANY[:1], gateway="gw", eligible=[], holders={}, pairs={}) == {MANY[0]: ""}


def test_pair_goes_to_one_node() -> None:
    pairs = {"192.0.2.1": {"2001:db8::1"}, "2001:db8::1": {"192.0.2.1"}}
    got = assign(pairs, gateway="gw", eligible=NODES, holders={}, pairs=pairs)
    assert len(set(got.values())) == 1


def test_new_address_goes_to_the_node_that_holds_its_pair() -> None:
    pairs = {"192.0.2.1": {"2001:db8::1"}, "2001:db8::1": {"192.0.2.1"}}
    for node in NODES:
        holders = {"2001:db8::1": node}
        got = assign(pairs, gateway="gw", eligible=NODES, holders=holders, pairs=pairs)
        assert got["192.0.2.1"] == node


def test_two_gateways_choose_each_their_own_node() -> None:
    chosen = {heir(f"gateway-{number}", "", tuple(NODES)) for number in range(20)}
    assert chosen == set(NODES)
