"""The host on the outside: tells every client which source address it came with.

HTTP answers JSON; TCP answers each line with `address port` and keeps the connection until
the peer closes it; UDP answers each datagram likewise. One socket for each address: else an
answer over UDP could leave with another address than the one that was asked.
"""

import argparse
import asyncio
import functools
import json
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TextIO, cast

HTTP_PORT = 8080
TCP_PORT = 8081
UDP_PORT = 8082


class Journal:
    """One JSON object a line for each request, connection and datagram."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def note(self, protocol: str, peer: Sequence[object], destination: str) -> None:
        """Write down who came, how, and to which of our addresses."""
        entry = {
            "time": time.time(),
            "proto": protocol,
            "source": peer[0],
            "port": peer[1],
            "destination": destination,
        }
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, journal: Journal, address: str) -> None:
        self._journal = journal
        self._address = address
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: before Python 3.12 asyncio's own class does not inherit from its interface
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        self._journal.note("udp", peer, self._address)
        if self._transport is not None:
            self._transport.sendto(f"{peer[0]} {peer[1]}\n".encode(), peer)


async def serve(addresses: Sequence[str], journal: Journal) -> None:
    """Listen on all addresses, for ever."""
    loop = asyncio.get_running_loop()
    for address in addresses:
        http = functools.partial(_http, journal=journal, address=address)
        tcp = functools.partial(_tcp, journal=journal, address=address)
        udp = functools.partial(_Datagrams, journal, address)
        await asyncio.start_server(http, address, HTTP_PORT)
        await asyncio.start_server(tcp, address, TCP_PORT)
        await loop.create_datagram_endpoint(udp, local_addr=(address, UDP_PORT))
    await asyncio.Event().wait()


async def _http(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, journal: Journal, address: str
) -> None:
    peer = writer.get_extra_info("peername")
    try:
        await reader.readuntil(b"\r\n\r\n")
        journal.note("http", peer, address)
        body = json.dumps({"source": peer[0], "port": peer[1]}).encode() + b"\n"
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # a client that goes away is no concern of the server
    finally:
        writer.close()


async def _tcp(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, journal: Journal, address: str
) -> None:
    peer = writer.get_extra_info("peername")
    journal.note("tcp", peer, address)
    try:
        while await reader.readline():
            writer.write(f"{peer[0]} {peer[1]}\n".encode())
            await writer.drain()
    except (OSError, ValueError):  # ValueError: a line beyond the limit
        pass
    finally:
        writer.close()


def main() -> None:
    """Serve the addresses of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="JSON lines are added here")
    parser.add_argument("addresses", nargs="+", type=ip_address)
    arguments = parser.parse_args()
    with arguments.log.open("a") as file:
        asyncio.run(serve([str(address) for address in arguments.addresses], Journal(file)))


if __name__ == "__main__":
    main()
