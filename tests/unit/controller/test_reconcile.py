import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from unit.controller.world import GATEWAY_LABELS, World

from outgate.api.gateway import EgressGateway
from outgate.api.kinds import (
    CONFIG_MAP,
    EGRESS_ENDPOINT_SLICE,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NODE,
)
from outgate.api.policy import EgressPolicy
from outgate.controller import metrics
from outgate.controller.inside import FLANNEL_NAMESPACES
from outgate.controller.model import Settings
from outgate.controller.reconcile import Election, Pace, Reconciler
from outgate.controller.watched import KINDS, Watched
from outgate.daemon.backoff import Backoff
from outgate.kube.errors import ApiRefused, ApiUnavailable
from outgate.kube.fake import FakeApi
from outgate.kube.store import Store

AWAY = ApiUnavailable("no answer")


class Leadership:
    def __init__(self, *, leads: bool = True) -> None:
        self.leads = leads
        self.callbacks: list[Callable[[], object]] = []

    def leading(self) -> bool:
        return self.leads

    def subscribe(self, callback: Callable[[], object]) -> None:
        self.callbacks.append(callback)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Cluster:
    """A fake API server with a gateway, nodes whose agents report, and a controller."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = Clock()
        self.world = World()  # makes objects
        self.world.gateway()
        for name in ("node-1", "node-2"):
            self.world.node(name)
        self.put(EGRESS_GATEWAY, NODE)
        self.controller = self.make()
        self.settle()
        self.beat()
        self.settle()

    def make(
        self,
        *,
        watched: Watched | None = None,
        leadership: Election | None = None,
        pace: Pace | None = None,
    ) -> Reconciler:
        return Reconciler(
            self.api,
            watched or self.watched(),
            leadership or Leadership(),
            settings=Settings(),
            pace=pace,
            backoff=Backoff(first=1.0, most=8.0, jitter=0.0),
            clock=self.clock,
            wall=self.world_time,
        )

    def world_time(self) -> datetime:
        return self.world.now().wall

    def watched(self) -> Watched:
        return Watched(
            {field: self.api.store(kind) for field, kind in KINDS.items()},
            {name: self.api.store(CONFIG_MAP, namespace=name) for name in FLANNEL_NAMESPACES},
        )

    def stale(self) -> Watched:
        """Stores that show what there is now, and never hear of anything again."""
        stores: dict[str, Store[Any]] = {}
        for field, store in self.watched().stores.items():
            stores[field] = Store()
            stores[field].replace(store.snapshot())
        flannel: dict[str, Store[Any]] = {name: Store() for name in FLANNEL_NAMESPACES}
        for store in flannel.values():
            store.replace({})
        return Watched(stores, flannel)

    def put(self, *kinds: Any) -> None:
        fields = {kind.plural: field for field, kind in KINDS.items()}
        for kind in kinds:
            for value in self.world.objects[fields[kind.plural]].values():
                self.api.put(kind, value)

    def policies(self, *names: str) -> None:
        for name in names:
            self.world.policy(name)
        self.put(EGRESS_POLICY)

    def beat(self, *, but: str = "") -> None:
        for tunnel in self.api.list(EGRESS_TUNNEL)[0]:
            self.world.put(EGRESS_TUNNEL, tunnel)
            self.world.seconds += 1
            if tunnel.metadata.name != but:
                self.world.beat(tunnel.metadata.name)
        self.put(EGRESS_TUNNEL)

    def holder(self) -> str:
        return self.gateway().status.addresses[0].node

    def fall_silent(self, node: str, seconds: float) -> None:
        """Time in which this agent says nothing, and the others report as always."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(self.clock.now + 10, end)
            self.beat(but=node)
            self.settle()

    def settle(self, passes: int = 20) -> None:
        for _ in range(passes):
            if self.controller.step() and not self.claim():
                return
        raise AssertionError("never settles")

    def claim(self) -> bool:
        """The gateway nodes take what is free, and report it; whether there was anything."""
        for kind in (EGRESS_GATEWAY, EGRESS_TUNNEL):
            for value in self.api.list(kind)[0]:
                self.world.put(kind, value)
        changed = self.world.claim()
        if changed:
            self.put(EGRESS_TUNNEL)
        return changed

    def policy(self, name: str) -> EgressPolicy:
        found = self.api.get(EGRESS_POLICY, name, namespace="shop")
        assert found is not None
        return found

    def gateway(self) -> EgressGateway:
        found = self.api.get(EGRESS_GATEWAY, "gw")
        assert found is not None
        return found


