import pytest

from outgate.lab import LabTimeout, wait


def test_the_first_true_value_is_returned() -> None:
    values = iter([0, "", 7])
    assert wait.until("a number", lambda: next(values), interval=0) == 7


def test_a_wait_in_vain_says_for_what_and_what_was_seen() -> None:
    with pytest.raises(LabTimeout, match=r"waited 0 s for rain \(last seen: \[\]\)"):
        wait.until("rain", list, timeout=0)


def test_a_reason_is_told() -> None:
    with pytest.raises(LabTimeout, match="for rain: the sky is clear"):
        wait.until("rain", lambda: False, timeout=0, reason=lambda: "the sky is clear")
