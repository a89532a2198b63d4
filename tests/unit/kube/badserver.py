"""An HTTP server that answers what a script says, also what no good server would."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import urllib3

from outgate.kube.access import Access
from outgate.kube.client import Client


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers, body; then the answer ends well, is cut off, or never goes on."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    then: Literal["end", "cut", "hang"] = "end"


@dataclass(slots=True)
class Script:
    """The answers in order, the last one for ever; and the requests that came."""

    answers: Sequence[Answer]
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def client(self, *, silence: float = 5.0) -> Client:
        """A client of this server that takes so many seconds of silence in a watch."""
        return Client(Access(self.url, urllib3.PoolManager()), silence=silence)


@contextmanager
def serving(*answers: Answer) -> Iterator[Script]:
    script = Script(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            answer = script.answers[min(len(script.requests), len(script.answers) - 1)]
            script.requests.append((self.command, self.path, dict(self.headers), body))
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if answer.body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(answer.body), answer.body))
                self.wfile.flush()
            match answer.then:
                case "end":
                    self.wfile.write(b"0\r\n\r\n")
                case "cut":
                    self.close_connection = True
                case "hang":
                    script.over.wait(30)
                    self.close_connection = True

        def do_GET(self) -> None:
            self.handle_any()

        def do_POST(self) -> None:
            self.handle_any()

        def do_PATCH(self) -> None:
            self.handle_any()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield script
        finally:
            script.over.set()
            server.shutdown()
            thread.join()