def ready(policy: EgressPolicy) -> str:
    return next((c.reason for c in policy.status.conditions if c.type == "Ready"), "")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_leader_brings_objects_to_what_they_should_be(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.settle()
    assert ready(cluster.policy("web")) == "Assigned"
    assert cluster.gateway().status.addresses[0].address == "198.51.100.10"


def test_settled_controller_writes_nothing(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.settle()
    before = len(cluster.api.writes)
    cluster.settle()
    assert len(cluster.api.writes) == before


def test_follower_writes_nothing(cluster: Cluster) -> None:
    before = len(cluster.api.writes)
    cluster.policies("web")
    cluster.controller = cluster.make(leadership=Leadership(leads=False))
    assert cluster.controller.step()
    assert len(cluster.api.writes) == before
    assert cluster.controller.ready()


def test_nothing_is_written_before_every_store_is_synced(cluster: Cluster) -> None:
    watched = cluster.watched()
    unsynced = Watched({**watched.stores, "pods": Store()}, watched.flannel)
    cluster.policies("web")
    before = len(cluster.api.writes)
    controller = cluster.make(watched=unsynced, leadership=Leadership())
    assert not controller.step()
    assert not controller.ready()
    assert unsynced.unsynced() == ["pods"]
    assert len(cluster.api.writes) == before


def test_own_writes_count_before_the_watch_shows_them(cluster: Cluster) -> None:
    cluster.policies("web")
    controller = cluster.make(watched=cluster.stale(), leadership=Leadership())
    controller.step()
    before = len(cluster.api.writes)
    assert controller.step()
    assert len(cluster.api.writes) == before


def test_new_leader_reads_what_the_last_one_wrote(cluster: Cluster) -> None:
    watched = cluster.stale()  # the follower's watch hangs
    cluster.policies("web")
    cluster.settle()
    given = cluster.gateway().status.addresses
    follower = cluster.make(watched=watched, leadership=Leadership())
    before = len(cluster.api.writes)
    follower.step()
    assert cluster.gateway().status.addresses == given
    assert not [c for c in cluster.api.writes[before:] if c.name in ("web", "gw")]


def test_refused_write_holds_up_no_other_and_is_tried_again(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.api.fail("apply", ApiRefused("not valid", status=422))  # the gateway's status
    cluster.controller.step()
    assert not cluster.gateway().status.addresses
    assert ready(cluster.policy("web")) == "NotHeld"
    assert cluster.controller.ready()
    cluster.clock.now += 2
    cluster.settle()
    assert cluster.gateway().status.addresses


def test_refused_write_is_not_sent_again_before_its_time(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.settle()
    cluster.world.node("node-9")  # a tunnel to make: refused for ever
    cluster.put(NODE)
    cluster.api.fail("apply", ApiRefused("not valid", status=422), times=100)
    for _ in range(20):
        cluster.controller.step()
    first = len(cluster.api.writes)
    for _ in range(20):
        cluster.controller.step()
    assert len(cluster.api.writes) == first
    cluster.clock.now += 10
    cluster.controller.step()
    assert len(cluster.api.writes) > first


@pytest.mark.parametrize("lost", [False, True])
def test_interrupted_after_any_write_it_converges(lost: bool) -> None:
    for done in range(12):
        cluster = Cluster()
        cluster.policies("a", "b")
        cluster.world.pod("p1")
        cluster.put(*(kind for field, kind in KINDS.items() if field == "pods"))
        cluster.api.fail("apply", AWAY, skip=done, lost=lost)
        while not cluster.controller.step():
            cluster.clock.now += 10
        assert cluster.controller.ready()
        cluster.settle()
        assert ready(cluster.policy("a")) == ready(cluster.policy("b")) == "Assigned"
        assert len(cluster.api.list(EGRESS_ENDPOINT_SLICE)[0]) == 2
        assert len(cluster.gateway().status.addresses) == 1


def test_server_that_does_not_answer_makes_it_unready_until_it_does(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.api.fail("apply", AWAY, times=2)
    assert not cluster.controller.step()
    assert not cluster.controller.ready()
    assert not cluster.controller.step()
    cluster.settle()
    assert cluster.controller.ready()


def test_object_deleted_meanwhile_is_no_failure(cluster: Cluster) -> None:
    watched = cluster.stale()
    cluster.api.drop(EGRESS_GATEWAY, "gw")
    cluster.policies("web")
    controller = cluster.make(watched=watched, leadership=Leadership())
    for _ in range(3):
        controller.step()
    assert controller.ready()
    assert cluster.api.get(EGRESS_GATEWAY, "gw") is None


def test_heartbeats_alone_cost_no_planning(cluster: Cluster) -> None:
    def plans() -> float:
        return next(
            sample.value
            for metric in metrics.SECONDS.collect()
            for sample in metric.samples
            if sample.name.endswith("_count")
        )

    cluster.policies("web")
    cluster.settle()
    before = plans()
    cluster.beat()
    assert cluster.controller.step()
    assert plans() == before


def test_agent_that_falls_silent_loses_its_addresses(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.settle()
    before = cluster.holder()
    cluster.fall_silent(before, 29)
    assert cluster.holder() == before
    cluster.fall_silent(before, 2)
    assert cluster.holder() not in ("", before)


def test_no_agent_is_silent_because_the_controllers_watch_hangs(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.settle()
    before = cluster.gateway().status
    cluster.controller = cluster.make(watched=cluster.stale())
    for _ in range(20):
        cluster.clock.now += 10
        cluster.beat()  # nothing of it is seen
        cluster.controller.step()
    assert cluster.gateway().status == before


def test_losing_the_lease_ends_the_writing_at_once(cluster: Cluster) -> None:
    cluster.policies(*(f"p{number}" for number in range(20)))

    class Losing(Leadership):
        """Leads for so many questions."""

        left = 5

        def leading(self) -> bool:
            self.left -= 1
            return self.left > 0

    before = len(cluster.api.writes)
    controller = cluster.make(watched=cluster.watched(), leadership=Losing())
    controller.step()
    applied = [call for call in cluster.api.writes[before:] if call.method == "apply"]
    assert len(applied) <= 4


def test_writes_that_can_wait_are_spread_over_passes(cluster: Cluster) -> None:
    cluster.policies(*(f"p{number}" for number in range(20)))
    controller = cluster.make(pace=Pace(burst=-1.0))
    controller.step()
    assert cluster.gateway().status.addresses  # urgent: written
    assert not ready(cluster.policy("p1"))  # patient: the next pass's
    cluster.controller = cluster.make()
    cluster.settle()
    assert ready(cluster.policy("p1")) == "Assigned"


def test_loop_reacts_to_changes_and_stops(cluster: Cluster) -> None:
    controller = cluster.make(
        watched=cluster.watched(), leadership=Leadership(), pace=Pace(debounce=0.001)
    )
    stop = threading.Event()
    thread = threading.Thread(target=controller.run, args=(stop,))
    thread.start()
    try:
        seen = threading.Event()
        store = cluster.api.store(EGRESS_POLICY)

        def look() -> None:
            if any(policy.status.conditions for policy in store.snapshot().values()):
                seen.set()

        store.subscribe(look)
        cluster.policies("web")
        assert seen.wait(10)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def test_candidate_nodes_are_those_of_the_selector(cluster: Cluster) -> None:
    node = cluster.api.get(NODE, "node-1")
    assert node is not None
    assert node.metadata.labels == GATEWAY_LABELS
    plain = msgspec.structs.replace(
        node, metadata=msgspec.structs.replace(node.metadata, labels={})
    )
    cluster.api.put(NODE, plain)
    cluster.settle()
    assert [n.name for n in cluster.gateway().status.node_list] == ["node-2"]


def test_moves_are_counted_by_address_and_held_ones_shown(cluster: Cluster) -> None:
    def moved() -> float:
        value = REGISTRY.get_sample_value("outgate_controller_moves_total", {"gateway": "gw"})
        return value or 0.0

    def addresses(held: str) -> float | None:
        labels = {"gateway": "gw", "held": held}
        return REGISTRY.get_sample_value("outgate_controller_addresses", labels)

    cluster.policies("web")
    cluster.settle()
    before = moved()
    assert (addresses("true"), addresses("false")) == (1, 0)
    (entry,) = cluster.gateway().status.addresses
    cluster.world.node(entry.node, cordoned=True)
    cluster.put(NODE)
    cluster.settle()
    assert moved() == before + 1
    (after,) = cluster.gateway().status.addresses
    assert after.node != entry.node
    assert after.epoch > entry.epoch


def test_no_address_counts_as_lost_because_the_api_server_was_away(cluster: Cluster) -> None:
    cluster.policies("web")
    cluster.settle()
    holder = cluster.holder()
    leadership = Leadership()
    cluster.controller = cluster.make(leadership=leadership)
    cluster.settle()
    leadership.leads = False  # nobody can renew the lease, no agent can report
    for _ in range(6):
        cluster.clock.now += 600
        cluster.controller.step()
    leadership.leads = True
    cluster.settle()
    assert cluster.holder() == holder
    cluster.fall_silent(holder, 14)
    assert cluster.holder() == holder
    cluster.fall_silent(holder, 16)  # who still says nothing is silent
    assert cluster.holder() not in ("", holder)
