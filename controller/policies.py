"""What each policy gets: its gateway, its addresses, and what its status says of it. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from outgate.api.core import Namespace
from outgate.api.kinds import EGRESS_CLUSTER_POLICY, EGRESS_POLICY, Kind
from outgate.api.match import gateway_in_force
from outgate.api.policy import NO_EIP, AnyPolicy, AssignedEIP, EgressClusterPolicy, PolicyStatus
from outgate.api.tunnel import EgressTunnel
from outgate.api.view import IPAddress
from outgate.controller.addresses import parse, text_of
from outgate.controller.gateways import PoolsRead
from outgate.controller.ids import EgressKey
from outgate.controller.ipam import Grant, Wish, allocate, wish_of
from outgate.controller.model import Apply, Key, Level, Tell
from outgate.controller.serving import NODE_IP
from outgate.controller.status import Finding, Moment, condition_of, conditions, some

NOT_HELD = "NotHeld"
"""Reason of a policy that is not ready since no node holds its address."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A policy with the gateway in force and its grant.

    With no gateway to go to, `grant` is None, and `trouble` says why (reason, message). addresses:
    those that it uses, IPv4 first in each pair, as texts; `NODE_IP` for the node's own.
    """

    policy: AnyPolicy
    gateway: str
    grant: Grant | None
    addresses: tuple[str, ...] = ()
    trouble: tuple[str, str] = ("", "")


def _addresses(grant: Grant) -> tuple[str, ...]:
    if grant.method == "NodeIP":
        return (NODE_IP,)
    return tuple(text_of(address) for pair in grant.pairs for address in pair.addresses())


def key_of(policy: AnyPolicy) -> str:
    """Name of the policy, with its namespace if it has one."""
    meta = policy.metadata
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


def resolve(
    policies: Iterable[AnyPolicy],
    *,
    pools: Mapping[str, PoolsRead],
    default: str,
    namespaces: Mapping[Key, Namespace],
) -> tuple[Resolved, ...]:
    """Every policy's gateway and grant, sorted by key, namespaced policies first."""
    ordered = sorted(policies, key=lambda p: (isinstance(p, EgressClusterPolicy), key_of(p)))
    wishes: dict[str, list[Wish]] = {}
    gateways: list[str] = []
    for policy in ordered:
        home = namespaces.get(("", policy.metadata.namespace))
        gateway = gateway_in_force(policy, namespace=home, default=default)
        gateways.append(gateway)
        if gateway in pools:
            wishes.setdefault(gateway, []).append(wish_of(policy, key=key_of(policy)))
    grants: dict[str, Grant] = {}
    for gateway, asked in wishes.items():
        grants.update(allocate(pools[gateway].pools, asked))
    resolved: list[Resolved] = []
    for policy, gateway in zip(ordered, gateways, strict=True):
        grant = grants.get(key_of(policy))
        if grant is None:
            trouble = _no_gateway(policy, gateway)
            resolved.append(Resolved(policy, gateway, None, trouble=trouble))
        else:
            resolved.append(Resolved(policy, gateway, grant, _addresses(grant)))
    return tuple(resolved)


def _no_gateway(policy: AnyPolicy, gateway: str) -> tuple[str, str]:
    if not gateway:
        cluster = isinstance(policy, EgressClusterPolicy)
        annotate = "" if cluster else ", annotate the namespace with outgate.dev/default-gateway"
        return (
            "NoDefaultGateway",
            f"the policy names no gateway, and there is no default: set egressGatewayName{annotate}"
            ", or set spec.clusterDefault on an EgressGateway",
        )
    whence = "" if policy.spec.egress_gateway_name else " (the namespace's default)"
    return (
        "GatewayNotFound",
        f"there is no EgressGateway {gateway}{whence}: create it, or name another",
    )


def in_use(resolved: Iterable[Resolved]) -> dict[EgressKey, None]:
    """The addresses that policies are to use, each once."""
    return dict.fromkeys(
        (entry.gateway, address) for entry in resolved for address in entry.addresses
    )


def still_shown(
    resolved: Iterable[Resolved], *, pools: Mapping[str, PoolsRead]
) -> Iterator[EgressKey]:
    """The addresses that policies' statuses show, as long as their gateway may give them out.

    They stay served until the status shows others: traffic is never without an address between
    the write of the gateway's status and that of the policy's.
    """
    for entry in resolved:
        status = entry.policy.status
        read = pools.get(status.gateway)
        if read is None:
            continue
        if status.use_node_ip:
            yield status.gateway, NODE_IP
            continue
        v4, v6 = read.pools.v4.usable, read.pools.v6.usable
        for eip in status.every_eip():
            for text, usable in ((eip.ipv4, v4), (eip.ipv6, v6)):
                address = parse(text)
                if address is not None and address in usable:
                    yield status.gateway, text_of(address)


