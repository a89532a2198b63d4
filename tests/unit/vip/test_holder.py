"""What a turn does to the kernel and the LAN."""

from ipaddress import ip_address, ip_network

import pytest

from outgate.vip.fake import FakeLan
from outgate.vip.holder import AT_ONCE, GLANCE, RESYNC, Holder
from outgate.vip.model import Holding, Link

MAC = "02:aa:00:00:00:01"
LAN = Link("eth0", MAC, True, frozenset({ip_network("203.0.113.0/24")}))
VIP = "203.0.113.7"
HELD = Holding(ip_address(VIP), "eth0")


@pytest.fixture
def lan() -> FakeLan:
    return FakeLan(links={LAN})


def holder(lan: FakeLan, *, adopt: bool = False) -> Holder:
    return Holder(addresses=lambda: lan, wire=lambda: lan, adopt=lambda: adopt, wall=1000.0)


def hold(holding: Holder, *addresses: str, interface: str = "eth0") -> None:
    holding.hold(map(ip_address, addresses), interface=interface)


def test_the_address_comes_first_then_the_announcement(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=5.0)
    assert lan.log == [f"add {VIP} eth0", f"announce {VIP} eth0 {MAC}"]
    (held,) = holding.held()
    assert (held.address, held.interface, held.since, held.announced) == (VIP, "eth0", 1005.0, 1)


def test_on_release_it_falls_silent_and_the_address_goes(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    lan.log.clear()
    hold(holding)
    holding.turn(now=0.1)  # the train's second turn would have been now
    holding.turn(now=100.0)
    assert lan.log == [f"remove {VIP} eth0"]
    assert holding.held() == ()


def test_without_a_word_what_a_former_process_left_stays_and_nothing_is_said(lan: FakeLan) -> None:
    lan.owned.add(HELD)  # perhaps another node has it by now
    holding = holder(lan, adopt=True)
    holding.turn(now=0.0)
    holding.turn(now=RESYNC + 1)
    assert lan.owned == {HELD}
    assert lan.log == []


def test_the_first_word_withdraws_what_it_does_not_name(lan: FakeLan) -> None:
    lan.owned.add(HELD)
    holding = holder(lan, adopt=True)
    holding.turn(now=0.0)
    hold(holding)
    holding.turn(now=1.0)
    assert lan.owned == set()


def test_a_node_that_never_held_anything_loads_no_edge(lan: FakeLan) -> None:
    def heavy() -> FakeLan:
        raise AssertionError("loaded")

    holding = Holder(addresses=heavy, wire=heavy, adopt=lambda: False)
    hold(holding)
    holding.turn(now=0.0)
    assert holding.held() == ()


def test_a_foreign_address_is_reported_never_announced_never_removed(lan: FakeLan) -> None:
    lan.foreign.add(HELD)
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    hold(holding)
    holding.turn(now=1.0)
    assert lan.log == []
    assert lan.foreign == {HELD}


def test_one_address_that_fails_does_not_stop_the_others(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, "198.51.100.9", VIP, interface="nowhere")
    holding.turn(now=0.0)
    assert lan.owned == {HELD}
    errors = {one.address: one.error for one in holding.held()}
    assert errors[VIP] == ""
    assert "nowhere" in errors["198.51.100.9"]


def test_what_the_kernel_refuses_is_tried_again_soon(lan: FakeLan) -> None:
    holding = holder(lan)
    lan.broken = True
    hold(holding, VIP)
    holding.turn(now=0.0)
    assert holding.held()[0].error
    lan.broken = False
    assert holding.next_turn() < 2.0
    holding.turn(now=holding.next_turn())
    assert lan.owned == {HELD}
    assert holding.held()[0].error == ""


def test_an_address_that_somebody_removed_comes_back(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    lan.owned.clear()
    holding.turn(now=RESYNC)
    assert lan.owned == {HELD}


def test_a_link_without_carrier_is_an_error_until_it_is_back(lan: FakeLan) -> None:
    lan.links = {Link("eth0", MAC, False, LAN.connected)}
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    assert "announce" in holding.held()[0].error
    lan.links = {LAN}
    holding.turn(now=holding.next_turn())
    assert holding.held()[0].error == ""


def test_an_address_that_others_removed_is_put_back_soon_and_counted(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    assert holding.next_turn() <= GLANCE
    lan.owned.clear()
    holding.turn(now=GLANCE)
    assert lan.owned == {HELD}
    assert holding.repaired == 1


def test_what_the_agent_takes_away_and_gives_is_no_repair(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    hold(holding)
    holding.turn(now=1.0)
    hold(holding, VIP)
    holding.turn(now=2.0)
    assert lan.owned == {HELD}
    assert holding.repaired == 0


def test_nobody_looks_while_nothing_was_touched(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    lan.touched = lambda: False  # type: ignore[method-assign]
    lan.owned.clear()
    holding.turn(now=GLANCE)
    assert lan.owned == set()
    holding.turn(now=RESYNC + 1)
    assert lan.owned == {HELD}


def test_a_node_that_may_hold_soon_loads_its_edges_and_looks_before_there_is_anything(
    lan: FakeLan,
) -> None:
    made: list[str] = []

    def edge(name: str) -> FakeLan:
        made.append(name)
        return lan

    holding = Holder(
        addresses=lambda: edge("addresses"), wire=lambda: edge("wire"), adopt=lambda: False
    )
    holding.hold((), interface="eth0", standby=True)
    assert holding.observed is None
    holding.turn(now=0.0)
    assert made == ["addresses", "wire"]
    assert holding.observed is not None and holding.observed.links == {LAN}


def test_the_version_rises_with_what_is_held_and_with_nothing_else(lan: FakeLan) -> None:
    holding = holder(lan)
    lan.touched = lambda: False  # type: ignore[method-assign]
    hold(holding, VIP)
    before = holding.version
    holding.turn(now=0.0)
    assert holding.version > before
    before = holding.version
    holding.turn(now=0.05)
    assert holding.version == before
    holding.turn(now=0.1)  # the train's second announcement
    assert holding.version > before
    assert holding.held()[0].announced == 2


def test_many_addresses_take_several_turns_and_none_is_said_twice_before_all_are_said(
    lan: FakeLan,
) -> None:
    holding = holder(lan)
    many = [f"203.0.113.{host}" for host in range(1, 2 * AT_ONCE + 2)]
    hold(holding, *many)
    said: list[str] = []
    for turn in range(3):
        lan.log.clear()
        holding.turn(now=0.2 * turn)  # by then, the first ones are due again
        new = [line.split()[1] for line in lan.log if line.startswith("announce")]
        assert len(new) <= AT_ONCE
        said += new
    assert sorted(said[: len(many)]) == sorted(many)
    assert holding.next_turn() <= 0.4


def test_an_address_is_announced_again_when_somebody_asks_for_it(lan: FakeLan) -> None:
    holding = holder(lan)
    hold(holding, VIP)
    holding.turn(now=0.0)
    lan.log.clear()
    holding.announce({ip_address(VIP)})
    assert holding.next_turn() <= 0.01
    holding.turn(now=0.01)
    assert lan.log == [f"announce {VIP} eth0 {MAC}"]
