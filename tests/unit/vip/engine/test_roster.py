"""What is known of Leases: never older than what was known before."""

from outgate.vip.engine.events import Record
from outgate.vip.engine.roster import Roster


def record(node: str, version: str, *, inside: bool = True, epoch: int = 1) -> Record:
    return Record("egress", node, epoch, 1, inside, 0.0, version)


def test_who_is_deposed_is_out_and_who_has_no_lease_too() -> None:
    roster = Roster()
    assert roster.out("node-b") is None  # nothing is known
    roster.read((record("node-a", "1"), record("node-b", "2", inside=False)), asked=5.0, now=5.1)
    out = roster.out("node-b")
    assert out is not None
    assert out.known == 5.0
    assert roster.out("node-a") is None
    assert roster.out("node-c") is not None


def test_a_list_that_was_asked_for_before_a_swap_ended_does_not_undo_it() -> None:
    roster = Roster()
    roster.read((record("node-b", "1"),), asked=1.0, now=1.1)
    roster.swapped(record("node-b", "2", inside=False, epoch=2), asked=2.0, now=2.2)
    roster.read((record("node-b", "1"),), asked=2.1, now=2.3)
    assert roster.out("node-b") is not None
    roster.read((record("node-b", "3", epoch=3),), asked=2.4, now=2.5)
    assert roster.out("node-b") is None


def test_hearsay_counts_only_if_it_is_of_a_later_epoch_than_the_own_reading() -> None:
    roster = Roster()
    roster.read((record("node-b", "1", epoch=4),), asked=5.0, now=5.1)
    roster.hearsay("node-b", 3, known=5.2)
    assert roster.out("node-b") is None
    roster.hearsay("node-b", 5, known=4.9)
    out = roster.out("node-b")
    assert out is not None
    assert out.known == 4.9


def test_a_reading_from_before_the_deposing_does_not_undo_what_was_heard() -> None:
    roster = Roster()
    roster.hearsay("node-b", 5, known=4.9)
    roster.read((record("node-b", "1", epoch=4),), asked=5.0, now=5.1)
    assert roster.out("node-b") is not None
    roster.read((record("node-b", "3", epoch=6),), asked=6.0, now=6.1)
    assert roster.out("node-b") is None


def test_being_deposed_again_is_learned_again() -> None:
    roster = Roster()
    roster.read((record("node-b", "1", inside=False),), asked=1.0, now=1.1)
    first = roster.out("node-b")
    roster.read((record("node-b", "2", inside=False, epoch=3),), asked=2.0, now=2.1)
    second = roster.out("node-b")
    assert first is not None
    assert second is not None
    assert second.learned > first.learned


def test_a_version_is_seen_from_when_it_first_was() -> None:
    roster = Roster()
    roster.read((record("node-b", "1"),), asked=1.0, now=1.1)
    roster.read((record("node-b", "1"),), asked=2.0, now=2.1)
    assert roster.seen("node-b") == 1.1