def status_of(
    entry: Resolved,
    *,
    holders: Mapping[EgressKey, str],
    idle: Collection[str],
    short: Collection[EgressKey],
    tunnels: Mapping[Key, EgressTunnel],
    matched: int,
    now: Moment,
) -> PolicyStatus:
    """The policy's status. `holders`: address in use → node; `short`: those without an id.

    `idle`: the gateways without an eligible node.
    """
    policy, grant = entry.policy, entry.grant
    keys = [(entry.gateway, address) for address in entry.addresses]
    nodes = tuple(dict.fromkeys(filter(None, (holders.get(key, "") for key in keys))))
    found = (
        _ready(entry, keys=keys, nodes=nodes, holders=holders, idle=idle, short=short),
        _allocated(entry),
    )
    generation = policy.metadata.generation
    eips: tuple[AssignedEIP, ...] = ()
    if grant is not None and grant.method == "NodeIP":
        tunnel = tunnels.get(("", nodes[0])) if nodes else None
        if tunnel is not None:
            underlay = tunnel.status.underlay
            eips = (_eip(underlay.ipv4, underlay.ipv6),)
    elif grant is not None:
        eips = tuple(_eip(_text(pair.ipv4), _text(pair.ipv6)) for pair in grant.pairs)
    return PolicyStatus(
        gateway=entry.gateway if grant is not None else "",
        eip=eips[0] if eips else NO_EIP,
        eips=eips if policy.spec.egress_ip.count > 1 else (),
        use_node_ip=grant is not None and grant.method == "NodeIP",
        node=",".join(nodes),
        matched_pods=matched,
        observed_generation=generation,
        conditions=conditions(
            found, before=policy.status.conditions, generation=generation, now=now
        ),
    )


def _eip(ipv4: str, ipv6: str) -> AssignedEIP:
    return AssignedEIP(ipv4=ipv4, ipv6=ipv6) if ipv4 or ipv6 else NO_EIP


def _ready(
    entry: Resolved,
    *,
    keys: list[EgressKey],
    nodes: tuple[str, ...],
    holders: Mapping[EgressKey, str],
    idle: Collection[str],
    short: Collection[EgressKey],
) -> Finding:
    def no(reason: str, message: str) -> Finding:
        return Finding("Ready", False, reason, message)

    if entry.grant is None:
        return no(*entry.trouble)
    if entry.grant.shortfall is not None:
        return no(entry.grant.shortfall.reason, entry.grant.shortfall.message)
    if any(key in short for key in keys):
        return no("EgressIdsExhausted", "the cluster has no free egress id: use fewer addresses")
    free = [address for gateway, address in keys if not holders.get((gateway, address))]
    if free and entry.gateway in idle:
        return no(
            "NoEligibleNode",
            f"no node of gateway {entry.gateway} is eligible: its status.nodeList says why",
        )
    if free:
        return no(
            NOT_HELD,
            f"no node says that it holds {some(free)}: condition Held of gateway {entry.gateway} "
            "says why",
        )
    what = " and ".join(address or "the node's own address" for address in entry.addresses)
    if len(entry.grant.pairs) > 1:
        what = some(entry.addresses)
    return Finding("Ready", True, "Assigned", f"{what} on {', '.join(nodes)}")


def _allocated(entry: Resolved) -> Finding:
    if entry.grant is None:
        return Finding("Allocated", False, entry.trouble[0])
    addresses = entry.addresses
    if not addresses and entry.grant.shortfall is not None:
        return Finding("Allocated", False, entry.grant.shortfall.reason)
    # With several, the status lists them: twice would be a big object.
    several = len(entry.grant.pairs) > 1
    which = f"{len(addresses)} addresses" if several else ", ".join(filter(None, addresses))
    # The reason is also how the next pass knows that a pick is still what the policy asks for.
    return Finding("Allocated", True, entry.grant.method, which)


def writes_of(policy: AnyPolicy, status: PolicyStatus) -> list[Apply]:
    """What to write, and to tell, when the policy's status is to be `status`."""
    if status == policy.status:
        return []
    meta = policy.metadata
    kind: Kind[AnyPolicy] = EGRESS_POLICY
    if isinstance(policy, EgressClusterPolicy):
        kind = EGRESS_CLUSTER_POLICY
    before = condition_of(policy.status.conditions, "Ready")
    after = condition_of(status.conditions, "Ready")
    told: tuple[Tell, ...] = ()
    if before is None and after is not None and after.reason == NOT_HELD:
        pass  # nodes take new addresses within a second: no news yet
    elif after is not None and (
        before is None or (before.status, before.reason) != (after.status, after.reason)
    ):
        level: Level = "Normal" if after.status == "True" else "Warning"
        told = (Tell(kind, policy, level, after.reason, after.message),)
    elif policy.status.node and status.node and policy.status.node != status.node:
        message = f"now served by {status.node}, before by {policy.status.node}"
        told = (Tell(kind, policy, "Normal", "Moved", message),)
    return [Apply(kind, meta.name, {"status": status}, meta.namespace, "status", told)]


def _text(address: IPAddress | None) -> str:
    return "" if address is None else text_of(address)
