"""The view is a function of the snapshot: what a maker remembers never shows."""

from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from unit.agent.cluster import (
    EIP4,
    EIP6,
    LOCAL,
    cluster_policy,
    gateway,
    info,
    keyed,
    pod,
    policy,
    tunnel,
)

from outgate.agent.apply import addresses_of
from outgate.agent.holders import NOTHING_SAID, Claims
from outgate.agent.view import Snapshot, ViewMaker
from outgate.agent.vip_word import word_of
from outgate.api.core import Namespace
from outgate.api.hold import Hold
from outgate.api.meta import LabelSelector, ObjectMeta, Requirement
from outgate.api.policy import AppliedTo, AssignedEIP, ClusterAppliedTo, PolicyStatus
from outgate.api.view import NodeView

LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
SELECTORS = st.builds(
    LabelSelector,
    match_labels=LABELS,
    match_expressions=st.lists(
        st.builds(
            Requirement,
            key=st.sampled_from("ab"),
            operator=st.sampled_from(["Exists", "DoesNotExist"]),
        ),
        max_size=1,
    ).map(tuple),
)
OTHER4 = "203.0.113.101"
NAMESPACES = st.sampled_from(["shop", "bank"])
IPS = st.sampled_from([("10.244.1.1",), ("10.244.1.2", "fd00:1::2"), ("10.244.2.3",), ("what",)])
PODS = st.builds(
    lambda name, namespace, labels, ips, phase, node: pod(
        name, namespace=namespace, labels=labels, ips=ips, phase=phase, node=node, uid=f"uid-{name}"
    ),
    st.sampled_from(["p1", "p2", "p3"]),
    NAMESPACES,
    LABELS,
    IPS,
    st.sampled_from(["Running", "Pending", "Succeeded"]),
    st.sampled_from(["node-a", "node-b"]),
)
APPLIED: dict[str, Any] = {
    "pod_selector": st.none() | SELECTORS,
    "pod_selectors": st.lists(SELECTORS, max_size=2).map(tuple),
    "pod_subnet": st.sampled_from([(), ("10.244.1.0/24",), ("what",)]),
}
EIPS = st.builds(
    AssignedEIP, ipv4=st.sampled_from(["", EIP4, OTHER4]), ipv6=st.sampled_from(["", EIP6])
)
STATUSES = st.builds(
    PolicyStatus,
    gateway=st.sampled_from(["", "egw"]),
    eip=EIPS,
    eips=st.lists(EIPS, max_size=3, unique=True).map(tuple),
    use_node_ip=st.booleans(),
)
POLICIES = st.builds(
    lambda name, namespace, applied_to, dest, status: policy(
        name, namespace=namespace, applied_to=applied_to, dest=dest, status=status
    ),
    st.sampled_from(["q1", "q2", "q3"]),
    NAMESPACES,
    st.builds(AppliedTo, **APPLIED),
    st.sampled_from([(), ("198.51.100.0/24",), ("what",)]),
    STATUSES,
)
CLUSTER_POLICIES = st.builds(
    lambda name, applied_to, status: cluster_policy(name, applied_to=applied_to, status=status),
    st.sampled_from(["c1", "c2"]),
    st.builds(ClusterAppliedTo, namespace_selector=st.none() | SELECTORS, **APPLIED),
    STATUSES,
)
SPACES = st.builds(
    lambda name, labels: Namespace(metadata=ObjectMeta(name=name, labels=labels)),
    NAMESPACES,
    LABELS,
)
GATEWAYS = st.sampled_from(
    [
        keyed(),
        keyed(gateway((EIP4, 7, "node-a"), (EIP6, 8, "node-b"))),
        keyed(gateway((EIP4, 7, "node-b"), ("", 9, "node-a"), nodes={"node-a": True})),
        keyed(gateway((EIP4, 7, "node-a"), (EIP6, 8, "node-b"), (OTHER4, 10, "node-b"), epoch=2)),
        keyed(
            gateway((EIP4, 7, "node-b"), (EIP6, 8, ""), nodes={"node-b": True, "node-a": False}),
            gateway((OTHER4, 10, "node-b"), name="other", nodes={"node-b": True}),
        ),
    ]
)
ADDRESSES = st.sampled_from([ip_address(text) for text in (EIP4, EIP6, OTHER4)])
EPOCHS = st.integers(0, 3)
CLAIMS = st.builds(
    Claims,
    own=st.none() | st.dictionaries(ADDRESSES, EPOCHS),
    heard=st.dictionaries(
        ADDRESSES, st.builds(Hold, EPOCHS, st.sampled_from(["node-b", "node-c"]))
    ),
)
TUNNELS = st.sampled_from(
    [
        keyed(tunnel("node-a", 1)),
        keyed(tunnel("node-a", 1, mark=1), tunnel("node-b", 2, mark=2)),
        keyed(tunnel("node-b", 2)),
    ]
)
INFOS = st.sampled_from([keyed(), keyed(info("10.244.0.0/16"))])


