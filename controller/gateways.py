"""What each gateway has: the pools that are its own, and the nodes that it may use. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from outgate.api.core import Node
from outgate.api.gateway import EgressGateway, IPPools
from outgate.api.selector import selects
from outgate.controller.addresses import parse
from outgate.controller.ipam import FamilyPool, GatewayPools, Shortfall, check_address
from outgate.controller.pools import Pool, Version, read_pool, read_reserved

IPV4: Version = 4
IPV6: Version = 6


@dataclass(frozen=True, slots=True)
class PoolsRead:
    """A gateway's pools, and what is wrong with them: (a condition's reason, message)."""

    pools: GatewayPools
    problems: tuple[tuple[str, str], ...] = ()


def by_age(gateways: Iterable[EgressGateway]) -> tuple[EgressGateway, ...]:
    """Oldest first; names break ties."""
    return tuple(sorted(gateways, key=lambda g: (g.metadata.creation_timestamp, g.metadata.name)))


def read_pools(gateways: Iterable[EgressGateway]) -> Mapping[str, PoolsRead]:
    """Each gateway's pools, without what is reserved, and what an older gateway has too."""
    ordered = by_age(gateways)
    read = _read_all(tuple((g.metadata.name, g.spec.ippools) for g in ordered))
    return {
        gateway.metadata.name: _with_defaults(gateway, found)
        for gateway, found in zip(ordered, read, strict=True)
    }


def candidates(gateway: EgressGateway, nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that the gateway's selector takes, by name."""
    selector = gateway.spec.node_selector.selector
    return tuple(
        sorted(
            (node for node in nodes if selects(selector, node.metadata.labels)),
            key=lambda node: node.metadata.name,
        )
    )


@lru_cache(maxsize=8)
def _read_all(gateways: tuple[tuple[str, IPPools], ...]) -> tuple[PoolsRead, ...]:
    owned: dict[Version, Pool] = {4: Pool.of(4, ()), 6: Pool.of(6, ())}
    owners: list[tuple[str, Version, Pool]] = []
    read: list[PoolsRead] = []
    for name, spec in gateways:
        reserved4, reserved6, wrong = read_reserved(spec.reserved)
        problems = [("InvalidEntry", problem) for problem in wrong]
        families: list[FamilyPool] = []
        for version, entries, reserved in (
            (IPV4, spec.ipv4, reserved4),
            (IPV6, spec.ipv6, reserved6),
        ):
            pool, wrong = read_pool(entries, version)
            problems += [("InvalidEntry", problem) for problem in wrong]
            lost = pool.common(owned[version])
            ceded = tuple(
                (owner, part)
                for owner, of, theirs in (owners if lost.size else ())
                if of == version and (part := pool.common(theirs)).size
            )
            problems += [
                ("Overlap", f"{part.describe()} belongs to the older gateway {owner}: not given")
                for owner, part in ceded
            ]
            mine = pool.minus(lost)
            owners.append((name, version, mine))
            owned[version] = owned[version].plus(mine)
            families.append(
                FamilyPool(
                    version=version,
                    configured=bool(entries),
                    usable=mine.minus(reserved),
                    reserved=reserved,
                    ceded=ceded,
                )
            )
        read.append(PoolsRead(GatewayPools(name, families[0], families[1]), tuple(problems)))
    return tuple(read)


def _with_defaults(gateway: EgressGateway, read: PoolsRead) -> PoolsRead:
    spec, status = gateway.spec.ippools, gateway.status
    v4 = _with_default(
        read.pools.v4, gateway=gateway, asked=spec.ipv4_default_eip, had=status.ipv4_default_eip
    )
    v6 = _with_default(
        read.pools.v6, gateway=gateway, asked=spec.ipv6_default_eip, had=status.ipv6_default_eip
    )
    problems = read.problems + tuple(
        (family.shortfall.reason, family.shortfall.message)
        for family in (v4, v6)
        if family.shortfall is not None
    )
    return PoolsRead(GatewayPools(read.pools.gateway, v4, v6), problems)


def _with_default(
    family: FamilyPool, *, gateway: EgressGateway, asked: str, had: str
) -> FamilyPool:
    """The family with its default: the one asked for, else the one that it had, else the first."""
    name = gateway.metadata.name
    if asked:
        checked = check_address(asked, family=family, gateway=name)
        if isinstance(checked, Shortfall):
            field = f"ipv{family.version}DefaultEIP"
            lack = Shortfall("DefaultEIPInvalid", f"{field}: {checked.message}")
            return replace(family, shortfall=lack)
        return replace(family, default=checked)
    if not family.usable.size:
        if not family.configured:
            return family
        lack = Shortfall(
            "PoolExhausted",
            f"nothing of the IPv{family.version} pool of gateway {name} may be given out: "
            "all of it is reserved, another gateway's, or invalid",
        )
        return replace(family, shortfall=lack)
    kept = parse(had)
    if kept is None or kept not in family.usable:
        kept = family.usable.address(family.usable.at(0))
    return replace(family, default=kept)
