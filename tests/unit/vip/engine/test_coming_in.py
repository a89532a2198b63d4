"""A node that was deposed and comes in again has met nobody since, however it learns of that."""

from ipaddress import ip_address

from outgate.vip.engine.actions import Action, ReadLeases, WriteLease
from outgate.vip.engine.engine import Engine
from outgate.vip.engine.events import LeasesRead, LeaseWritten, Membership, Record, Tick

GATEWAY, NODE = "egress", "node-a"
OUT = Record(GATEWAY, NODE, 4, 2, inside=False, term=0.0, version="10")
IN = Record(GATEWAY, NODE, 5, 2, inside=True, term=0.0, version="11")


def reading(actions: tuple[Action, ...]) -> int:
    """The number of the reading that is asked for."""
    return next(one.request for one in actions if isinstance(one, ReadLeases))


def test_the_reading_that_shows_it_may_come_before_the_answer_to_the_write() -> None:
    engine = Engine(NODE, boot=2, now=0.0)
    members = frozenset({NODE, "node-b"})
    address = frozenset({ip_address("203.0.113.7")})
    asked = engine.handle(
        Membership(GATEWAY, address, members=members, eligible=members, failback=False), now=0.0
    )
    written = engine.handle(LeasesRead(reading(asked), (OUT,)), now=0.1)
    (write,) = (one for one in written if isinstance(one, WriteLease))
    group = engine.groups[GATEWAY]
    group._met.add("node-b")
    again = reading(engine.handle(Tick(), now=4.0))
    engine.handle(LeasesRead(again, (IN,)), now=4.1)
    assert group.joined_at == 4.1
    assert not group.met("node-b", now=4.1)
    engine.handle(LeaseWritten(write.request, IN), now=4.2)
    assert group.joined_at == 4.1
