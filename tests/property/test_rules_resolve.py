"""The resolver agrees with the plainest one that can be written."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from outgate.api.view import IPAddress, IPNetwork, PolicyView
from outgate.rules.resolve import Destinations, Version, resolve

# A few bits of the address space, so that networks nest, touch and cover one another.
BASE = {4: int(IPv4Address("192.0.2.0")), 6: int(IPv6Address("2001:db8::"))}
BITS = 5

unhurried = hypothesis_settings(deadline=None)  # the machine is shared


def networks(version: Version) -> st.SearchStrategy[IPNetwork]:
    width = 32 if version == 4 else 128

    def network(offset: int, length: int) -> IPNetwork:
        return ip_network((BASE[version] + offset, width - length), strict=False)

    nested = st.builds(network, st.integers(0, 2**BITS - 1), st.integers(0, BITS))
    return nested | st.just(IPv4Network("0.0.0.0/0") if version == 4 else IPv6Network("::/0"))


both = networks(4) | networks(6)
policies = st.lists(
    st.builds(
        PolicyView,
        key=st.text("abc", min_size=1, max_size=2),
        rank=st.tuples(st.integers(0, 1), st.just(""), st.text("ab", max_size=1)),
        destinations=st.frozensets(both, max_size=3),
        exclusions=st.frozensets(both, max_size=2),
        egress4=st.integers(1, 3),
        egress6=st.integers(1, 3),
    ),
    max_size=5,
    unique_by=lambda policy: policy.key,
)


def naive(policies: list[PolicyView], address: IPAddress) -> int | None:
    """The id for one address: every policy is asked, the best answer wins."""
    best: tuple[tuple[object, ...], int] | None = None
    for policy in policies:
        everything = ip_network("0.0.0.0/0" if address.version == 4 else "::/0")
        matching = [
            network.prefixlen
            for network in policy.destinations or {everything}
            if network.version == address.version and address in network
        ]
        if not matching or any(
            network.version == address.version and address in network
            for network in policy.exclusions
        ):
            continue
        order = (-max(matching), policy.rank, policy.key)
        id_ = policy.egress4 if address.version == 4 else policy.egress6
        if best is None or order < best[0]:
            best = order, id_
    return best[1] if best else None


def probes(version: Version) -> list[IPAddress]:
    inside = range(BASE[version] - 1, BASE[version] + 2**BITS + 1)
    last = 2 ** (32 if version == 4 else 128) - 1
    kind = IPv4Address if version == 4 else IPv6Address
    return [kind(address) for address in (0, *inside, last)]


def looked_up(destinations: Destinations, address: IPAddress) -> int | None:
    """As the rules do: single addresses first, then the one range that it is in."""
    number = int(address)
    found = [each.egress for each in destinations.ranges if each.first <= number <= each.last]
    assert len(found) <= 1
    egress = destinations.singles.get(number, found[0] if found else None)
    assert egress == destinations.of(number)
    return egress.id if egress else None


@unhurried
@given(policies, st.sampled_from([4, 6]))
def test_it_agrees_with_the_naive_resolver(policies: list[PolicyView], version: Version) -> None:
    destinations = resolve(policies, version=version)

    for address in probes(version):
        assert looked_up(destinations, address) == naive(policies, address)


@unhurried
@given(policies, st.sampled_from([4, 6]), st.randoms())
def test_neither_the_order_of_policies_nor_a_needless_cut_shows(
    policies: list[PolicyView], version: Version, random: Random
) -> None:
    destinations = resolve(policies, version=version)
    shuffled = list(policies)
    random.shuffle(shuffled)

    assert resolve(shuffled, version=version) == destinations
    for one, next_ in pairwise(destinations.ranges):
        assert one.last < next_.first
        assert one.last + 1 < next_.first or one.egress != next_.egress
