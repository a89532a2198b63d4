"""Looks now and then how many ports of the addresses held here are in use, and warns in time."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import structlog

from outgate.agent.errors import FlowsRefused
from outgate.agent.ports import PORTS, Binding, PortUse, port_use
from outgate.api.view import IPAddress

log = structlog.get_logger("outgate.agent")

EVERY = 30.0
"""Seconds between two looks, at least."""

SHARE = 0.01
"""Of a CPU that looking may take: with a million flows it is looked less often."""


class Bindings(Protocol):
    """Running flows: `Conntrack`, or a fake. Raises FlowsRefused."""

    def bindings(self) -> Iterator[Binding]:
        """Of all source-translated flows, the address and port that they have."""


class PortWatch:
    """A Task. addresses: those to look at; none: it does not look at all."""

    name = "ports"

    def __init__(
        self,
        conntrack: Callable[[], AbstractContextManager[Bindings]],
        *,
        addresses: Callable[[], Iterable[IPAddress]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conntrack = conntrack
        self._addresses = addresses
        self._clock = clock
        self._use: Mapping[tuple[IPAddress, str], PortUse] = {}

    def use(self) -> Mapping[tuple[IPAddress, str], PortUse]:
        """As of the last look; from any thread."""
        return self._use

    def ready(self) -> bool:
        """Nobody has to wait for it."""
        return True

    def run(self, stop: threading.Event) -> None:
        """Look until stopped."""
        pause = EVERY
        while not stop.wait(pause):
            began = self._clock()
            self.look()
            pause = max(EVERY, (self._clock() - began) / SHARE)

    def look(self) -> None:
        """One look."""
        addresses = frozenset(self._addresses())
        before, self._use = self._use, {}
        if not addresses:
            return
        try:
            with self._conntrack() as conntrack:
                self._use = port_use(conntrack.bindings(), addresses)
        except FlowsRefused as error:
            log.warning("ports not counted", error=str(error))
            return
        for (address, protocol), use in sorted(self._use.items(), key=lambda item: str(item[0])):
            known = before.get((address, protocol))
            if use.alarming and not (known and known.alarming):
                log.warning(
                    "ports are running out: give the policy more addresses (egressIP.count)",
                    address=str(address),
                    protocol=protocol,
                    destination=f"{use.destination} port {use.destination_port}",
                    used=use.used,
                    limit=PORTS,
                )
