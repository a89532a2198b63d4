"""Rows U1, D4: upgrades by helm under traffic, and replies by the CNI's own routes."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e.world import CLIENTS, FAMILIES, NAMESPACE, World, selected

from outgate.lab import Lab, Protocol, product

EIP = {4: "172.30.0.110", 6: "fd00:30::110"}
PROBE_EVERY = 0.05
PATIENCE = 5.0
"""Seconds until a probe counts as lost: on a busy machine an answer may be late."""


@pytest.fixture
def served(world: World) -> Iterator[World]:
    """All clients leave with the default addresses."""
    with world.having(world.policy("served", {"appliedTo": selected(app="client")})):
        for client, family in itertools.product(CLIENTS, FAMILIES):
            world.wait_source(client, EIP[family], family)
        yield world


def upgrade(lab: Lab, *values: str) -> None:
    """`helm upgrade` of the same image with other values; ends when all pods are ready."""
    product.install(lab, product.image(), values=values)


def test_an_upgrade_loses_no_packet_and_leaks_none(served: World) -> None:
    over = threading.Event()
    lost: list[tuple[str, float]] = []

    def keep_asking(client: str) -> int:
        asked = 0
        while not over.wait(PROBE_EVERY):
            asked += 1
            sent = time.time()
            if served.source(client, protocol=Protocol.UDP, timeout=PATIENCE) != EIP[4]:
                lost.append((client, sent))
        return asked

    began = time.time()
    with (
        served.lab.flow("client-w1", namespace=NAMESPACE) as flow,
        ThreadPoolExecutor(max_workers=len(CLIENTS)) as pool,
    ):
        probing = [pool.submit(keep_asking, client) for client in CLIENTS]
        try:
            upgrade(served.lab, "agent.logLevel=debug", "controller.logLevel=debug")
        finally:
            over.set()
        asked = [each.result() for each in probing]
        assert str(flow.ask().source) == EIP[4]
    assert min(asked) > 10
    assert lost == []
    assert {str(seen.source) for seen in served.lab.outside_log(since=began)} == {EIP[4]}


def test_replies_may_take_the_cnis_own_routes(served: World) -> None:
    upgrade(served.lab, "feature.enableGatewayReplyRoute=false")
    try:
        for client, family in itertools.product(CLIENTS, FAMILIES):
            served.wait_source(client, EIP[family], family)
        holder = served.lab.kubectl_json("get", "egw", "default")["status"]["addresses"][0]["node"]
        with served.lab.capture(holder, "udp port 7789") as tunnel:
            assert served.source("client-w1") == EIP[4]
            tunnel.stop()
            own = served.node_address(holder, 4)
            sent = [line for line in tunnel.lines() if f"IP {own}." in line]
        assert sent == [], "a reply came by the tunnel"
    finally:
        upgrade(served.lab)
    for client, family in itertools.product(CLIENTS, FAMILIES):
        served.wait_source(client, EIP[family], family)
