"""Running flows and a vip process in memory, with the refusals of the real ones."""

from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import Self

from outgate.agent.errors import FlowsRefused
from outgate.agent.flows import Flow
from outgate.api.view import IPAddress


class FakeConntrack:
    """A conntrack table. broken: refuses everything, as without the kernel's module."""

    def __init__(self, flows: Iterable[Flow] = ()) -> None:
        self.entries = list(flows)
        self.broken = False

    def __call__(self) -> Self:
        """Opened, as the real one's class does."""
        if self.broken:
            raise FlowsRefused("no conntrack socket")
        return self

    def flows(self, sources: Collection[IPAddress] | None) -> Iterator[Flow]:
        """Those of the sources, or all."""
        wanted = None if sources is None else frozenset(sources)
        yield from [flow for flow in self.entries if wanted is None or flow.source in wanted]

    def delete(self, flows: Iterable[Flow]) -> int:
        """Deletes them; how many were still there."""
        gone = [flow for flow in flows if flow in self.entries]
        self.entries = [flow for flow in self.entries if flow not in gone]
        return len(gone)

    def delete_marked(self, mark: int, mask: int) -> None:
        """Deletes all with this mark under the mask."""
        self.entries = [flow for flow in self.entries if flow.mark & mask != mark]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to close."""


class FakeVip:
    """Remembers what it was told to hold."""

    def __init__(self) -> None:
        self.addresses: tuple[IPAddress, ...] | None = None
        self.interface = ""
        self.standby = False

    def hold(
        self, addresses: Iterable[IPAddress], *, interface: str, standby: bool = False
    ) -> None:
        """From now on exactly these addresses are to be held."""
        self.addresses = tuple(sorted(addresses, key=lambda one: (one.version, int(one))))
        self.interface, self.standby = interface, standby
