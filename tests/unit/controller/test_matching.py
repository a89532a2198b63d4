from hypothesis import given, settings
from hypothesis import strategies as st

from outgate.api.core import Namespace, Pod, PodIP, PodSpec, PodStatus
from outgate.api.match import matches
from outgate.api.meta import LabelSelector, ObjectMeta, Requirement
from outgate.api.policy import (
    AnyPolicy,
    AppliedTo,
    ClusterAppliedTo,
    EgressClusterPolicy,
    EgressClusterPolicySpec,
    EgressPolicy,
    EgressPolicySpec,
)
from outgate.controller.matching import PodIndex

labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
selectors = st.builds(
    LabelSelector,
    match_labels=labels,
    match_expressions=st.lists(
        st.builds(
            Requirement,
            key=st.sampled_from("ab"),
            operator=st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
            values=st.just(("x",)),
        ),
        max_size=1,
    ).map(tuple),
)
subnets = st.lists(
    st.sampled_from(["192.0.2.0/29", "192.0.2.4", "2001:db8::/126", "bad"]), max_size=2
).map(tuple)
fields = {
    "pod_selector": st.none() | selectors,
    "pod_selectors": st.lists(selectors, max_size=2).map(tuple),
    "pod_subnet": subnets,
}
namespaced = st.builds(
    EgressPolicy,
    metadata=st.builds(ObjectMeta, name=st.just("p"), namespace=st.sampled_from(["n1", "n2"])),
    spec=st.builds(EgressPolicySpec, applied_to=st.builds(AppliedTo, **fields)),
)
wide = st.builds(
    EgressClusterPolicy,
    metadata=st.just(ObjectMeta(name="p")),
    spec=st.builds(
        EgressClusterPolicySpec,
        applied_to=st.builds(ClusterAppliedTo, **fields, namespace_selector=st.none() | selectors),
    ),
)


@st.composite
def pods(draw: st.DrawFn) -> list[Pod]:
    return [
        Pod(
            metadata=ObjectMeta(
                name=f"p{number}",
                namespace=draw(st.sampled_from(["n1", "n2"])),
                labels=draw(labels),
            ),
            spec=PodSpec(host_network=draw(st.booleans())),
            status=PodStatus(
                phase=draw(st.sampled_from(["Running", "Failed"])),
                pod_ips=(PodIP(ip=f"192.0.2.{number}"), PodIP(ip=f"2001:db8::{number}")),
            ),
        )
        for number in range(draw(st.integers(0, 8)))
    ]


@given(pods(), namespaced | wide, labels)
@settings(deadline=None)
def test_index_finds_just_the_pods_that_match(
    found: list[Pod], policy: AnyPolicy, of_namespace: dict[str, str]
) -> None:
    namespaces = {
        ("", "n1"): Namespace(metadata=ObjectMeta(name="n1", labels=of_namespace)),
    }
    expected = [
        pod
        for pod in sorted(found, key=lambda pod: (pod.metadata.namespace, pod.metadata.name))
        if matches(policy, pod, namespace=namespaces.get(("", pod.metadata.namespace)))
    ]
    assert list(PodIndex(found, namespaces).matched(policy)) == expected
