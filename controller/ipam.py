"""Which addresses of a gateway's pools each policy gets. Pure, and independent of input order.

Picks are sticky: what a policy's status records stays, while the policy asks for the same and the
pool has the address. New picks go to older policies first. A policy that asks for several addresses
keeps their order: more are added behind, fewer are those before.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import Literal

from outgate.api.policy import AnyPolicy
from outgate.api.view import IPAddress
from outgate.controller.addresses import parse
from outgate.controller.pools import Pool, Version

Method = Literal["Default", "RoundRobin", "Random", "Fixed", "NodeIP"]

METHODS: Mapping[str, Method] = {"default": "Default", "rr": "RoundRobin", "random": "Random"}


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a policy has not got (all) its addresses: a condition's reason and message."""

    reason: Literal["AddressNotInPool", "AddressReserved", "PoolExhausted", "DefaultEIPInvalid"]
    message: str


@dataclass(frozen=True, slots=True)
class FamilyPool:
    """What a gateway has to give of one family.

    configured: whether its spec names any address of the family. usable: what may be given out.
    reserved: never given. ceded: overlaps that an older gateway owns, with that gateway's name.
    default: the family's default egress IP, None without one; `shortfall` says why if it was asked
    for and cannot be.
    """

    version: Version
    configured: bool
    usable: Pool
    reserved: Pool
    ceded: tuple[tuple[str, Pool], ...] = ()
    default: IPAddress | None = None
    shortfall: Shortfall | None = None


@dataclass(frozen=True, slots=True)
class GatewayPools:
    """A gateway's name and pools."""

    gateway: str
    v4: FamilyPool
    v6: FamilyPool


@dataclass(frozen=True, slots=True)
class Wish:
    """What a policy asks for, and what its status records that it has.

    count: how many addresses of each family. `had_method` is how the recorded addresses came about,
    "" if not recorded; had: these, IPv4 and IPv6, as texts, "" for none.
    """

    key: str
    uid: str
    created: str
    method: Method
    fixed4: str = ""
    fixed6: str = ""
    count: int = 1
    had_method: str = ""
    had: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Addresses that a pod leaves with; None in a family for which there is none."""

    ipv4: IPAddress | None = None
    ipv6: IPAddress | None = None

    def addresses(self) -> tuple[IPAddress, ...]:
        """Those that there are, IPv4 first."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a policy gets: nothing with `NodeIP`, or if it was refused; else pairs not empty."""

    method: Method
    pairs: tuple[Pair, ...] = ()
    shortfall: Shortfall | None = None


def wish_of(policy: AnyPolicy, *, key: str) -> Wish:
    """The policy's wish; `egressIP.useNodeIP` goes before fixed addresses, these before a pick."""
    asked, status = policy.spec.egress_ip, policy.status
    method: Method = METHODS[asked.allocator_policy]
    if asked.use_node_ip:
        method = "NodeIP"
    elif asked.ipv4 or asked.ipv6:
        method = "Fixed"
    had = next((c.reason for c in status.conditions if c.type == "Allocated"), "")
    return Wish(
        key=key,
        uid=policy.metadata.uid,
        created=policy.metadata.creation_timestamp,
        method=method,
        fixed4=asked.ipv4,
        fixed6=asked.ipv6,
        count=asked.count,
        had_method=had,
        had=tuple((eip.ipv4, eip.ipv6) for eip in status.every_eip()),
    )


def allocate(pools: GatewayPools, wishes: Iterable[Wish]) -> Mapping[str, Grant]:
    """The grant of each wish, by key. Two policies may share an address."""
    ordered = sorted(wishes, key=lambda wish: (wish.created, wish.key))
    grants: dict[str, Grant] = {}
    picking: list[Wish] = []
    for wish in ordered:
        match wish.method:
            case "NodeIP":
                grants[wish.key] = Grant("NodeIP")
            case "Fixed":
                grants[wish.key] = _fixed(pools, wish)
            case "Default":
                grants[wish.key] = _both(pools, "Default", _default(pools.v4), _default(pools.v6))
            case _:
                picking.append(wish)
    if picking:
        _pick(pools, picking, grants)
    return grants


_Choice = IPAddress | Shortfall | None


def _both(pools: GatewayPools, method: Method, v4: _Choice, v6: _Choice) -> Grant:
    ipv4, lack4 = (None, v4) if isinstance(v4, Shortfall) else (v4, None)
    ipv6, lack6 = (None, v6) if isinstance(v6, Shortfall) else (v6, None)
    lack = lack4 or lack6
    if lack is None and ipv4 is None and ipv6 is None:
        lack = Shortfall(
            "PoolExhausted",
            f"gateway {pools.gateway} has no addresses: add some to spec.ippools, "
            "or set egressIP.useNodeIP",
        )
    pair = Pair(ipv4, ipv6)
    return Grant(method, (pair,) if pair.addresses() else (), lack)


def _default(family: FamilyPool) -> _Choice:
    return family.default or family.shortfall


def _fixed(pools: GatewayPools, wish: Wish) -> Grant:
    choices: list[_Choice] = []
    for family, text in ((pools.v4, wish.fixed4), (pools.v6, wish.fixed6)):
        choice = check_address(text, family=family, gateway=pools.gateway) if text else None
        if isinstance(choice, Shortfall):
            # What was asked for by name is refused as a whole: nothing leaves half right.
            return Grant("Fixed", shortfall=choice)
        choices.append(choice or _default(family))
    return _both(pools, "Fixed", choices[0], choices[1])


