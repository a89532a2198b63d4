import errno
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from outgate.daemon.http import Check, HttpServer, Page, _is_loopback

DEADLINE = 5.0

Names = Callable[[], Mapping[str, str]]


def nothing() -> Mapping[str, str]:
    return {}


@contextmanager
def serving(
    *,
    dead: Names = nothing,
    unready: Names = nothing,
    checks: Mapping[str, Check] | None = None,
    pages: Mapping[str, Page] | None = None,
    registry: CollectorRegistry | None = None,
    address: str = "",
) -> Iterator[HttpServer]:
    server = HttpServer(
        port=0,
        dead=dead,
        unready=unready,
        checks=checks,
        pages=pages,
        registry=registry or CollectorRegistry(),
        address=address,
    )
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    try:
        assert server.wait_ready(DEADLINE)
        yield server
    finally:
        stop.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert not server.ready()


def ask(server: HttpServer, path: str, *, host: str = "127.0.0.1") -> tuple[int, str]:
    try:
        url = f"http://{host}:{server.port}{path}"
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_all_is_well() -> None:
    with serving() as server:
        assert ask(server, "/healthz") == (200, "ok\n")
        assert ask(server, "/readyz") == (200, "ok\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_both_families_are_served(host: str) -> None:
    with serving() as server:
        assert ask(server, "/healthz", host=host) == (200, "ok\n")


def test_without_ipv6_only_ipv4_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.__init__

    def without_ipv6(self: socket.socket, family: int = -1, *rest: int, **more: int) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        real(self, family, *rest, **more)

    monkeypatch.setattr(socket.socket, "__init__", without_ipv6)
    with serving() as server:
        assert ask(server, "/healthz") == (200, "ok\n")


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_only_the_given_address_is_served(address: str, host: str) -> None:
    with serving(address=address) as server:
        assert ask(server, "/healthz", host=host) == (200, "ok\n")


def test_a_dead_loop_is_named_with_the_reason() -> None:
    with serving(dead=lambda: {"watch pods": "its thread has ended"}) as server:
        assert ask(server, "/healthz") == (503, "watch pods: its thread has ended\n")
        assert ask(server, "/readyz")[0] == 200


def test_what_is_not_ready_is_named_sorted_with_checks_among_it() -> None:
    with serving(
        unready=lambda: {"watch pods": "not ready"},
        checks={"rules": lambda: "never applied", "tunnel": lambda: ""},
    ) as server:
        assert ask(server, "/readyz") == (503, "rules: never applied\nwatch pods: not ready\n")
        assert ask(server, "/healthz")[0] == 200


def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("tests", "Tests.", registry=registry).inc()
    with serving(registry=registry) as server:
        status, text = ask(server, "/metrics?name[]=any")
    assert status == 200
    assert "tests_total 1.0" in text


def test_a_page_is_for_those_on_the_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(pages={"/debug/x": lambda: b"{}"}) as server:
        for host in ("127.0.0.1", "[::1]"):
            assert ask(server, "/debug/x", host=host) == (200, "{}")
        monkeypatch.setattr("outgate.daemon.http._is_loopback", lambda client: False)
        assert ask(server, "/debug/x")[0] == 404


@pytest.mark.parametrize(
    ("client", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_who_is_on_the_host(client: str, loopback: bool) -> None:
    assert _is_loopback(client) is loopback


def test_nothing_else_is_there() -> None:
    with serving() as server:
        assert ask(server, "/")[0] == 404


def test_a_check_that_breaks_is_logged_gives_no_answer_and_the_server_goes_on() -> None:
    def broken() -> str:
        raise RuntimeError("no luck")

    with capture_logs() as logs, serving(checks={"broken": broken}) as server:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server, "/readyz")
        assert ask(server, "/healthz")[0] == 200
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["request failed"]


@pytest.mark.parametrize("address", ["127.0.0.1", ""])
def test_a_port_that_is_taken_is_an_error(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = HttpServer(
            port=taken.getsockname()[1], dead=nothing, unready=nothing, address=address
        )
        with pytest.raises(OSError, match="in use"):
            server.run(threading.Event())
