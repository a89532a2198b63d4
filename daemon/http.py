"""What a process says about itself over HTTP: `/healthz`, `/readyz`, `/metrics`, its own pages.

Plain HTTP without authentication: nothing here tells a secret, and nothing changes state. A
process's own pages are for those on the same host only.
"""

import errno
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv6Address, ip_address

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = structlog.get_logger("outgate.daemon")

Check = Callable[[], str]
"""Why something is not as it should be; empty if it is."""

Page = Callable[[], bytes]

POLL = 0.25
"""Seconds between two looks at `stop`."""

CLIENT_TIMEOUT = 10
"""Seconds that a client may take to send its request: a silent one must not hold a thread."""


class HttpServer:
    """Answers probes and scrapes, on IPv4 and IPv6; a Task.

    dead, unready: names of what is broken, and why (`Supervisor.dead`, `Supervisor.unready`).
    checks: further named checks for `/readyz`. pages: by path, what makes a page's JSON; answered
    to loopback addresses only. address: "" for all addresses of both families.
    port 0 takes any free one (see `port` once it is ready).
    """

    name = "http"

    def __init__(
        self,
        *,
        port: int,
        dead: Callable[[], Mapping[str, str]],
        unready: Callable[[], Mapping[str, str]],
        checks: Mapping[str, Check] | None = None,
        pages: Mapping[str, Page] | None = None,
        address: str = "",
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.port = port
        self._address = address
        self._dead = dead
        self._unready = unready
        self._checks = dict(checks or {})
        self._pages = dict(pages or {})
        self._registry = registry
        self._listening = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Serve until stopped. Raises OSError if the port is taken."""
        with _listen(self._address, self.port, self._answer) as server:
            self.port = server.server_port
            self._listening.set()
            log.info("serving probes and metrics", port=self.port)
            try:
                while not stop.is_set():
                    server.handle_request()
            finally:
                self._listening.clear()

    def ready(self) -> bool:
        """Whether it listens."""
        return self._listening.is_set()

    def wait_ready(self, timeout: float) -> bool:
        """Wait, at most so many seconds, until it listens; whether it does."""
        return self._listening.wait(timeout)

    def _answer(self, path: str, accept: str, client: str) -> tuple[HTTPStatus, str, bytes]:
        match path:
            case "/healthz":
                return _verdict(self._dead())
            case "/readyz":
                return _verdict({**self._unready(), **self._failed_checks()})
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return HTTPStatus.OK, content_type, encode(self._registry)
            case _ if path in self._pages and _is_loopback(client):
                return HTTPStatus.OK, "application/json", self._pages[path]()
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"

    def _failed_checks(self) -> Mapping[str, str]:
        return {name: why for name, check in self._checks.items() if (why := check())}


_Answer = Callable[[str, str, str], tuple[HTTPStatus, str, bytes]]


def _is_loopback(client: str) -> bool:
    address = ip_address(client.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _verdict(failing: Mapping[str, str]) -> tuple[HTTPStatus, str, bytes]:
    if not failing:
        return HTTPStatus.OK, "text/plain; charset=utf-8", b"ok\n"
    text = "".join(f"{name}: {why}\n" for name, why in sorted(failing.items()))
    return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text.encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    timeout = POLL

    def handle_error(self, request: object, client_address: object) -> None:
        """A check that breaks closes the connection, which a probe takes for a no."""
        if isinstance(sys.exc_info()[1], ConnectionError):
            return  # the client went away
        log.exception("request failed")

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's: it asks DNS for the host's name, which can take long, for nothing.
        self.allow_reuse_address = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", self.server_address[1]


class _Server6(_Server):
    address_family = socket.AF_INET6


def _listen(address: str, port: int, answer: _Answer) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_TIMEOUT

        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            status, content_type, body = answer(
                path, self.headers.get("Accept", ""), str(self.client_address[0])
            )
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: probes come every few seconds."""

    if ":" in address:
        return _Server6((address, port), Handler)
    if address:
        return _Server((address, port), Handler)
    try:
        return _Server6(("::", port), Handler)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        # A kernel without IPv6.
        return _Server(("0.0.0.0", port), Handler)
