"""Who should hold what: the controller and the engine name the same heir."""

from ipaddress import ip_address

from outgate.controller import assign
from outgate.vip.engine.election import heir, rank

NODES = frozenset(("node-a", "node-b", "node-c"))
ADDRESSES = [ip_address("203.0.113.0") + i for i in range(200)]


def test_the_engine_names_the_controller_s_heir() -> None:
    assert [heir("egress", a, NODES) for a in ADDRESSES] == [
        assign.heir("egress", str(a), tuple(sorted(NODES))) for a in ADDRESSES
    ]


def test_a_lost_node_s_addresses_spread_over_the_others_and_no_other_moves() -> None:
    before = {a: heir("egress", a, NODES) for a in ADDRESSES}
    after = {a: heir("egress", a, NODES - {"node-a"}) for a in ADDRESSES}
    assert all(after[a] == before[a] for a in ADDRESSES if before[a] != "node-a")
    moved = [after[a] for a in ADDRESSES if before[a] == "node-a"]
    assert min(moved.count("node-b"), moved.count("node-c")) > len(moved) / 4


def test_nobody_is_heir_of_nobody() -> None:
    assert heir("egress", ADDRESSES[0], frozenset()) == ""


def test_a_rank_is_the_place_in_line() -> None:
    places = [rank("egress", "203.0.113.7", NODES, node=node) for node in sorted(NODES)]
    assert sorted(places) == [0, 1, 2]
