"""The outside host's server, on the loopback."""

import asyncio
import contextlib
import io
import json
import socket
from collections.abc import AsyncIterator

import pytest

from outgate.lab import outside
from outgate.lab.outside import Journal, serve


@contextlib.asynccontextmanager
async def serving(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[io.StringIO]:
    for name in ("HTTP_PORT", "TCP_PORT", "UDP_PORT"):
        monkeypatch.setattr(outside, name, free_port())
    log = io.StringIO()
    task = asyncio.create_task(serve(["127.0.0.1"], Journal(log)))
    await asyncio.sleep(0)
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", outside.TCP_PORT)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        break
    yield log
    task.cancel()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_http_says_where_the_request_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> tuple[bytes, int, str]:
        async with serving(monkeypatch) as log:
            reader, writer = await asyncio.open_connection("127.0.0.1", outside.HTTP_PORT)
            port = writer.get_extra_info("sockname")[1]
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer, port, log.getvalue()

    answer, port, log = asyncio.run(ask())
    assert json.loads(answer.split(b"\r\n\r\n")[1]) == {"source": "127.0.0.1", "port": port}
    entry = json.loads(log.splitlines()[-1])
    assert (entry["proto"], entry["port"], entry["destination"]) == ("http", port, "127.0.0.1")


def test_a_tcp_connection_stays_open_from_line_to_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> tuple[list[bytes], int]:
        async with serving(monkeypatch):
            reader, writer = await asyncio.open_connection("127.0.0.1", outside.TCP_PORT)
            answers = []
            for _ in range(2):
                writer.write(b"?\n")
                answers.append(await reader.readline())
            port = writer.get_extra_info("sockname")[1]
            writer.close()
            return answers, port

    answers, port = asyncio.run(ask())
    assert answers == [f"127.0.0.1 {port}\n".encode()] * 2
