import pytest

from bench.failover.settings import Case, Settings, from_environment
from outgate.lab.passing import Kind


def test_without_a_word_it_is_what_the_figures_are_taken_with() -> None:
    assert from_environment({}) == Settings()
    assert Settings().rounds >= 30


def test_faults_and_systems_are_chosen_by_their_names() -> None:
    chosen = from_environment(
        {
            "OUTGATE_FAILOVER_ROUNDS": "2",
            "OUTGATE_FAILOVER_FAULTS": "deaf,api-stopped+cut-off",
            "OUTGATE_FAILOVER_SYSTEMS": "keepalived",
        }
    )
    amid = Case(Kind.CUT_OFF, (Kind.API_STOPPED,))
    assert amid.name == "api-stopped+cut-off"
    assert chosen == Settings(2, (Case(Kind.DEAF), amid), ("keepalived",))


def test_a_program_is_named_behind_the_fault_of_it() -> None:
    chosen = from_environment({"OUTGATE_FAILOVER_FAULTS": "api-stopped+stopped:outgate-agent"})
    case = Case(Kind.STOPPED, (Kind.API_STOPPED,), "outgate-agent")
    assert chosen.faults == (case,)
    assert case.name == "api-stopped+stopped:outgate-agent"


def test_a_fault_of_all_is_named_so() -> None:
    chosen = from_environment({"OUTGATE_FAILOVER_FAULTS": "cut-off@all,api-stopped+killed@all"})
    cut, killed = chosen.faults
    assert cut == Case(Kind.CUT_OFF, all_at_once=True)
    assert killed == Case(Kind.KILLED, (Kind.API_STOPPED,), all_at_once=True)
    assert [case.name for case in chosen.faults] == ["cut-off@all", "api-stopped+killed@all"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROUNDS", "0"),
        ("FAULTS", "flood"),
        ("FAULTS", "deaf+flood"),
        ("FAULTS", "deaf+cut-off"),
        ("FAULTS", "flood@all"),
        ("FAULTS", "killed:init"),
        ("FAULTS", "deaf:outgate-agent"),
        ("SYSTEMS", "outgate,carp"),
    ],
)
def test_what_there_is_not_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"OUTGATE_FAILOVER_{name}"):
        from_environment({f"OUTGATE_FAILOVER_{name}": value})
