"""From a pod's address in the API to its first packet that leaves with the right source.

A real API server, a real agent with its vip process, and pods that talk from their first moment:
each sends new flows, and one flow that goes on, until both leave with their egress address.
"""

import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path as File
from statistics import median

import msgspec
from unit.agent.cluster import EIP4, EIP6, ID4, ID6, gateway, info, tunnel

from bench import process
from bench.cluster import Cluster
from bench.figures import Figure, percentile
from bench.path import Path
from bench.process import until
from bench.wire import datagram
from bench.workload import PODS, destination4, pod_address4, some_pod, some_policy
from outgate.api.core import Namespace as KubeNamespace
from outgate.api.kinds import (
    EGRESS_CLUSTER_INFO,
    EGRESS_GATEWAY,
    EGRESS_POLICY,
    EGRESS_TUNNEL,
    NAMESPACE,
    POD,
)
from outgate.api.meta import ObjectMeta

NODE = "node-a"
POLICIES = 1_000
STARTS = 400
PACE = 20.0  # pods a second: part 2, figure 4
P50, P99 = 50.0, 250.0  # ms: the same

TICK = 0.002
"""Seconds between two packets of a pod, of each kind."""

_ETH_P_ALL = 0x0003  # one protocol alone would be heard behind the hook that drops
_ETHERTYPE_IPV4 = b"\x08\x00"
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; socket has no name for it
_TIMESPEC = struct.Struct("=qq")
_PAYLOAD = struct.Struct(">4sIB")
_MAGIC = b"ogps"
_FLOW_PORT = 1024
_PORTS = range(2048, 65536)
_DESTINATION_PORT = 9  # RFC 863: discard


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet beyond the node: from which pod, of the flow that goes on or new, by what source."""

    pod: int
    flow: bool
    source: IPv4Address


@dataclass
class Start:
    """One pod's. asked, answered: when its address was sent to the API server, and taken there.

    first: when the first new flow left rightly; flow: when the one did that goes on. All in ns of
    the wall clock; 0 for not yet. wrong: packets that left with another source.
    """

    asked: int = 0
    answered: int = 0
    first: int = 0
    flow: int = 0
    wrong: int = 0


def run() -> tuple[Figure, ...]:
    """One agent, many starts."""
    path = Path()
    path.node.sysctl({"ipv6/conf/all/forwarding": 1})
    # The new flows are the instrument's: they shall not pile up, or the agent looks through them.
    path.node.sysctl({"netfilter/nf_conntrack_udp_timeout": 5})
    more = "10.244.2.0/23"  # more pods than Path has room for
    path.pods.ip(f"route add local {more} dev lo")
    path.node.ip(f"route add {more} via 10.244.9.2")
    with tempfile.TemporaryDirectory(prefix="outgate-bench-") as name:
        folder = File(name)
        with Cluster(path.node, folder) as cluster:
            _fill(cluster)
            with (
                process.vip(path.node, cluster.account, folder=folder),
                process.agent(path.node, cluster.account, node=NODE, folder=folder) as agent,
            ):
                process.until_ready(agent, path.node)
                until("the address is held", lambda: EIP4 in path.node.run("ip -4 addr"))
                used = agent.cpu()
                starts = _start_pods(cluster, path)
                agent.check()
                used = agent.cpu() - used
    return (
        *figures(starts, rate=_rate(starts)),
        Figure("cpu", used / len(starts) * 1e3, "ms"),
    )


def _fill(cluster: Cluster) -> None:
    cluster.create(NAMESPACE, [KubeNamespace(metadata=ObjectMeta(name="shop"))])
    cluster.create(EGRESS_CLUSTER_INFO, [info("10.244.0.0/16")])
    cluster.create(EGRESS_TUNNEL, [tunnel(NODE, 1, mark=1)])
    cluster.create(EGRESS_GATEWAY, [gateway((EIP4, ID4, NODE), (EIP6, ID6, NODE))])
    cluster.create(EGRESS_POLICY, map(some_policy, range(POLICIES)))
    cluster.create(POD, map(some_pod, range(PODS)))
    pending = (msgspec.to_builtins(some_pod(number)) for number in _numbers())
    cluster.create(POD, ({**pod, "status": {"phase": "Pending"}} for pod in pending))


def _numbers() -> range:
    return range(PODS, PODS + STARTS)


def _start_pods(cluster: Cluster, path: Path) -> Sequence[Start]:
    """Give pods their addresses, at a pace, until all of them have been heard rightly."""
    starts = {number: Start() for number in _numbers()}
    over = threading.Event()
    listener = path.beyond.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    speaker = path.pods.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    listener.settimeout(0.1)
    threads = [
        threading.Thread(target=_listen, args=(listener, starts, over)),
        threading.Thread(target=_speak, args=(speaker, starts, over)),
    ]
    for thread in threads:
        thread.start()
    try:
        cluster.each([starts], lambda each: _give_addresses(cluster, each))
        until(
            "all pods leave rightly", lambda: all(one.first and one.flow for one in starts.values())
        )
    finally:
        over.set()
        for thread in threads:
            thread.join()
        listener.close()
        speaker.close()
    return list(starts.values())


def _give_addresses(cluster: Cluster, starts: Mapping[int, Start]) -> None:
    began = time.monotonic()
    for turn, (number, start) in enumerate(starts.items()):
        time.sleep(max(0.0, began + turn / PACE - time.monotonic()))
        pod = msgspec.to_builtins(some_pod(number))
        start.asked = time.time_ns()
        cluster.write_status(POD, pod)
        start.answered = time.time_ns()


def _speak(speaker: socket.socket, starts: Mapping[int, Start], over: threading.Event) -> None:
    """Every pod that has been given its address sends, until it is heard rightly."""
    turn = 0
    while not over.wait(TICK):
        turn += 1
        for number, start in starts.items():
            if not start.asked or (start.first and start.flow):
                continue
            for flow in (True, False):
                port = _FLOW_PORT if flow else _PORTS[turn % len(_PORTS)]
                speaker.sendto(packet(number, flow=flow, port=port), (str(_destination(number)), 0))


def _listen(listener: socket.socket, starts: Mapping[int, Start], over: threading.Event) -> None:
    right = IPv4Address(EIP4)
    while not over.is_set():
        try:
            frame, ancillary, _, _ = listener.recvmsg(2048, 128)
        except TimeoutError:
            continue
        found = seen(frame)
        if found is None:
            continue
        start = starts[found.pod]
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
        at = seconds * 10**9 + nanoseconds
        if found.source != right:
            start.wrong += 1
        elif found.flow:
            start.flow = start.flow or at
        else:
            start.first = start.first or at


def packet(number: int, *, flow: bool, port: int) -> bytes:
    """What the pod of that number sends, by a port of its own."""
    return datagram(
        pod_address4(number),
        _destination(number),
        ports=(port, _DESTINATION_PORT),
        payload=_PAYLOAD.pack(_MAGIC, number, flow),
    )


def _destination(number: int) -> IPv4Address:
    """One that a policy of the pod is about."""
    return destination4(number % PODS)


def seen(frame: bytes) -> Seen | None:
    """What an Ethernet frame tells; None if it is not one of ours."""
    if frame[12:14] != _ETHERTYPE_IPV4 or frame[42:46] != _MAGIC:
        return None
    _, number, flow = _PAYLOAD.unpack_from(frame, 42)
    return Seen(number, bool(flow), IPv4Address(frame[26:30]))


def _rate(starts: Sequence[Start]) -> float:
    took = (starts[-1].asked - starts[0].asked) / 1e9
    return (len(starts) - 1) / took


def figures(starts: Sequence[Start], *, rate: float) -> Iterator[Figure]:
    """All about the pods' starts. rate: how many there were in a second."""
    first = [(one.first - one.asked) / 1e6 for one in starts]
    flow = [(one.flow - one.asked) / 1e6 for one in starts]
    write = [(one.answered - one.asked) / 1e6 for one in starts]
    wrong = [one.wrong for one in starts]
    yield Figure("p50", percentile(first, 50), "ms", P50)
    yield Figure("p99", percentile(first, 99), "ms", P99)
    yield Figure("worst", max(first), "ms")
    yield Figure("flow-p50", percentile(flow, 50), "ms")
    yield Figure("flow-p99", percentile(flow, 99), "ms")
    yield Figure("write-p50", percentile(write, 50), "ms")
    yield Figure("write-p99", percentile(write, 99), "ms")
    yield Figure("wrong", median(wrong), "packets")
    yield Figure("wrong-worst", max(wrong), "packets")
    yield Figure("rate", rate, "pods/s", better="higher")
