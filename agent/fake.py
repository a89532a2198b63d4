"""Running flows and a vip process in memory, with the refusals of the real ones."""

from collections.abc import Collection, Iterable, Iterator
from typing import Self

from outgate.agent.errors import FlowsRefused
from outgate.agent.flows import Flow
from outgate.api.view import IPAddress
from outgate.daemon.closing import Closing
from outgate.vip.protocol import Word


class FakeConntrack(Closing):
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

    def close(self) -> None:
        """Nothing to close."""


class FakeVip:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.words: list[Word] = []

    @property
    def word(self) -> Word | None:
        """The last word."""
        return self.words[-1] if self.words else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that it was told to settle with others."""
        groups = self.word.groups if self.word else ()
        return tuple(address for group in groups for address in group.addresses)

    def tell(self, word: Word) -> None:
        """What there is to settle with the other nodes."""
        self.words.append(word)
