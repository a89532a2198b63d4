"""Probes against real targets across a link that is cut, and restored."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kernel.harness import Namespace

from outgate.agent.probes.get import get
from outgate.agent.probes.ping import NO_RIGHT, ping
from outgate.agent.probes.prober import Prober
from outgate.api.probes import HealthProbes, HTTPProbe, ICMPProbe

pytestmark = pytest.mark.kernel

NODE4, NODE6 = "192.0.2.1", "2001:db8:1::1"
ROUTER4, ROUTER6 = "192.0.2.9", "2001:db8:1::9"
NOBODY = "192.0.2.77"
GROUPS = "ipv4/ping_group_range"


@dataclass(frozen=True)
class Segment:
    """A node, and a router that answers pings and HTTP."""

    node: Namespace
    router: Namespace
    port: int

    def url(self, path: str = "/", *, address: str = ROUTER4) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self.port}{path}"

    def cut(self) -> None:
        """Nothing gets through, and nobody is told: as a switch that fails does."""
        self.router.run(
            "nft -f -",
            script="table netdev cut {\nchain in {\n"
            "type filter hook ingress device lan priority 0; policy drop;\n}\n}\n",
        )

    def restore(self) -> None:
        self.router.run("nft delete table netdev cut")


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/ill": 503, "/moved": 302}.get(self.path, 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6  # and IPv4
    daemon_threads = True


@pytest.fixture
def segment() -> Iterator[Segment]:
    node, router = Namespace("node"), Namespace("router")
    try:
        node.ip(
            f"link add lan type veth peer name lan netns {router.name}",
            "link set lan up",
            f"address add {NODE4}/24 dev lan",
            f"address add {NODE6}/64 dev lan nodad",
        )
        router.ip(
            "link set lan up",
            f"address add {ROUTER4}/24 dev lan",
            f"address add {ROUTER6}/64 dev lan nodad",
        )
        server = router.inside(lambda: _Server(("::", 0), _Answer))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield Segment(node, router, server.server_port)
        server.shutdown()
        server.server_close()
        thread.join(5.0)
    finally:
        node.delete()
        router.delete()


def ask(segment: Segment, target: str, *, patience: float = 3.0) -> str:
    def once() -> str:
        asks = get if target.startswith("http") else ping
        return asks(target, patience=patience, stop=threading.Event())

    return segment.node.inside(once)


@pytest.mark.parametrize("groups", ["0 2147483647", "1 0"], ids=["unprivileged", "raw"])
@pytest.mark.parametrize("target", [ROUTER4, ROUTER6])
def test_a_ping_is_answered_by_either_kind_of_socket(
    segment: Segment, target: str, groups: str
) -> None:
    segment.node.inside(lambda: _write(GROUPS, groups))
    assert ask(segment, target) == ""


def test_a_ping_that_is_not_answered_says_why(segment: Segment) -> None:
    assert ask(segment, NOBODY, patience=0.3) == "no answer within 0.3 s"
    assert ask(segment, "203.0.113.7") == "Network is unreachable"
    segment.cut()
    assert ask(segment, ROUTER4, patience=0.3) == "no answer within 0.3 s"
    segment.restore()
    assert ask(segment, ROUTER4) == ""


def test_without_the_right_it_says_which_one(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("outgate.agent.probes.ping.socket.socket", refused)
    assert ping(ROUTER4, patience=1.0, stop=threading.Event()) == NO_RIGHT


def test_an_http_answer_counts_by_its_status(segment: Segment) -> None:
    assert ask(segment, segment.url()) == ""
    assert ask(segment, segment.url(address=ROUTER6)) == ""
    assert ask(segment, segment.url("/moved")) == ""
    assert ask(segment, segment.url("/ill")) == "status 503"


def test_an_http_target_that_does_not_answer_says_why(segment: Segment) -> None:
    assert "refused" in ask(segment, f"http://{ROUTER4}:1/")
    assert "resolve" in ask(segment, "http://nobody.invalid/")
    assert "WRONG_VERSION" in ask(segment, segment.url().replace("http:", "https:"))
    segment.cut()
    assert ask(segment, segment.url(), patience=0.3) == "no answer within 0.3 s"


def test_a_node_that_loses_its_targets_is_unfit_and_fit_again_when_one_is_back(
    segment: Segment,
) -> None:
    changes: list[tuple[float, bool]] = []
    prober = segment.node.inside(Prober)
    prober.subscribe(lambda: changes.append((time.monotonic(), prober.fitness()["gw"].fit)))
    icmp = ICMPProbe(ips=(ROUTER4, ROUTER6), interval=1, timeout=2)
    http = HTTPProbe(urls=(segment.url(),), interval=1, timeout=3)
    prober.want({"gw": HealthProbes(icmp=icmp, http=http)})
    stop = threading.Event()
    thread = threading.Thread(target=lambda: segment.node.inside(lambda: prober.run(stop)))
    thread.start()
    try:
        _eventually(lambda: changes[-1:] != [] and changes[-1][1], within=5.0)
        segment.cut()
        cut = time.monotonic()
        _eventually(lambda: not changes[-1][1], within=10.0)
        # Counted from the last answer, which was up to an interval before the cut.
        assert changes[-1][0] - cut > 0.9
        assert "icmp: no target has answered for 2 s" in prober.unready()
        _eventually(lambda: "http: no target" in prober.unready(), within=5.0)
        segment.restore()
        _eventually(lambda: changes[-1][1], within=10.0)
        assert prober.unready() == ""
    finally:
        stop.set()
        thread.join(5.0)
    assert not thread.is_alive()


def _write(key: str, value: str) -> None:
    Path("/proc/sys/net", key).write_text(value)


def _eventually(true: Callable[[], bool], *, within: float) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.005)
