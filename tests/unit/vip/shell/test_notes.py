"""What people should know, until an agent is there to tell it."""

from ipaddress import ip_address

from outgate.vip.protocol import Note
from outgate.vip.shell.notes import ADDRESSES, KEPT, Notes


def test_a_note_says_when_it_was_by_the_calendar_and_names_its_addresses_in_order() -> None:
    notes = Notes(wall=1_000.0)
    some = map(ip_address, ["2001:db8::7", "203.0.113.10", "203.0.113.9"])
    notes.add("internet", "Claimed", some, detail="from b", now=2.5)
    assert notes.last() == (
        Note(
            1,
            1_002.5,
            "internet",
            "Claimed",
            ("203.0.113.9", "203.0.113.10", "2001:db8::7"),
            "from b",
        ),
    )


def test_only_the_last_are_kept_and_the_numbers_go_on() -> None:
    notes = Notes(wall=0.0)
    for _ in range(KEPT + 10):
        notes.add("internet", "Claimed", now=0.0)
    assert [note.number for note in notes.last()] == list(range(11, KEPT + 11))
    assert notes.number == KEPT + 10


def test_of_many_addresses_a_few_are_named_and_all_are_counted() -> None:
    many = [ip_address(f"203.0.113.{last}") for last in range(1, ADDRESSES + 5)]
    notes = Notes(wall=0.0)
    told = notes.add("internet", "Released", many, detail="moved", now=0.0)
    assert told.addresses == tuple(map(str, many[:ADDRESSES]))
    assert told.detail == f"{ADDRESSES + 4} addresses; moved"
    assert notes.add("internet", "x", many, now=0.0).detail == f"{ADDRESSES + 4} addresses"
    assert notes.add("internet", "x", many[:ADDRESSES], now=0.0).detail == ""
