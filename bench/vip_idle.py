"""What the vip process of an idle gateway node takes of a CPU: three members, ten addresses.

Real processes at their default settings, in namespaces on a bridge, beside a real API server.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from apiserver.harness import ApiServer
from apiserver.vip_lan import VipLan, vip_lan
from kernel.vip.processes import Vip
from pyroute2 import netns

from bench import process
from bench.figures import Figure
from bench.netns import Namespace
from outgate.api.kinds import NAMESPACE
from outgate.kube.client import Client

NODES = ("node-a", "node-b", "node-c")
ADDRESSES = tuple(f"203.0.113.{number}" for number in range(100, 110))

CALM = 8.0
"""Seconds from when all is held until it is measured: the trains of announcements are over."""
MEASURED = 20.0  # s
GOAL = 3.0  # percent of a CPU

PAUSE = 0.25
WORK = 30_000
"""Steps of the work that tells how fast the machine is at this moment: 1 or 2 ms."""


def run() -> tuple[Figure, ...]:
    """The CPU of each process over some seconds of peace."""
    place = Namespace("api")
    with tempfile.TemporaryDirectory(prefix="outgate-bench-") as name:
        folder = Path(name)
        server = ApiServer(place.name, folder)
        try:
            # Not in a thread made for it: what a thread starts is killed when that thread ends.
            netns.pushns(place.name)
            try:
                server.start()
                Client.connect(server.kubeconfig).create(
                    NAMESPACE, {"metadata": {"name": "outgate"}}
                )
            finally:
                netns.popns()
            with vip_lan(server, folder, nodes=NODES) as lan:
                return _measured(lan)
        finally:
            server.close()


def _measured(lan: VipLan) -> tuple[Figure, ...]:
    vips = {node: lan.start(node) for node in NODES}
    for vip in vips.values():
        vip.told(*ADDRESSES, members=NODES)
    process.until("all addresses are held", lambda: _held(lan) == len(ADDRESSES), poll=0.2)
    time.sleep(CALM)
    before, lost, began = _cpu(vips), _lost(vips), time.monotonic()
    took = []
    while time.monotonic() < began + MEASURED:
        time.sleep(PAUSE)
        took.append(_work())
    seconds = time.monotonic() - began
    used = [100 * (cpu - before[node]) / seconds for node, cpu in _cpu(vips).items()]
    return (
        Figure("cpu", median(used), "%", GOAL),
        Figure("cpu-most", max(used), "%"),
        Figure("slowed", median(took) / min(took), "x"),
        Figure("lost", _lost(vips) - lost, "times"),
    )


def _held(lan: VipLan) -> int:
    return sum(len(lan.addresses(node) & set(ADDRESSES)) for node in NODES)


def _cpu(vips: Mapping[str, Vip]) -> dict[str, float]:
    return {node: vip.cpu() for node, vip in vips.items()}


def _lost(vips: Mapping[str, Vip]) -> int:
    """How often some addresses were let go: by a machine too busy for their leases."""
    return sum(vip.log.read_text().count("addresses released") for vip in vips.values())


def _work() -> float:
    """Seconds of CPU that the same work takes now: more, where others use the same core."""
    began = time.thread_time()
    sum(number * number for number in range(WORK))
    return time.thread_time() - began
