import pytest

from outgate.api.gateway import EgressAddress
from outgate.api.meta import Condition
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
    told = sentence(move, verdicts=verdicts, known=known)
    assert words in told
    assert A in told
    assert "node-c" in told
    assert "(epoch 7)" in told


def test_many_addresses_are_named_by_the_first_few() -> None:
    move = Move("node-a", "node-c", tuple(f"198.51.100.{n}" for n in range(10, 99)), (7, 9))
    told = sentence(move, verdicts=(), known=Known((), {}))
    assert "198.51.100.14 and 84 more moved from node-a to node-c (epochs 7 to 9)" in told


def test_a_nodes_own_address_has_no_epoch() -> None:
    told = sentence(Move("node-a", "node-c", ("",), (0, 0)), verdicts=(), known=Known((), {}))
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
    ],
)
def test_only_what_people_should_know_is_an_event(
    before: Condition | None, after: Condition, news: bool
) -> None:
    assert is_news(before, after) is news
