"""Last: `helm uninstall` leaves the nodes as they were and the users' objects alone."""

from e2e import nodestate
from e2e.world import CLIENTS, NODES, World, selected

from outgate.lab import product

EIPS = ("172.30.0.110", "fd00:30::110")


def test_uninstall_leaves_nodes_clean_and_policies_alone(
    world: World, before: dict[str, nodestate.State]
) -> None:
    policy = world.policy("survivor", {"appliedTo": selected(app="client")})
    world.apply(policy)
    for client in CLIENTS:
        world.wait_source(client, "172.30.0.110")
    names = nodestate.names(world.lab)
    for node in NODES:
        during = nodestate.read(world.lab, node)
        assert nodestate.differences(before[node], during, naming={*names, *EIPS}) == []
        assert nodestate.ours(world.lab, node)
    product.uninstall(world.lab)
    for node in NODES:
        after = nodestate.read(world.lab, node)
        assert nodestate.differences(before[node], after, naming=names) == []
        assert nodestate.ours(world.lab, node) == []
    for client, node in zip(CLIENTS, NODES, strict=True):
        assert world.source(client) == world.node_address(node, 4)
    assert world.get(policy)["metadata"]["name"] == "survivor"
    assert world.lab.kubectl_json("get", "egressgateways")["items"]
    assert world.lab.kubectl_json("get", "egresstunnels")["items"] == []
