"""One body for the fake nftables and the real one: both take and refuse the same."""

from collections.abc import Iterator
from dataclasses import replace as changed
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from kernel.harness import Namespace
from views import SETTINGS, SMALL, SMALL_GATEWAY, policy, ruleset, views

from outgate.api.view import HeldEgress, NodeView
from outgate.rules.diff import diff, replace
from outgate.rules.edge import Kernel
from outgate.rules.errors import KernelRefused
from outgate.rules.fake import FakeKernel
from outgate.rules.kernel import NftKernel
from outgate.rules.model import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    Elements,
    Operation,
    Ruleset,
    SetType,
    Transaction,
)

SPANS = SetType(("nf_proto", "ipv4_addr"), "mark", interval=True)
NEXT_HOP = SetType(("mark",), "verdict")


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    if request.param == "fake":
        yield FakeKernel()
        return
    namespace = Namespace("nft")
    try:
        # Stands in for the tunnel: a netdev chain needs a device of that name.
        namespace.ip("link add outgate type veth peer name other")
        yield NftKernel(netns=namespace.path)
    finally:
        namespace.delete()


def state(kernel: Kernel) -> Ruleset:
    observed = kernel.observe()
    assert observed is not None
    return observed


def test_there_is_nothing_before_the_start(kernel: Kernel) -> None:
    assert kernel.observe() is None


@pytest.mark.parametrize("view", [SMALL, SMALL_GATEWAY], ids=["worker", "gateway"])
def test_what_was_planned_is_what_is_observed(kernel: Kernel, view: NodeView) -> None:
    kernel.apply(replace(ruleset(view, SETTINGS)))

    assert state(kernel) == ruleset(view, SETTINGS)


@pytest.mark.parametrize(
    "after",
    [
        changed(SMALL, next_hops={1: "node-3", 2: "node-3"}),
        changed(SMALL, next_hops={}),
        changed(SMALL, peers=SMALL.peers[:1], next_hops={1: "node-2"}),
        changed(SMALL, inside=frozenset()),
        changed(SMALL, pods={ip_address("10.244.1.9"): ("team/partner",)}),
        changed(SMALL, policies={**SMALL.policies, "cluster/all": policy("cluster/all", egress=9)}),
        changed(SMALL_GATEWAY, held=(HeldEgress(2, None, IPv6Address("2001:db8:e::8")),)),
        SMALL_GATEWAY,
    ],
)
def test_a_change_is_what_was_planned(kernel: Kernel, after: NodeView) -> None:
    kernel.apply(replace(ruleset(SMALL, SETTINGS)))

    kernel.apply(diff(state(kernel), ruleset(after, SETTINGS)))

    assert state(kernel) == ruleset(after, SETTINGS)
    assert not diff(state(kernel), ruleset(after, SETTINGS))
    kernel.apply(diff(state(kernel), ruleset(SMALL, SETTINGS)))
    assert state(kernel) == ruleset(SMALL, SETTINGS)


def refused(*operations: Operation) -> Transaction:
    return Transaction((AddChain("inet", "witness", None), *operations))


ELEMENT: Elements = {("ipv4", (0xCB007100, 0xCB0071FF)): 0x10000}

REFUSALS = {
    "a jump to no chain": refused(AddRules("inet", "begin", ("goto nowhere",))),
    "a lookup in no set": refused(AddRules("inet", "begin", ("ip saddr @nothing drop",))),
    "a verdict to no chain": refused(
        AddElements("inet", "next_hop", NEXT_HOP, {(0x990000,): "goto nowhere"})
    ),
    "an element that is not there": refused(
        DeleteElements("inet", "next_hop", NEXT_HOP, frozenset({(0x990000,)}))
    ),
    "a chain in use": refused(DeleteChain("inet", "begin")),
    "a set in use": refused(DeleteSet("inet", "next_hop")),
    "a chain that is not there": refused(DeleteChain("inet", "nowhere")),
    "overlapping spans": refused(
        AddSet("inet", "probe", SPANS),
        AddElements("inet", "probe", SPANS, ELEMENT),
        AddElements("inet", "probe", SPANS, {("ipv4", (0xCB007180, 0xCB0072FF)): 0x20000}),
    ),
    "another verdict for a key": refused(
        AddElements("inet", "next_hop", NEXT_HOP, {(0x10000,): "goto via_2"})
    ),
}


