"""What only the real nftables has: drift, others' tables, threads, counters."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as changed
from pathlib import Path

import pytest
from kernel.harness import Namespace
from views import SETTINGS, SMALL, SMALL_GATEWAY, ruleset

from outgate.rules.diff import diff, replace
from outgate.rules.errors import KernelRefused
from outgate.rules.kernel import NftKernel

pytestmark = pytest.mark.kernel

DESIRED = ruleset(SMALL, SETTINGS)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace("nft")
    try:
        yield made
    finally:
        made.delete()


@pytest.fixture
def kernel(namespace: Namespace) -> NftKernel:
    made = NftKernel(netns=namespace.path)
    made.apply(replace(DESIRED))
    return made


@pytest.mark.parametrize(
    "tampering",
    [
        "add rule inet outgate begin accept",
        "flush chain inet outgate begin",
        "add element inet outgate next_hop { 0x990000 : drop }",
        "delete element inet outgate next_hop { 0x10000 }",
        "add chain inet outgate foreign",
        "flush chain inet outgate postrouting",
        "delete table inet outgate",
    ],
)
def test_drift_is_seen_and_repaired(
    namespace: Namespace, kernel: NftKernel, tampering: str
) -> None:
    namespace.run(f"nft {tampering}")
    assert kernel.observe() != DESIRED

    kernel.apply(diff(kernel.observe(), DESIRED))

    assert kernel.observe() == DESIRED


def test_drift_is_still_seen_after_a_change_elsewhere(
    namespace: Namespace, kernel: NftKernel
) -> None:
    namespace.run("nft add rule inet outgate begin accept")
    fewer = ruleset(changed(SMALL, peers=SMALL.peers[:1]), SETTINGS)
    kernel.apply(diff(DESIRED, fewer))  # as an agent does that has not looked since

    assert diff(kernel.observe(), fewer)


def test_a_new_process_does_not_trust_rules_that_it_has_not_written(
    namespace: Namespace, kernel: NftKernel
) -> None:
    successor = NftKernel(netns=namespace.path)

    successor.apply(diff(successor.observe(), DESIRED))

    assert successor.observe() == DESIRED


def test_it_knows_whether_others_wrote(namespace: Namespace, kernel: NftKernel) -> None:
    kernel.touched()
    assert not kernel.touched()
    fewer = ruleset(changed(SMALL, peers=SMALL.peers[:1]), SETTINGS)
    kernel.apply(diff(DESIRED, fewer))
    assert not kernel.touched()
    namespace.run("nft flush chain inet outgate begin")
    kernel.apply(diff(fewer, DESIRED))  # its own write does not hide theirs
    assert kernel.touched()
    assert not kernel.touched()


def test_a_comment_on_an_element_is_no_drift_and_no_harm(
    namespace: Namespace, kernel: NftKernel
) -> None:
    namespace.run("nft delete element inet outgate next_hop { 0x10000 }")
    script = 'add element inet outgate next_hop { 0x10000 comment "mine" : drop }'
    namespace.run("nft -f -", script=script)
    assert diff(kernel.observe(), DESIRED)
    kernel.apply(diff(kernel.observe(), DESIRED))
    assert kernel.observe() == DESIRED


def test_the_listing_is_in_nfts_words(kernel: NftKernel) -> None:
    assert "chain begin {" in kernel.listing()
    assert kernel.observe() == DESIRED


def test_cleanup_removes_our_tables_and_only_them(namespace: Namespace) -> None:
    foreign = "table ip outgate { chain c { counter accept; }; }; table inet other { }"
    namespace.run("nft -f -", script=foreign)
    namespace.ip("link add outgate type veth peer name other")
    before = namespace.state()
    kernel = NftKernel(netns=namespace.path)
    kernel.apply(replace(ruleset(SMALL_GATEWAY, SETTINGS)))

    kernel.cleanup()
    kernel.cleanup()  # nothing to do is no failure

    assert namespace.state() == before


def test_a_netdev_chain_without_its_device_is_refused_or_waits_for_it(
    namespace: Namespace,
) -> None:
    kernel = NftKernel(netns=namespace.path)
    try:
        kernel.apply(replace(ruleset(SMALL_GATEWAY, SETTINGS)))
    except KernelRefused as refusal:
        assert "No such file" in refusal.message
        assert kernel.observe() is None


def test_many_threads_share_one_context(kernel: NftKernel) -> None:
    other = ruleset(changed(SMALL, next_hops={1: "node-3"}), SETTINGS)

    def flip(_: int) -> None:
        kernel.apply(diff(None, other))
        kernel.observe()
        kernel.counters()

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(flip, range(12)))

    assert kernel.observe() == other


def test_every_counter_is_listed_by_name(kernel: NftKernel) -> None:
    assert kernel.counters().keys() == DESIRED.tables["inet"].counters


def test_a_namespace_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError):
        NftKernel(netns=Path("/run/netns/og-nowhere"))
