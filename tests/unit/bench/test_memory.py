from unit.agent.cluster import LOCAL

from bench.memory import ADDRESSES, NODE, NODES, a_gateway, a_tunnel
from outgate.agent.mesh import mesh_of


def test_no_two_of_a_thousand_nodes_are_in_each_others_way() -> None:
    mesh = mesh_of(map(a_tunnel, range(1, NODES + 1)), local=LOCAL)
    assert mesh.node is not None
    assert (len(mesh.peers), mesh.problems) == (NODES - 1, ())


def test_every_address_that_the_node_holds_has_an_id_of_its_own() -> None:
    entries = a_gateway().status.addresses
    assert {one.node for one in entries} == {NODE}
    assert len({one.id for one in entries}) == len(entries) == 2 * ADDRESSES + 2
