import pytest

from bench.failover.settings import Settings, from_environment
from outgate.lab.passing import Kind


def test_without_a_word_it_is_what_the_figures_are_taken_with() -> None:
    assert from_environment({}) == Settings()
    assert Settings().rounds >= 30


def test_faults_and_systems_are_chosen_by_their_names() -> None:
    chosen = from_environment(
        {
            "OUTGATE_FAILOVER_ROUNDS": "2",
            "OUTGATE_FAILOVER_FAULTS": "deaf,mute",
            "OUTGATE_FAILOVER_SYSTEMS": "keepalived",
        }
    )
    assert chosen == Settings(2, (Kind.DEAF, Kind.MUTE), ("keepalived",))


@pytest.mark.parametrize(
    ("name", "value"), [("ROUNDS", "0"), ("FAULTS", "flood"), ("SYSTEMS", "outgate,carp")]
)
def test_what_there_is_not_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"OUTGATE_FAILOVER_{name}"):
        from_environment({f"OUTGATE_FAILOVER_{name}": value})
