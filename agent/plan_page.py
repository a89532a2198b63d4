"""What a running agent says at `PLAN_PATH`: its plan, the kernel's state, and their difference.

Reads, never writes; the kernel as often as it is asked.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from outgate.agent.apply import Programmed
from outgate.api.view import NodeView
from outgate.rules.classes import Keys
from outgate.rules.diff import diff as rules_diff
from outgate.rules.diff import replace as rules_replace
from outgate.rules.errors import KernelRefused as RulesRefused
from outgate.rules.kernel import NftKernel
from outgate.rules.nft import render
from outgate.tunnel.diff import diff as mesh_diff
from outgate.tunnel.diff import sort_key
from outgate.tunnel.edge import Kernel as MeshKernel
from outgate.tunnel.errors import KernelRefused as MeshRefused
from outgate.tunnel.model import Mesh, Operation
from outgate.vip.client import VipState

Json = dict[str, Any]


class PlanPage:
    """Makes the page. Any thread may ask, while passes go on: then it may show half of one.

    programmed: what was last written, None if that is not sure; unready: why not.
    mesh: makes an edge for one look.
    """

    def __init__(
        self,
        *,
        node: str,
        programmed: Callable[[], Programmed | None],
        unready: Callable[[], str],
        nft: NftKernel,
        mesh: Callable[[], MeshKernel],
        vip: Callable[[], VipState],
    ) -> None:
        self._node = node
        self._programmed = programmed
        self._unready = unready
        self._nft, self._mesh, self._vip = nft, mesh, vip

    def __call__(self) -> bytes:
        """The page, as JSON."""
        try:
            document = self._document()
        except (RulesRefused, MeshRefused) as error:
            document = {"node": self._node, "problem": f"the kernel can't be read: {error}"}
        return msgspec.json.encode(document)

    def _document(self) -> Json:
        known = self._programmed()
        if known is None:
            why = self._unready() or "a pass is under way"
            return {"node": self._node, "problem": f"not programmed: {why}"}
        observed, mesh = self._nft.observe(), self._mesh().observe()
        report = self._vip().report
        transaction = rules_diff(observed, known.rules.ruleset)
        return {
            "node": self._node,
            "problem": self._unready(),
            "view": view_summary(known.view, known.rules.classes),
            "addresses": [
                {"address": one.address, "interface": one.interface, "error": one.error}
                for one in (report.held if report else ())
            ],
            "desired": {
                "rules": render(rules_replace(known.rules.ruleset)),
                "mesh": mesh_entries(known.mesh),
            },
            "observed": {"rules": self._nft.listing(), "mesh": mesh_entries(mesh)},
            "difference": {
                "rules": render(transaction).splitlines(),
                "mesh": [_operation(each) for each in mesh_diff(mesh, known.mesh)],
            },
        }


def view_summary(view: NodeView, ids: Mapping[Keys, int]) -> Json:
    """Classes, policies, pods, next hops and addresses, by name and sorted."""
    return {
        "classes": {str(id_): list(keys) for keys, id_ in sorted(ids.items(), key=lambda e: e[1])},
        "pods": {
            str(address): {"class": ids[keys], "policies": list(keys)}
            for address, keys in sorted(view.pods.items(), key=lambda e: _order(e[0]))
        },
        "policies": {
            key: {
                "destinations": _texts(policy.destinations),
                "exclusions": _texts(policy.exclusions),
                "egress4": policy.egress4,
                "egress6": policy.egress6,
            }
            for key, policy in sorted(view.policies.items())
        },
        "nextHops": {str(id_): node for id_, node in sorted(view.next_hops.items())},
        "held": [
            {"id": held.id, "addresses": _texts(a for a in (held.ipv4, held.ipv6) if a)}
            for held in view.held
        ],
        "peers": [peer.name for peer in view.peers],
        "inside": _texts(view.inside),
    }


def mesh_entries(mesh: Mesh) -> list[Json]:
    """The device and all that hangs on it, each with its kind, in the order of adding."""
    objects: list[object] = [mesh.link] if mesh.link else []
    return [_entry(each) for each in (*objects, *sorted(mesh.objects, key=sort_key))]


def _entry(object_: object) -> Json:
    fields: Mapping[str, Any] = msgspec.to_builtins(object_, enc_hook=str)
    return {"kind": type(object_).__name__.lower(), **fields}


def _operation(operation: Operation) -> Json:
    fields: Mapping[str, Any] = msgspec.to_builtins(operation, enc_hook=str)
    object_ = getattr(operation, "object", None)
    kind = {"kind": type(object_).__name__.lower()} if object_ else {}
    return {"operation": type(operation).__name__.lower(), **kind, **fields}


def _texts(values: Iterable[Any]) -> list[str]:
    return [str(each) for each in sorted(values, key=_order)]


def _order(value: Any) -> tuple[int, Any]:
    return value.version, value
