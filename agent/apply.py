"""Brings the kernel and the vip process to a view, in the order that leaks nothing.

Add: device, forwarding, neighbours, routes, ip rules, then nftables, then addresses. Remove in
the reverse. It remembers what it wrote, so that a small change is a small write; after a failure
it trusts nothing that it remembers.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from outgate.agent.flows import Flow, purge, stale
from outgate.agent.vip_word import word_of
from outgate.api.view import DataPathSettings, HeldEgress, IPAddress, NodeView
from outgate.rules.diff import diff as rules_diff
from outgate.rules.edge import Kernel as NftKernel
from outgate.rules.model import Ruleset, Transaction
from outgate.rules.plan import Planned
from outgate.rules.plan import plan as rules_plan
from outgate.tunnel.diff import diff as mesh_diff
from outgate.tunnel.edge import Kernel as MeshKernel
from outgate.tunnel.model import AddLink, Delete, Mesh, Operation
from outgate.tunnel.plan import plan as mesh_plan
from outgate.vip.protocol import Word


class Flows(Protocol):
    """Running flows: `Conntrack`, or a fake. Raises FlowsRefused."""

    def flows(self, sources: Collection[IPAddress] | None) -> Iterator[Flow]:
        """Those of the sources, or all."""

    def delete(self, flows: Iterable[Flow]) -> int:
        """Deletes them; how many were still there."""

    def delete_marked(self, mark: int, mask: int) -> None:
        """Deletes all with this mark under the mask."""


class Vip(Protocol):
    """The vip process: `VipClient`, or a fake."""

    def tell(self, word: Word) -> None:
        """What there is to settle with the other nodes, from now on."""


@dataclass(frozen=True, slots=True)
class Edges:
    """All that a pass writes to. conntrack: opened for each purge."""

    nft: NftKernel
    mesh: MeshKernel
    conntrack: Callable[[], AbstractContextManager[Flows]]
    vip: Vip


@dataclass(frozen=True, slots=True)
class Done:
    """What a pass changed, for its one log line."""

    mesh: int = 0
    rules: int = 0
    flows: int = 0
    addresses: int = 0

    def __bool__(self) -> bool:
        return any((self.mesh, self.rules, self.flows, self.addresses))


_NOTHING = Transaction(())


@dataclass(frozen=True, slots=True)
class Drift:
    """How the kernel differs from what was programmed, as what would repair it."""

    mesh: tuple[Operation, ...] = ()
    rules: Transaction = _NOTHING

    def __bool__(self) -> bool:
        return bool(self.mesh or self.rules)


@dataclass(frozen=True, slots=True)
class Programmed:
    """What was last written, for those who want to see it."""

    view: NodeView
    mesh: Mesh
    rules: Planned


class Programmer:
    """Programs views, one after the other. For one thread, but for `programmed`."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        # What is known to be in the kernel; None is "anything".
        self._mesh: Mesh | None = None
        self._ruleset: Ruleset | None = None
        self._planned: Planned | None = None
        # The view that all running flows agree with; None before the first.
        self._settled: NodeView | None = None
        self._left: frozenset[IPAddress] = frozenset()
        self._held: frozenset[IPAddress] = frozenset()

    def program(
        self, view: NodeView, settings: DataPathSettings, *, own: frozenset[IPAddress]
    ) -> Done:
        """One pass. Raises what the edges raise; the next pass then starts from what there is.

        own: the node's own addresses, which are not to be held, for they are there anyway.
        """
        mesh, planned = mesh_plan(view, settings), rules_plan(view, settings, before=self._planned)
        self._planned = planned
        operations = self._operations(mesh)
        only_removals = all(isinstance(each, Delete) for each in operations)
        held = addresses_of(view.held) - own
        interface = settings.underlay_interface
        if not only_removals:
            self._apply_mesh(operations, mesh)
        if self._settled is not None and not self._held <= held:
            # Let go before the rules do, so that nobody asks for what is no longer served.
            self._edges.vip.tell(word_of(view, interface=interface, only=self._held))
        remade = any(isinstance(each, AddLink) for each in operations)
        rules = self._apply_rules(planned.ruleset, remade=remade)
        flows = self._restart_flows(view)
        self._edges.vip.tell(word_of(view, interface=interface))
        if only_removals:
            self._apply_mesh(operations, mesh)
        moved = len(self._held ^ held)
        self._held = held
        return Done(mesh=len(operations), rules=rules, flows=flows, addresses=moved)

    def programmed(self) -> Programmed | None:
        """What the kernel should hold; None if that is not sure. From any thread."""
        view, mesh, planned = self._settled, self._mesh, self._planned
        if view is None or mesh is None or planned is None or self._ruleset is not planned.ruleset:
            return None
        return Programmed(view, mesh, planned)

    def planned(self) -> Planned | None:
        """The last plan of the rules, written or not. From any thread."""
        return self._planned

    def drift(self, *, thorough: bool) -> Drift:
        """How the kernel differs from what was last programmed. Raises what the edges raise.

        It looks where somebody may have written since; thorough: everywhere.
        """
        known = self.programmed()
        if known is None:
            return Drift()
        operations: tuple[Operation, ...] = ()
        transaction = _NOTHING
        if self._edges.mesh.touched() or thorough:
            operations = mesh_diff(self._edges.mesh.observe(), known.mesh)
        # The chain on a device goes with the device, and the ruleset's generation stays.
        if self._edges.nft.touched() or thorough or operations:
            transaction = rules_diff(self._edges.nft.observe(), known.rules.ruleset)
        return Drift(operations, transaction)

    def repair(self, drift: Drift) -> Done:
        """Write what is missing, remove what is not ours. Raises what the edges raise."""
        known = self.programmed()
        if known is None:
            return Done()
        self._apply_mesh(drift.mesh, known.mesh)
        transaction, flows = drift.rules, 0
        if any(isinstance(each, AddLink) for each in drift.mesh):
            transaction = rules_diff(self._edges.nft.observe(), known.rules.ruleset)
        if transaction:
            self._ruleset = None
            self._edges.nft.apply(transaction)
            self._ruleset = known.rules.ruleset
            # What began in between began by other rules, or by none.
            self._settled = None
            flows = self._restart_flows(known.view)
        return Done(mesh=len(drift.mesh), rules=transaction.size, flows=flows)

    def _operations(self, mesh: Mesh) -> tuple[Operation, ...]:
        if self._mesh == mesh:
            return ()
        return mesh_diff(self._mesh or self._edges.mesh.observe(), mesh)

    def _apply_mesh(self, operations: tuple[Operation, ...], mesh: Mesh) -> None:
        if operations:
            self._mesh = None
            self._edges.mesh.apply(operations)
        self._mesh = mesh

    def _apply_rules(self, ruleset: Ruleset, *, remade: bool) -> int:
        have = self._ruleset or self._edges.nft.observe()
        if self._settled is None:
            found = have if self._ruleset is None else self._edges.nft.observe()
            self._left = _pods_of(found) | self._left
        if have is not None and remade:
            # The chain on a device goes with the device.
            inet = have.tables.get("inet")
            have = Ruleset({"inet": inet}) if inet else None
        transaction = rules_diff(have, ruleset)
        if transaction:
            self._ruleset = None
            self._edges.nft.apply(transaction)
        self._ruleset = ruleset
        return transaction.size

    def _restart_flows(self, view: NodeView) -> int:
        todo = purge(self._settled, view, left=self._left)
        deleted = 0
        if todo:
            with self._edges.conntrack() as conntrack:
                for mark, mask in todo.marks:
                    conntrack.delete_marked(mark, mask)
                if todo.pods or todo.everybody:
                    found = conntrack.flows(None if todo.everybody else todo.pods)
                    deleted = conntrack.delete(list(stale(found, todo, view)))
        self._settled, self._left = view, frozenset()
        return deleted


def addresses_of(held: Iterable[HeldEgress]) -> frozenset[IPAddress]:
    """Of both families."""
    pairs = ((each.ipv4, each.ipv6) for each in held)
    return frozenset(address for pair in pairs for address in pair if address is not None)


def _pods_of(ruleset: Ruleset | None) -> frozenset[IPAddress]:
    """The pods that rules found in the kernel had a class for."""
    table = ruleset.tables.get("inet") if ruleset else None
    if table is None:
        return frozenset()
    found: set[IPAddress] = set()
    for name, address in (("class4", IPv4Address), ("class6", IPv6Address)):
        elements = table.sets[name].elements if name in table.sets else {}
        found.update(address(key[0]) for key in elements if isinstance(key[0], int))
    return frozenset(found)