def check_address(text: str, *, family: FamilyPool, gateway: str) -> IPAddress | Shortfall:
    """The address if the gateway may give it out, else why not, and what would be right."""
    name = f"IPv{family.version}"
    address = parse(text)
    if address is None:
        return Shortfall("AddressNotInPool", f"{text!r} is not an {name} address")
    if address in family.usable:
        return address
    if address in family.reserved:
        return Shortfall(
            "AddressReserved",
            f"{address} is reserved by gateway {gateway}: ask for another address of its pool, "
            "or take it out of spec.ippools.reserved",
        )
    for owner, ceded in family.ceded:
        if address in ceded:
            return Shortfall(
                "AddressNotInPool",
                f"{address} is in the pool of gateway {gateway}, but the older gateway {owner} "
                f"has it too and owns it: name {owner}, or ask for another address",
            )
    have = family.usable.describe() or f"no {name} addresses"
    return Shortfall(
        "AddressNotInPool",
        f"{address} is not in the {name} pool of gateway {gateway}, which has {have}",
    )


class _Picker:
    """Hands out the addresses of one family during one allocation, counting who uses what."""

    def __init__(self, family: FamilyPool, gateway: str) -> None:
        self._family = family
        self._pool = family.usable
        self._gateway = gateway
        self._uses: Counter[int] = Counter()
        self._fresh = self._pool.walk()
        self._heap: list[tuple[int, int]] = []

    def use(self, address: IPAddress | None) -> None:
        """Count a use that was decided elsewhere."""
        if address is not None and self._pool.has(int(address)):
            self._uses[int(address)] += 1

    def keep(self, texts: Iterable[str]) -> list[IPAddress | None]:
        """Recorded addresses, where the pool still has them."""
        read = (parse(text) for text in texts)
        kept = [address if address and address in self._pool else None for address in read]
        for address in kept:
            self.use(address)
        return kept

    def fill(self, wish: Wish, kept: list[IPAddress | None]) -> Shortfall | None:
        """Put addresses in the places that have none, as far as there are any; else why not."""
        if not self._family.configured:
            return None
        mine = {int(address) for address in kept if address is not None}
        for place, address in enumerate(kept):
            if address is not None:
                continue
            number = self._pick(wish, mine)
            if number is None:
                return self._shortfall(wish, have=len(mine))
            self._uses[number] += 1
            mine.add(number)
            kept[place] = self._pool.address(number)
        return None

    def _pick(self, wish: Wish, mine: Collection[int]) -> int | None:
        """The next (rr) or any (random) address that no policy uses, or shared (rr), not by one."""
        if wish.method == "RoundRobin":
            return self._next(mine)
        return self._any(wish.uid or wish.key, place=len(mine))

    def _next(self, mine: Collection[int]) -> int | None:
        if not self._heap:
            # Addresses are only ever taken here, so the walk never has to go back.
            for number in self._fresh:
                if number not in self._uses:
                    return number
            self._heap = [(count, number) for number, count in self._uses.items()]
            heapify(self._heap)
        passed: list[tuple[int, int]] = []
        found = None
        while self._heap and found is None:
            count, number = heappop(self._heap)
            if number in mine:
                passed.append((count, number))
            else:
                found = number
                passed.append((count + 1, number))
        for entry in passed:
            heappush(self._heap, entry)
        return found

    def _any(self, seed: str, *, place: int) -> int | None:
        if len(self._uses) >= self._pool.size:
            return None
        seed = f"{seed}\0{place}" if place else seed
        digest = blake2b(f"{self._gateway}\0{seed}".encode(), digest_size=16).digest()
        start = int.from_bytes(digest, "big") % self._pool.size
        return next((n for n in self._pool.walk(start) if n not in self._uses), None)

    def _shortfall(self, wish: Wish, *, have: int) -> Shortfall:
        name, size = f"IPv{self._family.version}", self._pool.size
        so_far = f"{have} of {wish.count} {name} addresses are given: " if wish.count > 1 else ""
        if wish.method == "RoundRobin" and size:
            why = f"gateway {self._gateway} has only {size} that may be given out: add to"
            return Shortfall("PoolExhausted", f"{so_far}{why} spec.ippools, or lower count")
        how = "; allocatorPolicy rr shares them in turn" if size else ""
        return Shortfall(
            "PoolExhausted",
            f"{so_far}gateway {self._gateway} has no free {name} address: all {size} that may be "
            f"given out are in use{how}, or add to spec.ippools",
        )


def _pick(pools: GatewayPools, picking: list[Wish], grants: dict[str, Grant]) -> None:
    """Add the grants of the round-robin and random wishes, oldest policy first."""
    v4, v6 = _Picker(pools.v4, pools.gateway), _Picker(pools.v6, pools.gateway)
    for grant in grants.values():
        for pair in grant.pairs:
            v4.use(pair.ipv4)
            v6.use(pair.ipv6)
    kept: dict[str, tuple[list[IPAddress | None], list[IPAddress | None]]] = {}
    for wish in picking:
        had = wish.had[: wish.count] if wish.had_method == wish.method else ()
        had += (("", ""),) * (wish.count - len(had))
        kept[wish.key] = v4.keep(ipv4 for ipv4, _ in had), v6.keep(ipv6 for _, ipv6 in had)
    for wish in picking:
        mine4, mine6 = kept[wish.key]
        lack4, lack6 = v4.fill(wish, mine4), v6.fill(wish, mine6)
        grants[wish.key] = _spread(pools, wish, mine4, mine6, lack4 or lack6)


def _spread(
    pools: GatewayPools,
    wish: Wish,
    v4: list[IPAddress | None],
    v6: list[IPAddress | None],
    lack: Shortfall | None,
) -> Grant:
    pairs = [Pair(*both) for both in zip(v4, v6, strict=True)]
    pairs = [pair for pair in pairs if pair.addresses()]
    if not pairs and lack is None:
        return _both(pools, wish.method, None, None)
    return Grant(wish.method, tuple(pairs), lack)
