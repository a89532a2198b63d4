"""What is kept of another node's words, and for how long."""

from unit.vip.peer.talk import say

from outgate.vip.engine.words import Hearing
from outgate.vip.peer.bodies import HEARINGS, HeartbeatBody
from outgate.vip.peer.session import Session

NAMES = 1


def body(counter: int, *says: int) -> HeartbeatBody:
    new = bytes([HEARINGS.index(Hearing.NEW)])
    return HeartbeatBody(counter, True, 0.25, NAMES, says, [7], [counter], [0.0], new, [])


def session() -> Session:
    one = Session("a")
    one.reboot(5)
    one.keep(NAMES, ("b",))
    return one


def test_what_was_replaced_is_forgotten() -> None:
    one = session()
    for number in range(2, 50):
        one.keep(number, say(serial=number))
        assert one.hear(body(number, number)) is not None
    assert [number for number in range(50) if one.has(number)] == [NAMES, 49]


def test_what_came_ahead_of_its_heartbeat_is_there_when_that_comes() -> None:
    one = session()
    one.keep(2, say(serial=1))
    one.keep(3, say(serial=2))
    assert one.hear(body(1, 2)) is not None
    heartbeat = one.hear(body(2, 3))
    assert heartbeat is not None
    assert heartbeat.says["g"].serial == 2


def test_a_heartbeat_that_waits_gives_way_to_a_newer_one() -> None:
    one = session()
    assert one.hear(body(1, 2)) is None
    assert one.missing() == {2: ()}
    assert one.hear(body(2, 3)) is None
    assert one.missing() == {3: ()}
    assert one.keep(2, say()) is None
    heartbeat = one.keep(3, say())
    assert heartbeat is not None
    assert heartbeat.counter == 2


def test_another_boot_has_another_past() -> None:
    one = session()
    one.window.take(9)
    one.reboot(6)
    assert not one.has(NAMES)
    assert one.window.take(1)