@pytest.mark.parametrize("transaction", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refused_transaction_leaves_all_as_it_was(
    kernel: Kernel, transaction: Transaction
) -> None:
    kernel.apply(replace(ruleset(SMALL, SETTINGS)))

    with pytest.raises(KernelRefused):
        kernel.apply(transaction)

    assert state(kernel) == ruleset(SMALL, SETTINGS)


def test_a_span_can_be_cut_in_one_transaction(kernel: Kernel) -> None:
    kernel.apply(replace(ruleset(SMALL, SETTINGS)))
    make = AddSet("inet", "probe", SPANS)
    kernel.apply(Transaction((make, AddElements("inet", "probe", SPANS, ELEMENT))))
    cut: Elements = {
        ("ipv4", (0xCB007100, 0xCB00717F)): 0x10000,
        ("ipv4", (0xCB007180, 0xCB0071FF)): 0x20000,
    }

    kernel.apply(
        Transaction(
            (
                DeleteElements("inet", "probe", SPANS, frozenset(ELEMENT)),
                AddElements("inet", "probe", SPANS, cut),
            )
        )
    )

    assert state(kernel).tables["inet"].sets["probe"].elements == cut


@pytest.mark.parametrize("version", [4, 6])
def test_a_span_of_one_address_can_be_deleted(kernel: Kernel, version: int) -> None:
    kernel.apply(replace(ruleset(SMALL, SETTINGS)))
    v6 = SetType(("nf_proto", "ipv6_addr"), "mark", interval=True)
    type_ = SPANS if version == 4 else v6
    one: Elements = {(f"ipv{version}", (0xCB007100, 0xCB007100)): 0x10000}
    make = AddSet("inet", "probe", type_)
    kernel.apply(Transaction((make, AddElements("inet", "probe", type_, one))))

    kernel.apply(Transaction((DeleteElements("inet", "probe", type_, frozenset(one)),)))

    assert state(kernel).tables["inet"].sets["probe"].elements == {}


@pytest.mark.parametrize("type_", [SPANS, SetType(("ipv4_addr",), "mark")], ids=["spans", "hash"])
def test_more_elements_than_fit_one_message_arrive_whole(kernel: Kernel, type_: SetType) -> None:
    many: Elements = {
        ("ipv4", (number * 512, number * 512 + 255)) if type_.interval else (number,): 0x10000
        for number in range(4000)
    }
    kernel.apply(replace(ruleset(SMALL, SETTINGS)))
    make = AddSet("inet", "probe", type_)

    kernel.apply(Transaction((make, AddElements("inet", "probe", type_, many))))
    assert state(kernel).tables["inet"].sets["probe"].elements == many

    kernel.apply(Transaction((DeleteElements("inet", "probe", type_, frozenset(many)),)))
    assert state(kernel).tables["inet"].sets["probe"].elements == {}


def test_a_set_takes_no_more_than_its_size(kernel: Kernel) -> None:
    kernel.apply(replace(ruleset(SMALL, SETTINGS)))
    type_ = SetType(("mark",), size=2)
    make = AddSet("inet", "probe", type_)
    kernel.apply(Transaction((make, AddElements("inet", "probe", type_, {(1,): None, (2,): None}))))

    with pytest.raises(KernelRefused):
        kernel.apply(Transaction((AddElements("inet", "probe", type_, {(3,): None}),)))


def test_what_counts_reads_as_any_other(kernel: Kernel) -> None:
    settings = changed(SETTINGS, counters=True)
    kernel.apply(replace(ruleset(SMALL_GATEWAY, settings)))

    assert not diff(state(kernel), ruleset(SMALL_GATEWAY, settings))


@given(views(), views())
@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_view_follows_any_other(kernel: Kernel, before: NodeView, after: NodeView) -> None:
    kernel.apply(replace(ruleset(before, SETTINGS)))
    kernel.apply(diff(state(kernel), ruleset(after, SETTINGS)))

    assert state(kernel) == ruleset(after, SETTINGS)
