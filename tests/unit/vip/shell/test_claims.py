"""Who holds what, from what nodes say in whatever order it comes."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.engine.words import Claim
from outgate.vip.peer.words import Moved
from outgate.vip.protocol import Claimed
from outgate.vip.shell.claims import Claimant, Claims, by_gateway

A, B, C = (IPv4Address(f"203.0.113.{last}") for last in (7, 8, 10))


def moved(node: str, epoch: int, *addresses: IPv4Address, gateway: str = "internet") -> Moved:
    return Moved(node, {gateway: (Claim(epoch, frozenset(addresses)),)})


words = st.builds(
    lambda node, epoch, addresses: moved(node, epoch, *addresses),
    st.sampled_from(["b", "c", "d"]),
    st.integers(1, 4),
    st.sets(st.sampled_from([A, B, C]), min_size=1),
)


@given(
    st.lists(words, max_size=8).flatmap(
        lambda said: st.tuples(st.just(said), st.permutations(said))
    )
)
def test_the_order_of_hearing_does_not_matter(said: tuple[list[Moved], list[Moved]]) -> None:
    one, other = Claims(), Claims()
    for word in said[0]:
        one.hear(word)
    for word in said[1]:
        other.hear(word)
    assert one.heard == other.heard
    assert one.said() == other.said()


@given(st.lists(words, max_size=8))
def test_what_is_news_is_what_has_changed(said: list[Moved]) -> None:
    claims = Claims()
    for word in said:
        before, version = dict(claims.heard), claims.version
        news = claims.hear(word)
        assert news == {one for one, claim in claims.heard.items() if before.get(one) != claim}
        assert (claims.version > version) == bool(news)
        assert not claims.hear(word)


def test_of_two_claims_the_later_epoch_has_it_and_of_one_epoch_the_greater_name() -> None:
    claims = Claims()
    claims.hear(moved("b", 2, A))
    assert not claims.hear(moved("c", 1, A))
    assert claims.heard[A] == Claimant(2, "b", "internet")
    assert claims.hear(moved("c", 2, A, B)) == {A, B}
    assert not claims.hear(moved("b", 2, A))
    assert claims.heard[A] == Claimant(2, "c", "internet")


def test_what_this_node_takes_is_no_longer_anothers() -> None:
    claims = Claims()
    claims.hear(moved("b", 2, A, B))
    claims.take("a", "internet", [A], epoch=3)
    assert claims.heard.keys() == {B}
    assert claims.said() == (
        (Claimed("a", "internet", 3, (str(A),)),),
        (Claimed("b", "internet", 2, (str(B),)),),
    )


def test_what_it_has_lost_it_does_not_claim() -> None:
    claims = Claims()
    claims.take("a", "internet", [A, B], epoch=3)
    version = claims.version
    claims.lose([A, C])
    assert claims.own.keys() == {B}
    assert claims.version > version


def test_an_address_that_is_out_of_use_is_forgotten_with_its_epoch() -> None:
    claims = Claims()
    claims.hear(moved("b", 9, A, B))
    version = claims.version
    claims.forget([A, C])
    assert claims.heard.keys() == {B}
    assert claims.version > version
    assert claims.hear(moved("c", 1, A, gateway="other")), "whoever gets it next counts anew"


def test_what_others_are_told_is_by_gateway_and_epoch() -> None:
    claims = Claims()
    claims.take("a", "internet", [A], epoch=3)
    claims.take("a", "internet", [B], epoch=4)
    claims.take("a", "partners", [C], epoch=1)
    assert claims.whole() == {
        "internet": (Claim(3, frozenset({A})), Claim(4, frozenset({B}))),
        "partners": (Claim(1, frozenset({C})),),
    }
    assert by_gateway({}) == {}


def test_addresses_are_told_in_order_of_their_numbers() -> None:
    claims = Claims()
    claims.take("a", "internet", [C, A, B], epoch=1)
    assert claims.said()[0][0].addresses == (str(A), str(B), str(C))