def some(objects: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[tuple[str, str], Any]]:
    return st.lists(objects, max_size=5).map(lambda found: keyed(*found))


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("pods"), some(PODS)),
        st.tuples(st.just("namespaces"), some(SPACES)),
        st.tuples(st.just("policies"), some(POLICIES)),
        st.tuples(st.just("cluster_policies"), some(CLUSTER_POLICIES)),
        st.tuples(st.just("gateways"), GATEWAYS),
        st.tuples(st.just("tunnels"), TUNNELS),
        st.tuples(st.just("cluster_infos"), INFOS),
        st.tuples(st.just("claims"), CLAIMS),
    ),
    min_size=1,
    max_size=12,
)


@given(CHANGES, st.booleans())
def test_a_maker_with_a_past_gives_what_a_new_one_gives(
    changes: list[tuple[str, Any]], strict_start: bool
) -> None:
    maker = ViewMaker(strict_start=strict_start)
    held: dict[str, Any] = {
        "cluster_infos": keyed(info("10.244.0.0/16")),
        "tunnels": keyed(tunnel("node-a", 1)),
        "pods": {},
    }
    claims = NOTHING_SAID
    for field, value in changes:
        if field == "claims":
            claims = value
            continue
        # As stores do: an object that has not changed stays the same object.
        old = held.get(field, {})
        held[field] = {k: old[k] if old.get(k) == v else v for k, v in value.items()}
        snapshot = Snapshot(**held)
        made = maker.view(snapshot, local=LOCAL, claims=claims)
        fresh = ViewMaker(strict_start=strict_start)
        assert made == fresh.view(snapshot, local=LOCAL, claims=claims)
        if made.view is not None:
            each_pod_is_under_one_entry_of_each_policy(made.view)
            the_node_is_prepared_for_all_that_may_come_to_it(made.view)


def each_pod_is_under_one_entry_of_each_policy(view: NodeView) -> None:
    for keys in view.pods.values():
        policies = [view.policies[key].key for key in keys]
        assert len(set(policies)) == len(policies)
        assert list(keys) == sorted(keys)
    for key, each in view.policies.items():
        assert key.partition("#")[0] == each.key
        assert each.key in view.policies
    assert not view.known or view.known >= view.pods.keys()


def the_node_is_prepared_for_all_that_may_come_to_it(view: NodeView) -> None:
    held = {each.id for each in view.held}
    here = {id_ for id_, node in view.next_hops.items() if node == view.node.name}
    assert held >= here
    assert addresses_of(view.held) >= {each for group in view.groups for each in group.addresses}
    word = word_of(view, interface="eth0")
    assert {ip_address(text) for group in word.groups for text in group.addresses} <= addresses_of(
        view.held
    )


@given(some(PODS), some(POLICIES), some(CLUSTER_POLICIES), some(SPACES))
def test_matching_by_index_is_matching_by_asking_each(
    pods: Any, policies: Any, cluster_policies: Any, namespaces: Any
) -> None:
    from outgate.agent.matching import PodMatcher, policy_key
    from outgate.api.match import matches

    found = PodMatcher().match(pods, namespaces, policies, cluster_policies)
    for key, one in pods.items():
        namespace = namespaces.get(("", one.metadata.namespace))
        asked = {
            policy_key(policy)
            for policy in (*policies.values(), *cluster_policies.values())
            if matches(policy, one, namespace=namespace)
        }
        assert found.get(key, frozenset()) == asked
