"""A node that the agent's own code programs, with the kernel edge timed."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from unit.agent.cluster import LOCAL

from outgate.agent.apply import Edges, Flows, Programmer
from outgate.agent.conntrack import Conntrack
from outgate.agent.fake import FakeVip
from outgate.agent.view import Snapshot, ViewMaker
from outgate.api.view import DataPathSettings, NodeView
from outgate.rules.kernel import NftKernel
from outgate.rules.model import Transaction
from outgate.tunnel.kernel import MeshKernel

_DEFAULTS = DataPathSettings()


class TimedNft(NftKernel):
    """The kernel edge, and how long its last transaction took: wall and CPU, in ms."""

    def __init__(self, *, netns: Path | None = None) -> None:
        super().__init__(netns=netns)
        self.wall = self.cpu = 0.0

    def apply(self, transaction: Transaction) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        super().apply(transaction)
        self.wall = (time.perf_counter() - wall) * 1e3
        self.cpu = (time.thread_time() - cpu) * 1e3


class Node:
    """A node in this namespace or in another one, programmed by the agent's code.

    conntrack: opens it in that same namespace.
    """

    def __init__(
        self,
        *,
        netns: Path | None = None,
        conntrack: Callable[[], AbstractContextManager[Flows]] = Conntrack,
        settings: DataPathSettings = _DEFAULTS,
    ) -> None:
        self._maker = ViewMaker()
        self.settings = settings
        self.nft = TimedNft(netns=netns)
        mesh = MeshKernel(self.settings, namespace=netns)
        self._programmer = Programmer(
            Edges(nft=self.nft, mesh=mesh, conntrack=conntrack, vip=FakeVip())
        )

    def program(self, snapshot: Snapshot) -> None:
        """One pass."""
        self.write(self.view(snapshot))

    def view(self, snapshot: Snapshot) -> NodeView:
        """The first half: what is to be programmed."""
        outcome = self._maker.view(snapshot, local=LOCAL)
        assert outcome.view is not None, outcome.waiting
        return outcome.view

    def write(self, view: NodeView) -> None:
        """The other half: plans, differences, the kernel."""
        own = frozenset(address for address in (LOCAL.ipv4, LOCAL.ipv6) if address)
        self._programmer.program(view, self.settings, own=own)
