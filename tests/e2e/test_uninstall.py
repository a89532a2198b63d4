"""Last: `helm uninstall` leaves the nodes as they were and the users' objects alone."""

from e2e import nodestate
from e2e.world import CLIENTS, NODES, World, selected

from outgate.lab import product


def test_uninstall_leaves_nodes_clean_and_policies_alone(
    world: World, before: dict[str, nodestate.NodeState]
) -> None:
    policy = world.policy("survivor", {"appliedTo": selected(app="client")})
    world.apply(policy)
    for client in CLIENTS:
        world.wait_source(client, "172.30.0.110")
    for node in NODES:
        during = nodestate.read(world.lab, node)
        assert during.iptables == before[node].iptables
        assert during.sysctls == before[node].sysctls
        assert set(before[node].tables) < set(during.tables)
    product.uninstall(world.lab)
    for node in NODES:
        assert nodestate.read(world.lab, node) == before[node]
    for client, node in zip(CLIENTS, NODES, strict=True):
        assert world.source(client) == world.node_address(node, 4)
    assert world.get(policy)["metadata"]["name"] == "survivor"
    assert world.lab.kubectl_json("get", "egressgateways")["items"]
    assert world.lab.kubectl_json("get", "egresstunnels")["items"] == []
