"""How much gets from a pod by a gateway node to the outside, beside others' ways (`bench.ways`).

TCP by iperf3, which receives and acknowledges; UDP by packets made beforehand, of which those
count that arrive, from the right address.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from statistics import median

from kernel.harness import OUTSIDE4

from bench.figures import Figure, ratios, summary
from bench.process import until
from bench.ways import POD, Way, ways
from bench.wire import Batch, Sender, datagram

FLOWS = (1, 8)
GOAL = 0.95  # of the CNI's way: part 2, figure 2

ROUNDS = 12
SECONDS = 170
"""Bound of the rounds: on a busy machine there are fewer of them."""
FEWEST = 5

TCP_SECONDS = 1  # iperf3 takes whole ones
PACKETS = 64_000
"""UDP packets in a sample, of all flows together."""
BATCH = 4_000

_PORT = 9  # RFC 863: discard
_IPERF_PORT = 5201

Samples = dict[tuple[str, int, str], list[float]]
"""By what is measured, flows and way: bit/s, packets/s, or packets in a second of CPU (`cpu`)."""


def run() -> tuple[Figure, ...]:
    """Every round has every way, with every number of flows, by TCP and by UDP."""
    install_iperf3()
    all_ways = ways()
    servers = [_serve(way) for way in all_ways]
    try:
        for way in all_ways:
            _check(way)
        senders = {way.name: [Sender(way.pod) for _ in range(max(FLOWS))] for way in all_ways}
        batches = [_batch(flow) for flow in range(max(FLOWS))]
        taken: Samples = {}
        deadline = time.monotonic() + SECONDS
        for round_ in range(ROUNDS):
            if round_ >= FEWEST and time.monotonic() > deadline:
                break
            for flows in FLOWS:
                for way in all_ways if round_ % 2 else reversed(all_ways):
                    taken.setdefault(("tcp", flows, way.name), []).append(_tcp(way, flows))
                for way in all_ways if round_ % 2 else reversed(all_ways):
                    rates = _udp(way, senders[way.name][:flows], batches[:flows])
                    for kind, rate in zip(("udp", "cpu"), rates, strict=True):
                        taken.setdefault((kind, flows, way.name), []).append(rate)
    finally:
        for server in servers:
            server.kill()
            server.wait()
    for way in all_ways:
        wrong = way.count("wrong")
        if wrong:
            raise RuntimeError(f"{way.name}: {wrong} packets did not come from {way.source}")
    return tuple(figures(taken))


def install_iperf3() -> None:
    """As hack/setup does for what all need. Raises CalledProcessError."""
    if shutil.which("iperf3"):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update -qq", "apt-get install -y -qq --no-install-recommends iperf3"):
        subprocess.run(command.split(), check=True, env=environment, stdout=subprocess.DEVNULL)


def _serve(way: Way) -> subprocess.Popen[bytes]:
    inside = ("nsenter", f"--net={way.outside.path}", "iperf3", "--server")
    return subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", *inside],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _check(way: Way) -> None:
    """It carries TCP and UDP, or nothing is measured."""
    listening = f"ss -Hltn sport = :{_IPERF_PORT}"
    until(f"iperf3 listens, {way.name}", lambda: bool(way.outside.run(listening)))
    _tcp(way, 1)
    sender = Sender(way.pod)
    before = way.count("arrived")
    sender.send(_batch(0), count=100)
    sender.close()
    arrived = way.count("arrived") - before
    if arrived != 100:
        raise RuntimeError(f"{way.name}: of 100 packets {arrived} arrived from {way.source}")


def _tcp(way: Way, flows: int) -> float:
    """Bits of payload that the outside received in a second."""
    told = way.pod.run(f"iperf3 --client {OUTSIDE4} --time {TCP_SECONDS} --parallel {flows} --json")
    return float(json.loads(told)["end"]["sum_received"]["bits_per_second"])


def _udp(way: Way, senders: list[Sender], batches: list[Batch]) -> tuple[float, float]:
    """Packets that arrived of flows that send as fast as they can, a thread each.

    In a second, and in a second of CPU of all those threads: what others do on the machine
    matters less there.
    """
    turns = PACKETS // BATCH // len(senders)

    def send(sender: Sender, batch: Batch) -> int:
        return sum(sender.send(batch)[1] for _ in range(turns))

    before = way.count("arrived")
    began = time.perf_counter()
    with ThreadPoolExecutor(len(senders)) as pool:
        used = sum(pool.map(send, senders, batches)) / 1e9
    took = time.perf_counter() - began
    arrived = way.count("arrived") - before
    return arrived / took, arrived / used


def _batch(flow: int) -> Batch:
    packet = datagram(POD, IPv4Address(str(OUTSIDE4)), ports=(20_000 + flow, _PORT))
    return Batch([packet] * BATCH)


def figures(taken: Samples) -> Iterator[Figure]:
    """The ratios, then what was measured."""
    for kind, goal in (("tcp", GOAL), ("udp", GOAL), ("cpu", None)):
        for flows in FLOWS:
            id_ = f"udp-{flows}-cpu" if kind == "cpu" else f"{kind}-{flows}"
            ours, cni = taken[kind, flows, "outgate"], taken[kind, flows, "vxlan"]
            least, plain = taken[kind, flows, "least"], taken[kind, flows, "plain"]
            yield from summary(id_, ratios(ours, cni), unit="x", goal=goal, better="higher")
            yield from summary(f"{id_}-least", ratios(least, cni), unit="x", better="higher")
            yield from summary(f"{id_}-plain", ratios(ours, plain), unit="x", better="higher")
    for (kind, flows, way), samples in sorted(taken.items()):
        if kind != "cpu":
            scale, unit = (1e9, "Gbit/s") if kind == "tcp" else (1e3, "kpacket/s")
            value = median(samples) / scale
            yield Figure(f"{kind}-{flows}-{way}-rate", value, unit, better="higher")
