"""Who serves what: verdicts on candidates, holders, and the gateways' statuses. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from outgate.api.core import Node
from outgate.api.gateway import (
    NODES_MAX,
    EgressAddress,
    EgressGateway,
    EgressGatewayStatus,
    PoolUsage,
)
from outgate.api.hold import Hold
from outgate.api.kinds import EGRESS_GATEWAY
from outgate.api.tunnel import EgressTunnel
from outgate.controller import troubles
from outgate.controller.addresses import parse, text_of
from outgate.controller.assign import assign
from outgate.controller.eligibility import Verdict, judge
from outgate.controller.gateways import PoolsRead
from outgate.controller.holding import Holds, holds_of, moves
from outgate.controller.ids import EgressKey
from outgate.controller.ipam import FamilyPool
from outgate.controller.model import Apply, Key, Level, Tell
from outgate.controller.status import Finding, Moment, condition_of, conditions, some
from outgate.controller.telling import Known, held, is_news, named, sentence
from outgate.controller.troubles import Seen

INT64_MAX = 2**63 - 1  # the API's integer: a /64 has more addresses
MOVED = "Moved"
"""Reason of the Events that tell of moves."""

NODE_IP = ""
"""The address of the entry that stands for "the gateway node's own"."""


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway: its pools, a verdict on each candidate, and the holder of each address in use.

    complaints: what nodes say is wrong with holding addresses. seen: what is wrong on the
    addresses' segments.
    """

    gateway: EgressGateway
    read: PoolsRead
    verdicts: tuple[Verdict, ...]
    holders: Holds
    complaints: Mapping[str, str]
    seen: tuple[Seen, ...] = ()

    @property
    def eligible(self) -> bool:
        """Whether any node may hold addresses."""
        return any(verdict.eligible for verdict in self.verdicts)


def judge_all(
    chosen: Iterable[Node],
    *,
    gateway: str,
    tunnels: Mapping[Key, EgressTunnel],
    silent: Collection[str],
    unmarked: Mapping[str, str],
) -> tuple[Verdict, ...]:
    """A verdict on each of a gateway's candidates, in their order."""
    return tuple(
        judge(
            node,
            gateway=gateway,
            tunnel=tunnels.get(("", node.metadata.name)),
            silent=node.metadata.name in silent,
            unmarked=unmarked.get(node.metadata.name, ""),
        )
        for node in chosen
    )


def serve(
    gateway: EgressGateway,
    *,
    read: PoolsRead,
    verdicts: tuple[Verdict, ...],
    addresses: Collection[str],
    claims: Holds,
    complaints: Mapping[str, str],
    seen: tuple[Seen, ...] = (),
) -> Served:
    """Find the holders of the gateway's addresses in use, by their claims.

    The nodes' own address is nobody's claim: one of the eligible nodes is assigned.
    """
    before = gateway.status.addresses
    holders = holds_of(addresses, claims=claims, before=before)
    if NODE_IP in holders:
        last = next((entry.node for entry in before if entry.address == NODE_IP), "")
        eligible = [verdict.node for verdict in verdicts if verdict.eligible]
        # As `agent.groups.eligible_of` has it: where all are unfit, none is better than another.
        eligible = eligible or [one.node for one in verdicts if one.reason == "Unfit"]
        node = assign(gateway=gateway.metadata.name, eligible=eligible, before=last)
        holders[NODE_IP] = Hold(0, node)
    return Served(gateway, read, verdicts, holders, complaints, seen)


