"""When addresses are announced: the clock is a number here."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from outgate.vip.announcer import REFRESH, RETRY, TRAIN, Announcer
from outgate.vip.model import Holding

V4 = Holding(ip_address("203.0.113.7"), "eth0")
V6 = Holding(ip_address("2001:db8::7"), "eth0")
MAC = "02:aa:00:00:00:01"


def play(announcer: Announcer, *, until: float) -> tuple[Announcer, list[float]]:
    """Runs the announcer by its own deadlines; returns when V4 was announced."""
    times: list[float] = []
    while (due := announcer.next_due()) is not None and due <= until:
        ready = announcer.due(now=due)
        times += [due for holding in ready if holding == V4]
        announcer = announcer.announced(ready, now=due)
    return announcer, times


def test_a_new_address_is_announced_at_once_in_a_train_and_then_slowly_for_ever() -> None:
    announcer = Announcer().holding({V4: MAC}, now=100.0)
    _, times = play(announcer, until=100.0 + 2.2 + 3 * REFRESH + 1)
    train = [100.0 + offset for offset in TRAIN]
    slow = [train[-1] + REFRESH * turn for turn in (1, 2, 3)]
    assert [round(time, 3) for time in times] == [round(time, 3) for time in train + slow]


def test_the_train_is_longer_than_a_receivers_one_second_lock() -> None:
    assert TRAIN[0] == 0.0
    assert sum(1 for offset in TRAIN if offset > 1.0) >= 2


def test_an_address_let_go_is_never_announced_again() -> None:
    announcer = Announcer().holding({V4: MAC, V6: MAC}, now=0.0)
    announcer = announcer.holding({V6: MAC}, now=0.05)
    assert announcer.due(now=10.0) == (V6,)
    assert Announcer().holding({V4: MAC}, now=0.0).holding({}, now=1.0).next_due() is None


def test_a_new_neighbour_does_not_restart_the_others_train() -> None:
    announcer, _ = play(Announcer().holding({V4: MAC}, now=0.0), until=5.0)
    announcer = announcer.holding({V4: MAC, V6: MAC}, now=5.0)
    assert announcer.due(now=5.0) == (V6,)


def test_a_changed_mac_is_news_to_the_lan() -> None:
    announcer, _ = play(Announcer().holding({V4: MAC}, now=0.0), until=5.0)
    announcer = announcer.holding({V4: "02:aa:00:00:00:09"}, now=5.0)
    assert announcer.due(now=5.0) == (V4,)
    assert announcer.announcements[V4].since == 0.0


def test_a_late_train_keeps_its_gaps() -> None:
    announcer = Announcer().holding({V4: MAC}, now=0.0).announced([V4], now=50.0)
    assert announcer.next_due() == 50.0 + TRAIN[1]


def test_what_could_not_be_sent_is_tried_again_at_the_same_place() -> None:
    announcer = Announcer().holding({V4: MAC}, now=0.0).postponed([V4], now=0.0)
    assert announcer.next_due() == RETRY
    announcer = announcer.announced([V4], now=RETRY)
    assert announcer.announcements[V4].sent == 1
    assert announcer.next_due() == RETRY + TRAIN[1]


def test_asked_to_say_it_again_the_train_starts_anew_at_once_and_only_that_one() -> None:
    announcer, _ = play(Announcer().holding({V4: MAC, V6: MAC}, now=0.0), until=5.0)
    sent = announcer.announcements[V4].sent
    announcer = announcer.again({V4.address})
    assert announcer.due(now=5.0) == (V4,)
    announcer, times = play(announcer.announced([V4], now=5.0), until=8.0)
    assert [round(time, 3) for time in times] == [round(5.0 + gap, 3) for gap in TRAIN[1:]]
    assert announcer.announcements[V4].sent == sent + len(TRAIN)
    assert announcer.announcements[V4].since == 0.0


def test_what_is_not_held_can_not_be_said_again() -> None:
    assert Announcer().holding({V6: MAC}, now=0.0).again({V4.address}).due(now=0.0) == (V6,)


@given(st.lists(st.tuples(st.sampled_from([V4, V6]), st.booleans()), max_size=30))
def test_only_what_is_held_is_ever_due(steps: list[tuple[Holding, bool]]) -> None:
    held: dict[Holding, str] = {}
    announcer = Announcer()
    for now, (holding, take) in enumerate(steps):
        if take:
            held[holding] = MAC
        else:
            held.pop(holding, None)
        announcer = announcer.holding(held, now=float(now))
        due = announcer.due(now=float(now))
        assert set(due) <= set(held)
        announcer = announcer.announced(due, now=float(now))
    assert (announcer.next_due() is None) == (not held)
