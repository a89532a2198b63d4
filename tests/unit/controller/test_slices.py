import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from outgate.api.endpoint import Endpoint
from outgate.api.meta import LabelSelector, ObjectMeta
from outgate.api.policy import (
    AppliedTo,
    ClusterAppliedTo,
    EgressClusterPolicy,
    EgressClusterPolicySpec,
    EgressPolicy,
    EgressPolicySpec,
)
from outgate.controller.slices import AnySlice, label_value, owner_uid, settled, slices_of

SELECTOR = LabelSelector()


def policy(name: str = "web", *, uid: str = "uid-1") -> EgressPolicy:
    return EgressPolicy(
        metadata=ObjectMeta(name=name, namespace="shop", uid=uid),
        spec=EgressPolicySpec(applied_to=AppliedTo(pod_selector=SELECTOR)),
    )


def endpoints(*numbers: int) -> list[Endpoint]:
    return [Endpoint(ns="shop", pod=f"p{number:04}") for number in numbers]


def pods_of(slices: tuple[AnySlice, ...]) -> list[str]:
    return sorted(endpoint.pod for slice_ in slices for endpoint in slice_.endpoints)


def test_at_most_a_hundred_each() -> None:
    made = slices_of(policy(), endpoints=endpoints(*range(250)), existing=())
    assert sorted(len(slice_.endpoints) for slice_ in made) == [50, 100, 100]
    assert len({slice_.metadata.name for slice_ in made}) == 3


def test_one_pod_more_changes_one_slice() -> None:
    before = slices_of(policy(), endpoints=endpoints(*range(1, 251)), existing=())
    after = slices_of(policy(), endpoints=endpoints(*range(251)), existing=before)
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1


def test_slices_that_became_sparse_are_packed() -> None:
    before = slices_of(policy(), endpoints=endpoints(*range(1000)), existing=())
    after = slices_of(policy(), endpoints=endpoints(*range(0, 1000, 100)), existing=before)
    assert [len(slice_.endpoints) for slice_ in after] == [10]


def test_no_pods_is_no_slice() -> None:
    before = slices_of(policy(), endpoints=endpoints(1), existing=())
    assert slices_of(policy(), endpoints=[], existing=before) == ()


def test_slice_belongs_to_its_policy_and_says_so() -> None:
    (made,) = slices_of(policy(), endpoints=endpoints(1), existing=())
    assert made.metadata.namespace == "shop"
    assert made.metadata.labels == {"outgate.dev/policy": "web"}
    assert owner_uid(made) == "uid-1"


def test_cluster_policy_has_cluster_slices() -> None:
    wide = EgressClusterPolicy(
        metadata=ObjectMeta(name="all", uid="uid-2"),
        spec=EgressClusterPolicySpec(applied_to=ClusterAppliedTo(pod_selector=SELECTOR)),
    )
    (made,) = slices_of(wide, endpoints=endpoints(1), existing=())
    assert type(made).__name__ == "EgressClusterEndpointSlice"
    assert made.metadata.namespace == ""


def test_names_and_labels_of_long_names_fit_and_stay_apart() -> None:
    long = "a" * 253
    one, two = (
        slices_of(policy(long, uid=uid), endpoints=endpoints(1), existing=())[0]
        for uid in ("uid-1", "uid-2")
    )
    assert len(one.metadata.name) <= 253
    assert one.metadata.name != two.metadata.name
    assert len(label_value(long)) <= 63
    assert label_value(long) != label_value("a" * 252)


numbers = st.sets(st.integers(0, 400), max_size=300)


@given(st.lists(numbers, max_size=4))
@settings(deadline=None)
def test_under_churn_every_pod_is_listed_once(history: list[set[int]]) -> None:
    slices: tuple[AnySlice, ...] = ()
    for present in history:
        wanted = endpoints(*present)
        slices = slices_of(policy(), endpoints=wanted, existing=slices)
        assert pods_of(slices) == sorted(endpoint.pod for endpoint in wanted)
        assert all(0 < len(slice_.endpoints) <= 100 for slice_ in slices)
        again = slices_of(policy(), endpoints=wanted, existing=slices[::-1])
        assert again == slices


@given(numbers, numbers)
@settings(deadline=None)
def test_settled_never_says_so_when_something_is_to_be_written(a: set[int], b: set[int]) -> None:
    slices = slices_of(policy(), endpoints=endpoints(*a), existing=())
    assert settled(policy(), endpoints=endpoints(*a), existing=slices)
    assert settled(policy(), endpoints=endpoints(*b), existing=slices) == (a == b)


def test_moved_pod_is_not_settled() -> None:
    slices = slices_of(policy(), endpoints=endpoints(1), existing=())
    moved = [msgspec.structs.replace(endpoints(1)[0], node="node-b")]
    assert not settled(policy(), endpoints=moved, existing=slices)
