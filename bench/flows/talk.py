"""The process in which the flows live, both ends: pods' sides in the pods, the server outside.

It reads its plan (JSON) from the command line, says `ready` when all flows stand, and ends when its
standard input does, with the flows as JSON.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from outgate.lab import netns

PACE = 0.1
"""Seconds between two words of a flow."""

_WORD = b"12345678"
_PUSH, _ECHO = b"push\n", b"echo\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A flow to be made: from which namespace and port, and who speaks."""

    namespace: str
    port: int
    pushed: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """server: its namespace; address, port: where it listens."""

    server: str
    address: str
    port: int
    flows: tuple[Wanted, ...]

    def text(self) -> str:
        """The argument of the process."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """A plan as `text` wrote it."""
        raw = json.loads(text)
        flows = tuple(Wanted(**flow) for flow in raw.pop("flows"))
        return cls(**raw, flows=flows)


@dataclass(slots=True)
class _Talk:
    """A flow that was made, as its pod knows it."""

    pushed: bool
    remapped: bool = False
    heard: list[float] = field(default_factory=list)
    broken: str = ""


async def talk(plan: Plan) -> Sequence[_Talk]:
    """All flows, until the standard input ends."""
    listening = netns.open_socket(Path(plan.server), socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((plan.address, plan.port))
    served: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        await _serve(reader, writer)

    await asyncio.start_server(accept, sock=listening, backlog=1024)
    talks = [_Talk(wanted.pushed) for wanted in plan.flows]
    streams = [await _connect(plan, *pair) for pair in zip(plan.flows, talks, strict=True)]
    tasks = [
        asyncio.create_task(_hold(*stream, one)) for stream, one in zip(streams, talks, strict=True)
    ]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in (*tasks, *served):
        task.cancel()
    return talks


async def _connect(
    plan: Plan, wanted: Wanted, one: _Talk
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    made = netns.open_socket(Path(wanted.namespace), socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", wanted.port))
    await asyncio.get_running_loop().sock_connect(made, (plan.address, plan.port))
    reader, writer = await asyncio.open_connection(sock=made)
    writer.write(_PUSH if wanted.pushed else _ECHO)
    one.remapped = int(await reader.readline()) != wanted.port
    return reader, writer


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: _Talk) -> None:
    speaking = None if one.pushed else asyncio.create_task(_speak(writer))
    try:
        while True:
            await reader.readexactly(len(_WORD))
            one.heard.append(time.monotonic())
    except (OSError, asyncio.IncompleteReadError) as error:
        one.broken = f"{type(error).__name__}: {error}"
    finally:
        if speaking is not None:
            speaking.cancel()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        mode = await reader.readline()
        writer.write(b"%d\n" % writer.get_extra_info("peername")[1])
        if mode == _PUSH:
            await _speak(writer)
        while True:
            writer.write(await reader.readexactly(len(_WORD)))
    except (OSError, asyncio.IncompleteReadError):
        return  # the pod's side tells of it


async def _speak(writer: asyncio.StreamWriter) -> None:
    """A word each `PACE`; those that are not taken wait in the socket."""
    while not writer.is_closing():
        writer.write(_WORD)
        await asyncio.sleep(PACE)


def main() -> None:
    """The flows of the first argument; the outcome goes to the standard output."""
    talks = asyncio.run(talk(Plan.parse(sys.argv[1])))
    json.dump([asdict(one) for one in talks], sys.stdout)
