"""The plan under whatever users and nodes do: never shared, never leaked, always settled."""

import random

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from unit.controller.world import World

from outgate.api.gateway import IPPools
from outgate.api.kinds import EGRESS_GATEWAY, EGRESS_POLICY, NODE, POD
from outgate.api.meta import ObjectMeta
from outgate.api.policy import EIPS_MAX, EgressIP
from outgate.api.tunnel import EgressTunnel, EgressTunnelSpec, EgressTunnelStatus, Holding
from outgate.controller.holding import claims_of
from outgate.controller.ids import IdMemory, allocate_ids
from outgate.controller.plan import plan

NODES = [f"node-{number}" for number in range(1, 6)]
GATEWAYS = ["gw", "other"]
POLICIES = [f"p{number}" for number in range(6)]
POOLS = [
    IPPools(ipv4=("198.51.100.10-198.51.100.12",), ipv6=("2001:db8:1::/64",)),
    IPPools(ipv4=("198.51.100.12/30",), reserved=("198.51.100.13",)),
    IPPools(ipv4=("198.51.100.10", "bad"), ipv6=("2001:db8:1::5-2001:db8:1::6",)),
    IPPools(),
    IPPools(ipv4=("198.51.100.0/24",), ipv4_default_eip="198.51.100.77"),
]
WISHES = [
    EgressIP(),
    EgressIP(allocator_policy="rr"),
    EgressIP(allocator_policy="random"),
    EgressIP(allocator_policy="rr", count=2),
    EgressIP(allocator_policy="random", count=3),
    EgressIP(use_node_ip=True),
    EgressIP(ipv4="198.51.100.12"),
    EgressIP(ipv6="2001:db8:1::5"),
    EgressIP(ipv4="198.51.100.13"),
]


