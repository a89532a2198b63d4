from typing import Any, Literal

import pytest

from outgate.api.gateway import EgressAddress
from outgate.api.meta import Condition
from outgate.api.tunnel import AddressMove
from outgate.controller.eligibility import Verdict
from outgate.controller.holding import Move
from outgate.controller.telling import Known, held, is_news, sentence

A, B = "198.51.100.10", "198.51.100.11"
WELL, CORDONED = Verdict("node-b"), Verdict("node-a", "Cordoned", "the node is cordoned")


def entry(address: str, node: str, epoch: int = 0) -> EgressAddress:
    return EgressAddress(address=address, id=1, node=node, epoch=epoch)


@pytest.mark.parametrize(
    ("entries", "verdicts", "complaints", "expected"),
    [
        ((), (WELL,), {}, (True, "NothingInUse", "no policy uses")),
        ((entry(A, "node-b", 1),), (WELL,), {}, (True, "Held", "1 address held")),
        ((entry(A, "node-a", 1),), (CORDONED,), {}, (True, "Held", "1 address held")),
        ((entry(A, ""),), (WELL,), {}, (False, "Pending", f"{A}: no node says yet")),
        ((entry(A, "", 3),), (WELL,), {}, (False, "NotHeld", "eligible: node-b")),
        ((entry(A, "x", 3), entry(B, "", 3)), (WELL,), {}, (False, "NotHeld", f"{B}: ")),
        (
            (entry("", ""),),
            (CORDONED,),
            {},
            (False, "NoEligibleNode", "the node's own address: no"),
        ),
        ((entry(A, "", 3),), (CORDONED,), {}, (False, "NoEligibleNode", "status.nodeList says")),
        (
            (entry(A, "", 3),),
            (WELL, CORDONED),
            {"node-b": f"{A}: answered by 02:00:5e:00:53:01", "node-a": "no matter"},
            (False, "NotHeld", f"{A}: node-b: {A}: answered by 02:00:5e:00:53:01"),
        ),
    ],
)
def test_held_says_which_addresses_are_not_and_why(
    entries: tuple[EgressAddress, ...],
    verdicts: tuple[Verdict, ...],
    complaints: dict[str, str],
    expected: tuple[bool, str, str],
) -> None:
    finding = held(entries, verdicts=verdicts, complaints=complaints)
    assert (finding.holds, finding.reason) == expected[:2]
    assert expected[2] in finding.message


@pytest.mark.parametrize(
    ("source", "known", "verdicts", "words"),
    [
        ("node-a", Known({"node-a"}, {"node-a": 3.2}), (CORDONED,), "is Cordoned; its agent"),
        ("node-a", Known({"node-a"}, {"node-a": 3.2}), (CORDONED,), "last reported 3 s ago"),
        ("node-a", Known((), {}), (WELL,), "node-a is gone"),
        ("node-a", Known({"node-a"}, {}), (WELL,), "node-a is not selected any more"),
        ("node-b", Known({"node-b"}, {}), (WELL,), "its peers lost it, or it let go"),
        ("", Known((), {}), (WELL,), "nobody was known to hold it"),
    ],
)
def test_a_move_is_told_with_its_reason(
    source: str, known: Known, verdicts: tuple[Verdict, ...], words: str
) -> None:
    move = Move(source, "node-c", (A,), (7, 7))
    told = sentence(move, gateway="gw", verdicts=verdicts, known=known)
    assert words in told
    assert A in told
    assert "node-c" in told
    assert "(epoch 7)" in told


def part(kind: Literal["Claimed", "Released"], node: str, why: str, **more: Any) -> AddressMove:
    return AddressMove(
        gateway=more.pop("gateway", "gw"),
        kind=kind,
        first_epoch=7,
        epoch=7,
        count=1,
        node=node,
        why=why,
        **more,
    )


