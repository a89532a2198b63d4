"""Policies' numbers are small, distinct, and outlive what happens to others."""

from views import policy

from outgate.rules.numbers import NUMBER_MAX, policy_numbers

MANY = [policy(f"team/{number}", order=0) for number in range(5000)]


def test_each_policy_has_a_number_of_its_own() -> None:
    numbers = policy_numbers(MANY)

    assert len(set(numbers.values())) == len(MANY)
    assert all(1 <= number <= NUMBER_MAX for number in numbers.values())


def test_a_younger_policy_moves_nobody() -> None:
    aged = [
        policy(f"team/{number}", created=f"2026-01-{number % 27 + 1:02}") for number in range(900)
    ]
    young = [policy(f"new/{number}", created="2026-02-01") for number in range(900)]

    before, after = policy_numbers(aged), policy_numbers([*young, *aged])

    assert before.items() <= after.items()


def test_the_entries_of_a_policy_with_several_addresses_share_a_number() -> None:
    assert len(policy_numbers([policy("team/p"), policy("team/p", egress=2)])) == 1


def test_those_for_which_none_is_left_have_none() -> None:
    too_many = [policy(f"team/{number}") for number in range(NUMBER_MAX + 5)]

    assert len(policy_numbers(too_many)) < NUMBER_MAX
