"""Policy numbers: under which one a policy's packets are counted on this node.

A running flow carries its policy's number in its mark, so a number should outlive the agent: it
comes from a hash of the policy's key. Where two meet, the older policy has it and the younger one
takes the next that is free, so that a new policy moves nobody.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

from outgate.api.view import PolicyView

NUMBER_MAX = 0x7FFF

UNCOUNTED = 0
"""The number of those for which none is left."""


def policy_numbers(policies: Iterable[PolicyView]) -> Mapping[str, int]:
    """A number (1..32767) for each policy's key."""
    ranked = {policy.key: policy.rank for policy in policies}
    numbers: dict[str, int] = {}
    taken: set[int] = set()
    # By age, whatever its kind: rank is (kind, creation, key).
    for key, _ in sorted(ranked.items(), key=lambda item: (item[1][1], item[0])):
        number = _hash(key)
        while number in taken:
            number = number % NUMBER_MAX + 1
        if len(taken) < NUMBER_MAX - 1:
            taken.add(number)
            numbers[key] = number
    return numbers


@lru_cache(maxsize=2 * NUMBER_MAX)
def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") % NUMBER_MAX + 1
