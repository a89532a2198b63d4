"""What is said of who holds addresses: the condition `Held`, the Events `Moved`. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from outgate.api.gateway import EgressAddress
from outgate.api.meta import Condition
from outgate.api.tunnel import AddressMove, EgressTunnel
from outgate.controller.eligibility import Verdict
from outgate.controller.holding import Move
from outgate.controller.status import Finding, condition_of, some

COMPLAINT_MAX = 200
"""Characters of what one node says is wrong."""


@dataclass(frozen=True, slots=True)
class Known:
    """What else is known when a move is told.

    nodes: those that there are. heard: of each node, seconds since its agent's last report. moves:
    of each node, what it says of its part in them, oldest first.
    """

    nodes: Collection[str]
    heard: Mapping[str, float]
    moves: Mapping[str, tuple[AddressMove, ...]] = field(default_factory=dict)


def held(
    entries: Iterable[EgressAddress],
    *,
    verdicts: Iterable[Verdict],
    complaints: Mapping[str, str],
) -> Finding:
    """Whether every address in use is held; if not, which are not, and why.

    complaints: what is wrong with holding on the nodes that say so.
    """
    entries = tuple(entries)
    missing = [entry for entry in entries if not entry.node]
    if not entries:
        return Finding("Held", True, "NothingInUse", "no policy uses an address of this gateway")
    if not missing:
        count = len(entries)
        return Finding("Held", True, "Held", f"{count} address{'' if count == 1 else 'es'} held")
    which = some([named(entry.address) for entry in missing])
    eligible = [verdict.node for verdict in verdicts if verdict.eligible]
    if not eligible:
        why = "no candidate node is eligible: status.nodeList says why"
        return Finding("Held", False, "NoEligibleNode", f"{which}: {why}")
    troubled = [f"{node}: {complaints[node]}" for node in eligible if node in complaints]
    why = some(troubled) or f"no node says yet that it holds them; eligible: {some(eligible)}"
    lost = any(entry.epoch for entry in missing)
    return Finding("Held", False, "NotHeld" if lost else "Pending", f"{which}: {why}")


def complaints_of(tunnels: Iterable[EgressTunnel]) -> dict[str, str]:
    """What the nodes' agents say is wrong with holding addresses."""
    found: dict[str, str] = {}
    for tunnel in tunnels:
        announcing = condition_of(tunnel.status.conditions, "Announcing")
        if announcing is not None and announcing.status == "False":
            found[tunnel.metadata.name] = announcing.message[:COMPLAINT_MAX]
    return found


def is_news(before: Condition | None, after: Condition) -> bool:
    """Whether a gateway's condition has changed in a way that an Event should tell.

    That nothing is wrong is none; nor that a new address has no holder for its first second.
    """
    if before is not None and (before.status, before.reason) == (after.status, after.reason):
        return False
    match after.type:
        case "Ready":
            return True
        case "Held" if after.status == "True":
            return before is not None and before.status == "False" and before.reason != "Pending"
        case "Held":
            return after.reason != "Pending"
    if after.status == "Unknown" or (before is not None and before.status == "Unknown"):
        return after.status == "False"
    return before is not None or after.status != "True"


def sentence(move: Move, *, gateway: str, verdicts: Iterable[Verdict], known: Known) -> str:
    """A move in words: what, from where, where to, the epoch, why, and how long it took."""
    what = some([named(address) for address in move.addresses])
    low, high = move.epochs
    claim = f" (epoch {high})" if low == high else f" (epochs {low} to {high})"
    claim = claim if high else ""
    claimed = _said(known, move.target, gateway, "Claimed", epochs=move.epochs)
    source = move.source or (claimed.node if claimed is not None else "")
    if not source:
        return f"{what} held again, by {move.target}{claim}: nobody was known to hold it"
    why = _why(source, verdicts=verdicts, known=known)
    ago = known.heard.get(source)
    since = "" if ago is None else f"; its agent last reported {ago:.0f} s ago"
    if claimed is not None and claimed.node == source:
        took = f" {claimed.took_milliseconds / 1000:.2f} s"
        match claimed.why:
            case "planned":
                why, since = f"planned{f', since {why}' if why else ''}", f"; it took{took}"
            case "crash":
                why = f"{source} fell silent{f' and {why}' if why else ''}"
                since = f"; taken over{took} after it was last heard"
            case _:
                let_go = _said(known, source, gateway, "Released")
                if let_go:
                    how = _LET_GO.get(let_go.why, let_go.why)
                    why = f"{source} let go: {how}{f', and {why}' if why else ''}"
    why = why or f"{source} is eligible, so its peers lost it, or it let go"
    return f"{what} moved from {source} to {move.target}{claim}: {why}{since}"


_LET_GO = {
    "lapsed": "its right to hold ran out",
    "moved": "it was asked to",
    "unused": "it had no use for it",
    "answered elsewhere": "somebody else answered for it",
    "deposed": "the others had taken it for dead",
    "superseded": "another node's claim was later",
}
"""By what a release says of itself."""


def _said(
    known: Known,
    node: str,
    gateway: str,
    kind: Literal["Claimed", "Released"],
    *,
    epochs: tuple[int, int] | None = None,
) -> AddressMove | None:
    """The last that a node says of its part: of all such moves, or of those of these epochs."""
    low, high = epochs or (0, 0)
    return next(
        (
            one
            for one in reversed(known.moves.get(node, ()))
            if (one.gateway, one.kind) == (gateway, kind)
            and (epochs is None or (one.first_epoch <= high and one.epoch >= low))
        ),
        None,
    )


def named(address: str) -> str:
    """The address, or what stands for one."""
    return address or "the node's own address"


def _why(source: str, *, verdicts: Iterable[Verdict], known: Known) -> str:
    """What speaks against the node, as far as the controller sees; "" if nothing does."""
    if source not in known.nodes:
        return f"{source} is gone"
    verdict = next((verdict for verdict in verdicts if verdict.node == source), None)
    if verdict is None:
        return f"{source} is not selected any more"
    return "" if verdict.eligible else f"{source} is {verdict.reason}"