@pytest.mark.parametrize(
    ("source", "moves", "verdicts", "words"),
    [
        (
            "node-a",
            {"node-c": (part("Claimed", "node-a", "planned", took_milliseconds=52),)},
            (CORDONED,),
            "moved from node-a to node-c (epoch 7): planned, since node-a is Cordoned; it took "
            "0.05 s",
        ),
        (
            "node-b",
            {"node-c": (part("Claimed", "node-b", "planned", took_milliseconds=52),)},
            (WELL,),
            "moved from node-b to node-c (epoch 7): planned; it took 0.05 s",
        ),
        (
            "node-b",
            {"node-c": (part("Claimed", "node-b", "crash", took_milliseconds=412),)},
            (WELL,),
            "node-b fell silent; taken over 0.41 s after it was last heard",
        ),
        (
            "node-a",
            {"node-c": (part("Claimed", "node-a", "crash", took_milliseconds=412),)},
            (CORDONED,),
            "node-a fell silent and node-a is Cordoned; taken over 0.41 s",
        ),
        # The old holder's report came first: nobody was shown to hold it in between.
        (
            "",
            {"node-c": (part("Claimed", "node-a", "planned", took_milliseconds=52),)},
            (CORDONED,),
            "moved from node-a to node-c (epoch 7): planned",
        ),
        (
            "node-b",
            {
                "node-b": (part("Released", "", "answered elsewhere"),),
                "node-c": (part("Claimed", "node-b", "free"),),
            },
            (WELL,),
            "node-b let go: somebody else answered for it; its agent last reported 3 s ago",
        ),
        (
            "node-a",
            {
                "node-a": (part("Released", "node-c", "moved"),),
                "node-c": (part("Claimed", "node-a", "free"),),
            },
            (CORDONED,),
            "node-a let go: it was asked to, and node-a is Cordoned",
        ),
        (
            "node-b",
            {"node-c": (part("Claimed", "node-b", "free"),)},
            (WELL,),
            "node-b is eligible, so its peers lost it, or it let go",
        ),
        # What is said of others is not about this move.
        (
            "node-b",
            {
                "node-c": (
                    part("Claimed", "node-b", "crash", gateway="other"),
                    part("Released", "node-b", "crash"),
                )
            },
            (WELL,),
            "node-b is eligible, so its peers lost it, or it let go",
        ),
        ("", {"node-c": (part("Claimed", "", "free"),)}, (WELL,), "nobody was known to hold it"),
    ],
)
def test_a_move_is_told_as_the_nodes_report_it(
    source: str,
    moves: dict[str, tuple[AddressMove, ...]],
    verdicts: tuple[Verdict, ...],
    words: str,
) -> None:
    known = Known({"node-a", "node-b"}, {"node-b": 3.2}, moves)
    move = Move(source, "node-c", (A,), (7, 7))
    assert words in sentence(move, gateway="gw", verdicts=verdicts, known=known)


def test_what_a_node_reports_of_other_epochs_is_not_about_this_move() -> None:
    known = Known({"node-b"}, {}, {"node-c": (part("Claimed", "node-b", "crash"),)})
    move = Move("node-b", "node-c", (A,), (8, 9))
    assert "silent" not in sentence(move, gateway="gw", verdicts=(WELL,), known=known)


def test_many_addresses_are_named_by_the_first_few() -> None:
    move = Move("node-a", "node-c", tuple(f"198.51.100.{n}" for n in range(10, 99)), (7, 9))
    told = sentence(move, gateway="gw", verdicts=(), known=Known((), {}))
    assert "198.51.100.14 and 84 more moved from node-a to node-c (epochs 7 to 9)" in told


def test_a_nodes_own_address_has_no_epoch() -> None:
    told = sentence(
        Move("node-a", "node-c", ("",), (0, 0)), gateway="gw", verdicts=(), known=Known((), {})
    )
    assert told.startswith("the node's own address moved from node-a to node-c: ")


def condition(type_: str, status: str, reason: str) -> Condition:
    return Condition(type=type_, status=status, reason=reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (None, condition("Ready", "True", "NodesEligible"), True),
        (None, condition("PoolsValid", "True", "Valid"), False),
        (None, condition("PoolsValid", "False", "Overlap"), True),
        (condition("PoolsValid", "False", "Overlap"), condition("PoolsValid", "True", "V"), True),
        (None, condition("Held", "True", "NothingInUse"), False),
        (None, condition("Held", "False", "Pending"), False),
        (condition("Held", "False", "Pending"), condition("Held", "True", "Held"), False),
        (condition("Held", "True", "NothingInUse"), condition("Held", "True", "Held"), False),
        (condition("Held", "True", "Held"), condition("Held", "False", "NotHeld"), True),
        (condition("Held", "False", "NotHeld"), condition("Held", "False", "NotHeld"), False),
        (condition("Held", "False", "NotHeld"), condition("Held", "True", "Held"), True),
        (None, condition("AddressesUnique", "True", "NoConflict"), False),
        (None, condition("AddressesUnique", "False", "AddressConflict"), True),
        (
            condition("AddressesUnique", "False", "AddressConflict"),
            condition("AddressesUnique", "True", "NoConflict"),
            True,
        ),
        (
            condition("ReturnPathWorks", "True", "NoneFailed"),
            condition("ReturnPathWorks", "Unknown", "ReturnPathUnknown"),
            False,
        ),
        (
            condition("ReturnPathWorks", "Unknown", "ReturnPathUnknown"),
            condition("ReturnPathWorks", "True", "NoneFailed"),
            False,
        ),
        (
            condition("ReturnPathWorks", "Unknown", "ReturnPathUnknown"),
            condition("ReturnPathWorks", "False", "ReturnPathFailed"),
            True,
        ),
        (None, condition("ReturnPathWorks", "Unknown", "ReturnPathUnknown"), False),
    ],
)
def test_only_what_people_should_know_is_an_event(
    before: Condition | None, after: Condition, news: bool
) -> None:
    assert is_news(before, after) is news
