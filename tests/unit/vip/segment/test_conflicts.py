"""Which of what is heard is a conflict."""

from ipaddress import IPv4Address, IPv6Address

from outgate.vip.engine.events import ConflictSeen
from outgate.vip.segment.conflicts import Conflicts
from outgate.vip.segment.settings import SegmentSettings
from outgate.vip.segment.spoken import Spoken

VIP4, VIP6 = IPv4Address("203.0.113.7"), IPv6Address("2001:db8::7")
MAC = bytes.fromhex("02bb00000001")
SEEN = ConflictSeen(VIP4, "02:bb:00:00:00:01")
USES = Spoken(VIP4.packed, MAC, probing=False)
SETTINGS = SegmentSettings(recent=2.0, quiet=0.125)


def test_another_mac_as_the_sender_of_a_held_address_is_one() -> None:
    conflicts = Conflicts(SETTINGS)
    conflicts.hold({VIP4, VIP6})
    assert conflicts.hear(USES, now=0.0) == SEEN


def test_a_probe_for_a_held_address_is_none() -> None:
    conflicts = Conflicts(SETTINGS)
    conflicts.hold({VIP4})
    assert conflicts.hear(Spoken(VIP4.packed, MAC, probing=True), now=0.0) is None


def test_what_is_not_or_no_longer_held_is_nobodys_matter() -> None:
    conflicts = Conflicts(SETTINGS)
    assert conflicts.hear(USES, now=0.0) is None
    conflicts.hold({VIP4})
    conflicts.hold({VIP6})
    assert conflicts.hear(USES, now=0.0) is None


def test_what_was_found_free_is_watched_for_a_while() -> None:
    conflicts = Conflicts(SETTINGS)
    conflicts.probed({VIP4}, now=10.0)
    assert conflicts.hear(USES, now=11.9) == SEEN
    assert conflicts.hear(USES, now=12.1) is None
    conflicts.probed({VIP6}, now=13.0)
    assert set(conflicts.keys()) == {VIP6.packed}


def test_a_storm_is_said_once_in_a_while() -> None:
    conflicts = Conflicts(SETTINGS)
    conflicts.hold({VIP4})
    said = [n for n in range(1024) if conflicts.hear(USES, now=n / 1024)]
    assert said == [*range(0, 1024, 128)]


def test_what_is_watched_anew_is_reported_at_once() -> None:
    conflicts = Conflicts(SETTINGS)
    conflicts.hold({VIP4})
    assert conflicts.hear(USES, now=0.0) == SEEN
    conflicts.hold(())
    conflicts.probed({VIP4}, now=0.01)
    assert conflicts.hear(USES, now=0.02) == SEEN
    conflicts.hold({VIP4})
    assert conflicts.hear(USES, now=0.03) == SEEN
    conflicts.hold({VIP4, VIP6})
    assert conflicts.hear(USES, now=0.04) is None