def status_of(
    served: Served,
    *,
    ids: Mapping[EgressKey, int],
    short: Collection[EgressKey],
    default: str,
    now: Moment,
) -> EgressGatewayStatus:
    """The gateway's status. `short`: addresses in use without an id; `default`: the cluster's."""
    gateway, pools = served.gateway, served.read.pools
    name = gateway.metadata.name
    addresses = tuple(
        EgressAddress(address=address, id=ids[name, address], node=hold.node, epoch=hold.epoch)
        for address, hold in sorted(served.holders.items(), key=lambda item: _order(item[0]))
        if (name, address) in ids
    )
    used = [address for text in served.holders if (address := parse(text)) is not None]
    numbers4 = [int(address) for address in used if address.version == 4]
    numbers6 = [int(address) for address in used if address.version == 6]
    findings = [
        _ready(served),
        _valid(served, short=[key for key in short if key[0] == name]),
        held(addresses, verdicts=served.verdicts, complaints=served.complaints),
        *troubles.findings(served.seen),
    ]
    if gateway.spec.cluster_default:
        findings.append(_default(name, default=default))
    return EgressGatewayStatus(
        node_list=tuple(verdict.wire() for verdict in served.verdicts[:NODES_MAX]),
        addresses=addresses,
        ipv4_default_eip=_text(pools.v4),
        ipv6_default_eip=_text(pools.v6),
        ip_usage=PoolUsage(
            ipv4_total=_total(pools.v4),
            ipv4_free=_free(pools.v4, numbers4),
            ipv6_total=_total(pools.v6),
            ipv6_free=_free(pools.v6, numbers6),
        ),
        ready_nodes=sum(verdict.eligible for verdict in served.verdicts),
        observed_generation=gateway.metadata.generation,
        conditions=conditions(
            findings,
            before=gateway.status.conditions,
            generation=gateway.metadata.generation,
            now=now,
        ),
    )


def writes_of(served: Served, status: EgressGatewayStatus, *, known: Known) -> list[Apply]:
    """What to write, and to tell, when the gateway's status is to be `status`."""
    gateway = served.gateway
    if status == gateway.status:
        return []
    told: list[Tell] = []
    for type_ in ("Ready", "PoolsValid", "Held", *troubles.TYPES):
        before = condition_of(gateway.status.conditions, type_)
        after = condition_of(status.conditions, type_)
        if after is not None and is_news(before, after):
            level: Level = "Normal" if after.status == "True" else "Warning"
            told.append(Tell(EGRESS_GATEWAY, gateway, level, after.reason, after.message))
    for move in moves(gateway.status.addresses, status.addresses):
        words = sentence(move, gateway=gateway.metadata.name, verdicts=served.verdicts, known=known)
        told.append(
            Tell(EGRESS_GATEWAY, gateway, "Normal", MOVED, words, count=len(move.addresses))
        )
    return [
        Apply(
            EGRESS_GATEWAY,
            gateway.metadata.name,
            {"status": status},
            subresource="status",
            events=tuple(told),
        )
    ]


def _ready(served: Served) -> Finding:
    total = len(served.verdicts)
    if not total:
        return Finding(
            "Ready",
            False,
            "NoCandidateNode",
            "no node has the labels of spec.nodeSelector.selector: label one, or change it",
        )
    refused = [verdict for verdict in served.verdicts if not verdict.eligible]
    if len(refused) == total:
        why = some([f"{verdict.node} {verdict.reason}" for verdict in refused])
        return Finding("Ready", False, "NoEligibleNode", f"no candidate node is eligible: {why}")
    message = f"{total - len(refused)} of {total} candidate nodes eligible"
    if total > NODES_MAX:
        message += f", the first {NODES_MAX} are listed"
    return Finding("Ready", True, "NodesEligible", message)


def _valid(served: Served, *, short: Collection[EgressKey]) -> Finding:
    problems = list(served.read.problems)
    if short:
        which = some([named(address) for _, address in short])
        problems.append(("EgressIdsExhausted", f"no free egress id for {which}"))
    if not problems:
        return Finding("PoolsValid", True, "Valid")
    return Finding("PoolsValid", False, problems[0][0], "; ".join(text for _, text in problems))


def _default(name: str, *, default: str) -> Finding:
    if name == default:
        return Finding("ClusterDefault", True, "InForce", "policies without a gateway use this one")
    return Finding(
        "ClusterDefault",
        False,
        "OlderDefault",
        f"gateway {default} says spec.clusterDefault too, and is older: unset one of them",
    )


def _order(address: str) -> tuple[int, int]:
    parsed = parse(address)
    return (parsed.version, int(parsed)) if parsed is not None else (0, 0)


def _text(family: FamilyPool) -> str:
    return "" if family.default is None else text_of(family.default)


def _total(family: FamilyPool) -> int:
    return min(family.usable.size, INT64_MAX)


def _free(family: FamilyPool, numbers: Iterable[int]) -> int:
    used = sum(family.usable.has(number) for number in numbers)
    return min(family.usable.size - used, INT64_MAX)
