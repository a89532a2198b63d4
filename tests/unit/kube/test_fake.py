from hypothesis import given, settings
from hypothesis import strategies as st

from outgate.api.kinds import CONFIG_MAP, EGRESS_CLUSTER_INFO, NODE, POD
from outgate.kube import ownership
from outgate.kube.errors import ApiUnavailable
from outgate.kube.fake import FakeApi

NETWORKS = [{"cidr": "192.0.2.0/24", "source": "Extra"}]


def test_a_store_follows_every_write_at_once() -> None:
    api = FakeApi()
    store = api.store(CONFIG_MAP, label_selector="app=a")
    body = {"metadata": {"name": "a", "namespace": "team", "labels": {"app": "a"}}}
    created = api.create(CONFIG_MAP, body)
    assert dict(store.snapshot()) == {("team", "a"): created}
    relabelled = {"metadata": {"labels": {"app": "b"}}}
    api.apply(CONFIG_MAP, "a", relabelled, namespace="team", manager="one")
    assert len(store) == 0


def test_status_is_written_apart() -> None:
    api = FakeApi()
    created = api.create(
        EGRESS_CLUSTER_INFO, {"metadata": {"name": "default"}, "status": {"networks": NETWORKS}}
    )
    assert created.status.networks == ()
    status = {"status": {"networks": NETWORKS}, "spec": {"extraCIDR": ["203.0.113.0/24"]}}
    written = api.apply(EGRESS_CLUSTER_INFO, "default", status, manager="c", subresource="status")
    assert [network.cidr for network in written.status.networks] == ["192.0.2.0/24"]
    assert written.spec.extra_cidr == ()
    assert written.metadata.generation == 1


def test_only_a_changed_wish_is_a_new_generation() -> None:
    api = FakeApi()
    generations = [
        api.apply(
            EGRESS_CLUSTER_INFO, "default", {"spec": {"extraCIDR": [cidr]}}, manager="user"
        ).metadata.generation
        for cidr in ("192.0.2.0/24", "192.0.2.0/24", "203.0.113.0/24")
    ]
    assert generations == [1, 1, 2]


def test_writes_are_counted_and_reads_are_not() -> None:
    api = FakeApi()
    api.get(NODE, "a")
    api.list(NODE)
    api.apply(NODE, "a", {}, manager="one")
    assert [(call.method, call.name) for call in api.writes] == [("apply", "a")]


def test_the_chosen_write_fails() -> None:
    api = FakeApi()
    api.fail("write", ApiUnavailable("away"), skip=1)
    outcomes = []
    for name in "abc":
        try:
            api.create(NODE, {"metadata": {"name": name}})
        except ApiUnavailable:
            outcomes.append("failed")
        else:
            outcomes.append("done")
    assert outcomes == ["done", "failed", "done"]


def test_what_has_lost_its_owner_is_collected() -> None:
    api = FakeApi()
    node = api.put(NODE, {"metadata": {"name": "a"}})
    owner = {"apiVersion": "v1", "kind": "Node", "name": "a", "uid": node.metadata.uid}
    api.put(
        CONFIG_MAP, {"metadata": {"name": "a", "namespace": "team", "ownerReferences": [owner]}}
    )
    api.collect_garbage()
    assert api.get(CONFIG_MAP, "a", namespace="team") is not None
    api.drop(NODE, "a")
    api.collect_garbage()
    assert api.get(CONFIG_MAP, "a", namespace="team") is None


def test_a_put_keeps_the_identity_and_moves_the_version() -> None:
    api = FakeApi()
    pod = {"metadata": {"name": "a", "namespace": "team"}}
    first = api.put(POD, pod)
    second = api.put(POD, {**pod, "spec": {"nodeName": "node-a"}})
    assert first.metadata.uid == second.metadata.uid
    assert int(first.metadata.resource_version) < int(second.metadata.resource_version)
    assert api.put(POD, second) == second


bodies = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    max_leaves=6,
).filter(lambda body: isinstance(body, dict))


@settings(deadline=None)  # the machine is shared
@given(first=bodies, second=bodies)
def test_an_apply_of_one_manager_leaves_what_it_said_last(
    first: dict[str, object], second: dict[str, object]
) -> None:
    owned = ownership.fields_of(first)
    item = ownership.merged({}, wanted=owned, dropped=set())
    assert item == first
    wanted = ownership.fields_of(second)
    assert ownership.merged(item, wanted=wanted, dropped=owned.keys() - wanted.keys()) == second
