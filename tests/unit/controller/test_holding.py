from outgate.api.gateway import EgressAddress
from outgate.api.hold import Hold
from outgate.api.meta import ObjectMeta
from outgate.api.tunnel import EgressTunnel, EgressTunnelSpec, EgressTunnelStatus, Holding
from outgate.controller.holding import Move, claims_of, holds_of, moves

A, B = "198.51.100.10", "2001:db8:1::1"


def tunnel(node: str, *holding: Holding) -> EgressTunnel:
    return EgressTunnel(
        metadata=ObjectMeta(name=node),
        spec=EgressTunnelSpec(index=1, mac="02:00:00:00:00:01"),
        status=EgressTunnelStatus(holding=holding),
    )


def claim(epoch: int, *addresses: str, gateway: str = "gw") -> Holding:
    return Holding(gateway=gateway, epoch=epoch, addresses=addresses)


def entry(address: str, node: str, epoch: int = 0) -> EgressAddress:
    return EgressAddress(address=address, id=1, node=node, epoch=epoch)


def test_the_higher_epoch_is_right_and_of_equal_ones_the_greater_name() -> None:
    tunnels = [tunnel("b", claim(4, A), claim(5, B)), tunnel("a", claim(6, A), claim(5, B))]
    for order in (tunnels, tunnels[::-1]):
        assert claims_of(order, reporting={"a", "b"})["gw"] == {A: Hold(6, "a"), B: Hold(5, "b")}


def test_who_does_not_report_holds_nothing() -> None:
    tunnels = [tunnel("a", claim(6, A)), tunnel("b", claim(4, A))]
    assert claims_of(tunnels, reporting={"b"})["gw"] == {A: Hold(4, "b")}
    assert claims_of(tunnels, reporting=()) == {}


def test_each_gateway_has_claims_of_its_own() -> None:
    tunnels = [tunnel("a", claim(1, A), claim(2, A, gateway="other"))]
    assert claims_of(tunnels, reporting={"a"}) == {
        "gw": {A: Hold(1, "a")},
        "other": {A: Hold(2, "a")},
    }


def test_an_address_is_the_same_however_it_is_written() -> None:
    tunnels = [tunnel("a", claim(1, "2001:DB8:1:0::1"))]
    assert claims_of(tunnels, reporting={"a"})["gw"] == {B: Hold(1, "a")}


def test_an_address_that_nobody_holds_any_more_keeps_its_epoch() -> None:
    before = [entry(A, "a", 7)]
    assert holds_of([A, B], claims={}, before=before) == {A: Hold(7, ""), B: Hold(0, "")}
    assert holds_of([A], claims={A: Hold(8, "b")}, before=before) == {A: Hold(8, "b")}


def test_a_thousand_addresses_that_go_the_same_way_are_one_move() -> None:
    many = [f"198.51.{high}.{low}" for high in range(4) for low in range(250)]
    before = [entry(address, "a", 1) for address in many]
    after = [entry(address, "b", 2 + number % 2) for number, address in enumerate(many)]
    (move,) = moves(before, after)
    assert (move.source, move.target, move.epochs) == ("a", "b", (2, 3))
    assert sorted(move.addresses) == sorted(many)


def test_a_first_claim_is_no_move_nor_is_a_loss_but_coming_back_is() -> None:
    assert list(moves([], [entry(A, "a", 1)])) == []
    assert list(moves([entry(A, "")], [entry(A, "a", 1)])) == []
    assert list(moves([entry(A, "a", 1)], [entry(A, "", 1)])) == []
    assert list(moves([entry(A, "a", 1)], [entry(A, "a", 2)])) == []
    back = moves([entry(A, "", 1)], [entry(A, "b", 2)])
    assert list(back) == [Move("", "b", (A,), (2, 2))]
