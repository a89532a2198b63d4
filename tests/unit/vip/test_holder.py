"""What a turn does to the kernel and the LAN."""

from ipaddress import ip_address, ip_network

import pytest

from outgate.vip.fake import FakeLan
from outgate.vip.holder import GLANCE, RESYNC, Holder
from outgate.vip.model import Holding, Link
from outgate.vip.protocol import Hold

MAC = "02:aa:00:00:00:01"
LAN = Link("eth0", MAC, True, frozenset({ip_network("203.0.113.0/24")}))
VIP = "203.0.113.7"
HELD = Holding(ip_address(VIP), "eth0")


@pytest.fixture
def lan() -> FakeLan:
    return FakeLan(links={LAN})


def holder(lan: FakeLan, *, adopt: bool = False) -> Holder:
    return Holder(addresses=lambda: lan, wire=lambda: lan, adopt=lambda: adopt, wall=1000.0)


def word(seq: int, *addresses: str) -> Hold:
    return Hold(seq, addresses, "eth0")


def test_the_address_comes_first_then_the_announcement(lan: FakeLan) -> None:
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=5.0)
    assert lan.log == [f"add {VIP} eth0", f"announce {VIP} eth0 {MAC}"]
    (held,) = holding.report().held
    assert (held.address, held.interface, held.since, held.announced) == (VIP, "eth0", 1005.0, 1)
    assert holding.report().seq == 1


def test_on_release_it_falls_silent_and_the_address_goes(lan: FakeLan) -> None:
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    lan.log.clear()
    holding.hold(word(2))
    holding.turn(now=0.1)  # the train's second turn would have been now
    holding.turn(now=100.0)
    assert lan.log == [f"remove {VIP} eth0"]
    assert holding.report().held == ()


def test_without_a_word_what_a_former_process_left_is_kept_and_announced(lan: FakeLan) -> None:
    lan.owned.add(HELD)
    holding = holder(lan, adopt=True)
    holding.turn(now=0.0)
    holding.turn(now=RESYNC + 1)
    assert lan.owned == {HELD}
    assert lan.log[0] == f"announce {VIP} eth0 {MAC}"
    assert not any("remove" in line or "add" in line for line in lan.log)


def test_the_first_word_withdraws_what_it_does_not_name(lan: FakeLan) -> None:
    lan.owned.add(HELD)
    holding = holder(lan, adopt=True)
    holding.turn(now=0.0)
    holding.hold(word(1))
    holding.turn(now=1.0)
    assert lan.owned == set()


def test_a_node_that_never_held_anything_loads_no_edge(lan: FakeLan) -> None:
    def heavy() -> FakeLan:
        raise AssertionError("loaded")

    holding = Holder(addresses=heavy, wire=heavy, adopt=lambda: False)
    holding.hold(word(1))
    holding.turn(now=0.0)
    assert holding.report().seq == 1


def test_a_foreign_address_is_reported_never_announced_never_removed(lan: FakeLan) -> None:
    lan.foreign.add(HELD)
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    holding.hold(word(2))
    holding.turn(now=1.0)
    assert lan.log == []
    assert lan.foreign == {HELD}


def test_one_address_that_fails_does_not_stop_the_others(lan: FakeLan) -> None:
    holding = holder(lan)
    holding.hold(Hold(1, ("198.51.100.9", VIP), "nowhere"))
    holding.turn(now=0.0)
    assert lan.owned == {HELD}
    errors = {one.address: one.error for one in holding.report().held}
    assert errors[VIP] == ""
    assert "nowhere" in errors["198.51.100.9"]


def test_what_the_kernel_refuses_is_tried_again_soon(lan: FakeLan) -> None:
    holding = holder(lan)
    lan.broken = True
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    assert holding.report().held[0].error
    lan.broken = False
    assert holding.next_turn() < 2.0
    holding.turn(now=holding.next_turn())
    assert lan.owned == {HELD}
    assert holding.report().held[0].error == ""


def test_an_address_that_somebody_removed_comes_back(lan: FakeLan) -> None:
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    lan.owned.clear()
    holding.turn(now=RESYNC)
    assert lan.owned == {HELD}


def test_a_link_without_carrier_is_an_error_until_it_is_back(lan: FakeLan) -> None:
    lan.links = {Link("eth0", MAC, False, LAN.connected)}
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    assert "announce" in holding.report().held[0].error
    lan.links = {LAN}
    holding.turn(now=holding.next_turn())
    assert holding.report().held[0].error == ""


def test_an_address_that_others_removed_is_put_back_soon_and_counted(lan: FakeLan) -> None:
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    assert holding.next_turn() <= GLANCE
    lan.owned.clear()
    holding.turn(now=GLANCE)
    assert lan.owned == {HELD}
    assert holding.report().repaired == 1


def test_what_the_agent_takes_away_and_gives_is_no_repair(lan: FakeLan) -> None:
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    holding.hold(word(2))
    holding.turn(now=1.0)
    holding.hold(word(3, VIP))
    holding.turn(now=2.0)
    assert lan.owned == {HELD}
    assert holding.report().repaired == 0


def test_nobody_looks_while_nothing_was_touched(lan: FakeLan) -> None:
    holding = holder(lan)
    holding.hold(word(1, VIP))
    holding.turn(now=0.0)
    lan.touched = lambda: False  # type: ignore[method-assign]
    lan.owned.clear()
    holding.turn(now=GLANCE)
    assert lan.owned == set()
    holding.turn(now=RESYNC + 1)
    assert lan.owned == {HELD}
