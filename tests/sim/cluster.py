"""A cluster of simulated nodes with one gateway: what schedules and unit tests play with."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address

from outgate.api.view import IPAddress
from outgate.vip.engine.events import Membership
from outgate.vip.engine.settings import DEFAULTS, Settings
from sim.apiserver import ApiServer
from sim.checker import Checker
from sim.node import Node
from sim.world import World

ADDRESSES = tuple(
    ip_address(text)
    for text in ("203.0.113.7", "2001:db8::7", "203.0.113.8", "198.51.100.9", "192.0.2.10")
)

GATEWAY = "egress"


class Cluster:
    """Nodes `node-a`, `node-b`… on one segment, and a checker that watches them.

    drift: each clock's, as a share; drawn within the settings' drift if None.
    """

    def __init__(
        self,
        world: World,
        *,
        nodes: int,
        addresses: Iterable[IPAddress] = ADDRESSES,
        settings: Settings = DEFAULTS,
        failback: bool = False,
        drift: float | None = None,
    ) -> None:
        self.world = world
        names = [f"node-{letter}" for letter in "abcdefgh"[:nodes]]
        self.membership = Membership(
            GATEWAY, frozenset(addresses), frozenset(names), frozenset(names), failback
        )
        self.api = ApiServer(world)
        most = settings.drift
        self.nodes = {
            name: Node(
                name,
                world=world,
                api=self.api,
                settings=settings,
                rate=1 + (world.random.uniform(-most, most) if drift is None else drift),
                memberships=(self.membership,),
            )
            for name in names
        }
        self.checker = Checker(
            world, self.nodes, addresses=self.membership.addresses, settings=settings
        )
        self.checker.failback = failback
        self.checker.records = lambda: self.api.records
        self.api.swapped = self.checker.swapped
        for node in self.nodes.values():
            node.peers = {name: peer for name, peer in self.nodes.items() if name != node.name}

    def start(self, *, within: float = 0.3) -> None:
        """All nodes start, each a little later than the last event."""
        for node in self.nodes.values():
            self.world.at(self.world.now + self.world.random.uniform(0, within), node.start)

    def holders(self, address: IPAddress) -> list[str]:
        """Whose kernels answer for the address."""
        return [name for name, node in self.nodes.items() if node.answers(address)]

    def held(self) -> dict[IPAddress, list[str]]:
        """All addresses with their holders."""
        return {address: self.holders(address) for address in self.checker.addresses}

    def make_eligible(self, names: Sequence[str]) -> None:
        """The agents of all nodes say now that these are eligible."""
        for node in self.nodes.values():
            for membership in list(node.memberships.values()):
                node.told(replace(membership, eligible=frozenset(names)))