class Cluster(RuleBasedStateMachine):
    """Anything happens at any time; passes happen, wholly or cut off after any write."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.world.namespace()

    @rule(name=st.sampled_from(NODES), ready=st.booleans(), gateway=st.booleans())
    def node(self, name: str, ready: bool, gateway: bool) -> None:
        self.world.node(name, ready=ready, gateway=gateway)

    @rule(name=st.sampled_from(NODES))
    def node_gone(self, name: str) -> None:
        if ("", name) in self.world.objects["nodes"]:
            self.world.remove(NODE, name)

    @rule(name=st.sampled_from(NODES))
    def beat(self, name: str) -> None:
        if ("", name) in self.world.objects["tunnels"]:
            self.world.beat(name)

    @rule(seconds=st.sampled_from([1.0, 20.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.seconds += seconds

    @rule(name=st.sampled_from(GATEWAYS), pools=st.sampled_from(POOLS), default=st.booleans())
    def gateway(self, name: str, pools: IPPools, default: bool) -> None:
        if ("", name) in self.world.objects["gateways"]:
            self.world.change(EGRESS_GATEWAY, name, ippools=pools, cluster_default=default)
        else:
            self.world.gateway(name, pools=pools, default=default)

    @rule(name=st.sampled_from(GATEWAYS))
    def gateway_gone(self, name: str) -> None:
        if ("", name) in self.world.objects["gateways"]:
            self.world.remove(EGRESS_GATEWAY, name)

    @rule(
        name=st.sampled_from(POLICIES),
        gateway=st.sampled_from([*GATEWAYS, ""]),
        wish=st.sampled_from(WISHES),
    )
    def policy(self, name: str, gateway: str, wish: EgressIP) -> None:
        if ("shop", name) in self.world.objects["policies"]:
            self.world.change(
                EGRESS_POLICY, name, namespace="shop", egress_gateway_name=gateway, egress_ip=wish
            )
        else:
            self.world.policy(name, gateway=gateway, egress_ip=wish)

    @rule(name=st.sampled_from(POLICIES))
    def policy_gone(self, name: str) -> None:
        if ("shop", name) in self.world.objects["policies"]:
            self.world.remove(EGRESS_POLICY, name, namespace="shop")

    @rule(name=st.sampled_from(["a", "b", "c"]), phase=st.sampled_from(["Running", "Succeeded"]))
    def pod(self, name: str, phase: str) -> None:
        self.world.pod(name, phase=phase)

    @rule()
    def pod_gone(self) -> None:
        for _, name in list(self.world.objects["pods"])[:1]:
            self.world.remove(POD, name, namespace="shop")

    @rule(cut=st.integers(0, 30), crash=st.booleans())
    def interrupted_pass(self, cut: int, crash: bool) -> None:
        made = self.world.plan()
        self.world.memory = made.memory
        for write in list(made.writes())[:cut]:
            self.world.perform(write)
        if crash:
            self.world.restart()

    @rule()
    def settle(self) -> None:
        self.world.settle()
        shuffled = self.world.plan(shuffle=random.Random(0))
        assert list(shuffled.writes()) == []
        self.world.restart()
        assert list(self.world.step().writes()) == []
        self._nothing_leaked()

    def _nothing_leaked(self) -> None:
        policies = self.world.objects["policies"].values()
        for name in GATEWAYS:
            gateway = self.world.objects["gateways"].get(("", name))
            if gateway is None:
                continue
            used = {
                address
                for policy in policies
                if policy.status.gateway == name and not policy.status.use_node_ip
                for eip in policy.status.every_eip()
                for address in (eip.ipv4, eip.ipv6)
                if address
            }
            if any(p.status.use_node_ip and p.status.gateway == name for p in policies):
                used.add("")
            assert {entry.address for entry in gateway.status.addresses} == used
            eligible = {n.name for n in gateway.status.node_list if n.status == "Ready"}
            alive = {
                name
                for (_, name), node in self.world.objects["nodes"].items()
                if node.status.conditions[0].status == "True"
            }
            holders = {entry.node for entry in gateway.status.addresses}
            # Without anybody to move to, an address stays with who still says that he holds it.
            assert holders <= (eligible or alive | {""})

    @invariant()
    def no_policy_has_an_address_twice_or_more_than_it_asks_for(self) -> None:
        if not hasattr(self, "world"):
            return
        for policy in self.world.objects["policies"].values():
            status = policy.status
            assert len(status.eips) <= EIPS_MAX
            assert not status.eips or status.eips[0] == status.eip
            for texts in zip(*((eip.ipv4, eip.ipv6) for eip in status.eips), strict=True):
                given = [text for text in texts if text]
                assert len(set(given)) == len(given)
            if status.observed_generation == policy.metadata.generation:
                assert len(status.every_eip()) <= policy.spec.egress_ip.count

    @invariant()
    def nothing_is_shared(self) -> None:
        if not hasattr(self, "world"):
            return
        ids = self.world.ids()
        assert len(set(ids.values())) == len(ids)
        specs = [tunnel.spec for tunnel in self.world.objects["tunnels"].values()]
        for values in (
            [spec.index for spec in specs],
            [spec.mac for spec in specs],
            [spec.ipv4 for spec in specs],
            [spec.ipv6 for spec in specs],
            [spec.mark for spec in specs if spec.mark],
        ):
            assert len(set(values)) == len(values)


TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

names = st.text("abc", min_size=1, max_size=3)
keys = st.tuples(names, names)


@given(
    wanted=st.sets(keys, max_size=20),
    recorded=st.lists(st.tuples(keys, st.integers(1, 30)), max_size=20),
    given_=st.dictionaries(keys, st.integers(1, 30), max_size=20),
)
@settings(deadline=None)
def test_ids_are_unique_and_none_that_is_shown_is_given_to_another(
    wanted: set[tuple[str, str]],
    recorded: list[tuple[tuple[str, str], int]],
    given_: dict[tuple[str, str], int],
) -> None:
    ids = allocate_ids(wanted, recorded=recorded, memory=IdMemory(given=given_), now=0.0)
    assert ids.of.keys() == wanted
    assert len(set(ids.of.values())) == len(ids.of)
    shown: dict[int, list[tuple[str, str]]] = {}
    for key, number in recorded:
        shown.setdefault(number, []).append(key)
    for key, number in ids.of.items():
        assert key in shown.get(number, [key])


claims = st.lists(
    st.tuples(
        st.sampled_from(NODES),
        st.integers(0, 6),
        st.sets(st.sampled_from(["198.51.100.1", "198.51.100.2", "2001:db8::1"]), min_size=1),
    ),
    max_size=12,
)


@given(said=claims, reporting=st.sets(st.sampled_from(NODES)))
@settings(deadline=None)
def test_the_holder_is_who_reports_the_highest_epoch(
    said: list[tuple[str, int, set[str]]], reporting: set[str]
) -> None:
    tunnels = [
        EgressTunnel(
            metadata=ObjectMeta(name=node),
            spec=EgressTunnelSpec(index=1, mac="02:00:00:00:00:01"),
            status=EgressTunnelStatus(
                holding=tuple(
                    Holding(gateway="gw", epoch=epoch, addresses=tuple(sorted(addresses)))
                    for name, epoch, addresses in said
                    if name == node
                )
            ),
        )
        for node in NODES
    ]
    found = claims_of(tunnels, reporting=reporting).get("gw", {})
    for address in {address for *_, addresses in said for address in addresses}:
        rivals = [
            (epoch, node)
            for node, epoch, addresses in said
            if node in reporting and address in addresses
        ]
        hold = found.get(address)
        assert (hold and (hold.epoch, hold.node)) == (max(rivals) if rivals else None)


@given(cut=st.integers(0, 40), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_cut_off_after_any_write_the_outcome_is_the_same(cut: int, seed: int) -> None:
    def cluster() -> World:
        world = World()
        world.namespace()
        world.gateway(pools=POOLS[0])
        world.nodes_up(*NODES)
        for number, wish in enumerate(WISHES):
            world.policy(f"p{number}", egress_ip=wish)
            world.pod(f"pod{number}")
        return world

    whole = cluster().settle()
    broken = cluster()
    writes = list(broken.plan(shuffle=random.Random(seed)).writes())
    for write in writes[:cut]:
        broken.perform(write)
    broken.settle()
    again = plan(
        broken.snapshot(), settings=broken.settings, memory=broken.memory, now=broken.now()
    )
    assert list(again.writes()) == []
    for kind in ("policies", "gateways", "tunnels", "infos"):
        assert {key: _state(v) for key, v in broken.objects[kind].items()} == {
            key: _state(v) for key, v in whole.objects[kind].items()
        }


def _state(value: msgspec.Struct) -> tuple[object, object]:
    return value.spec, value.status  # type: ignore[attr-defined]
