"""A node in memory: the agent's edges, recording the order in which they are written to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from unit.agent.cluster import snapshot

from outgate.agent.apply import Edges, Programmer
from outgate.agent.fake import FakeConntrack, FakeVip
from outgate.agent.holders import NOTHING_SAID
from outgate.agent.node_state import NodeState
from outgate.agent.reconcile import NodeFacts, Pace, Reconciler
from outgate.agent.view import Snapshot
from outgate.api.view import DataPathSettings
from outgate.daemon.backoff import Backoff
from outgate.rules.errors import KernelRefused as RulesRefused
from outgate.rules.fake import FakeKernel as FakeNft
from outgate.rules.model import Transaction
from outgate.tunnel.errors import KernelRefused as MeshRefused
from outgate.tunnel.fake import FakeKernel as FakeMesh
from outgate.tunnel.model import Delete, Operation
from outgate.tunnel.underlay import DefaultRoute, Host, Interface
from outgate.vip.protocol import Word

UNDERLAY = "192.0.2.1"


class Nft(FakeNft):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.refuse = False
        self.quiet = False
        self.written: list[Transaction] = []

    def touched(self) -> bool:
        return not self.quiet

    def apply(self, transaction: Transaction) -> None:
        if self.refuse:
            raise RulesRefused("table outgate", "change", "no")
        self.log.append("rules")
        self.written.append(transaction)
        super().apply(transaction)


class Mesh(FakeMesh):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log
        self.refuse_after: int | None = None
        self.quiet = False

    def touched(self) -> bool:
        return not self.quiet

    def apply(self, operations: Iterable[Operation]) -> None:
        todo = list(operations)
        self.log.append("mesh -" if all(isinstance(one, Delete) for one in todo) else "mesh +")
        if self.refuse_after is not None:
            super().apply(todo[: self.refuse_after])
            raise MeshRefused("outgate", "add", "no")
        super().apply(todo)


class Vip(FakeVip):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def tell(self, word: Word) -> None:
        super().tell(word)
        self.log.append(f"tell {' '.join(self.addresses)}".strip())


@dataclass
class FakeSource:
    """Stores that hold what a test says."""

    held: Snapshot = field(default_factory=snapshot)
    missing: tuple[str, ...] = ()
    ask: Callable[[float], object] = lambda delay: None

    def unsynced(self) -> tuple[str, ...]:
        return self.missing

    def snapshot(self) -> Snapshot:
        return self.held

    def subscribe(self, ask: Callable[[float], object]) -> None:
        self.ask = ask


class Node:
    """node-a, with everything in memory."""

    def __init__(self, **changes: Any) -> None:
        self.log: list[str] = []
        self.nft, self.mesh, self.vip = Nft(self.log), Mesh(self.log), Vip(self.log)
        self.conntrack = FakeConntrack()
        self.source = FakeSource(held=snapshot(**changes))
        self.lacks: tuple[str, ...] = ()
        self.others = NodeState()
        self.news: set[str] = set()
        self.claims = NOTHING_SAID
        self.interfaces: tuple[Interface, ...] = (_interface("eth0", 1500, UNDERLAY),)
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        """A new agent on the same kernel."""
        edges = Edges(nft=self.nft, mesh=self.mesh, conntrack=self.conntrack, vip=self.vip)
        self.reconciler = Reconciler(
            self.source,
            Programmer(edges),
            NodeFacts(
                name="node-a",
                detect="defaultRouteInterface",
                host=lambda: Host(self.interfaces, (DefaultRoute("eth0", 4, 0),)),
                missing=lambda: self.lacks,
                others=lambda: self.others,
                moved=self._moved,
            ),
            settings=DataPathSettings(),
            pace=Pace(coalesce=0.0, news=0.01, backoff=Backoff(first=0.01, most=0.02)),
            claims=lambda: self.claims,
            clock=lambda: self.now,
        )

    def _moved(self, name: str) -> bool:
        """Whether there were news of the interface since."""
        moved = name in self.news
        self.news.discard(name)
        return moved

    def change(self, **changes: Any) -> list[str]:
        """What a pass over the changed cluster writes, in order."""
        self.source.held = snapshot(**changes)
        self.log.clear()
        self.reconciler.step()
        return list(self.log)


def _interface(name: str, mtu: int, *addresses: str) -> Interface:
    from ipaddress import ip_address

    return Interface(name, mtu, tuple(ip_address(text) for text in addresses))
