"""What is to be measured: which faults, how often, of whom. From the environment."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from outgate.lab.passing import Kind

ROUNDS = 30  # issue 5, Show: each fault at least 30 times
FAULTS = (Kind.CUT_OFF, Kind.KILLED, Kind.STOPPED)
SYSTEMS = ("outgate", "keepalived", "keepalived-tuned")

POSSIBLE = (
    Kind.CUT_OFF,
    Kind.CUT_FROM_PEERS,
    Kind.CUT_FROM_API,
    Kind.UNPLUGGED,
    Kind.DEAF,
    Kind.MUTE,
    Kind.KILLED,
    Kind.STOPPED,
    Kind.API_STOPPED,
    Kind.API_HUNG,
)
"""Faults whose rounds make sense. A frozen node takes the pod's server with it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault that is measured, and those that are there already when it comes."""

    kind: Kind
    amid: tuple[Kind, ...] = ()

    @property
    def name(self) -> str:
        """As it is asked for: what comes last is measured."""
        return "+".join(kind.value for kind in (*self.amid, self.kind))


@dataclass(frozen=True, slots=True)
class Settings:
    """rounds: of each fault. systems: the contestants' names; a lab runs if `outgate` is one."""

    rounds: int = ROUNDS
    faults: tuple[Case, ...] = tuple(Case(kind) for kind in FAULTS)
    systems: tuple[str, ...] = SYSTEMS


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """`ROUNDS`, `FAULTS` and `SYSTEMS` (separated by commas), each behind `OUTGATE_FAILOVER_`.

    ValueError for what there is not.
    """
    rounds = int(environment.get("OUTGATE_FAILOVER_ROUNDS", ROUNDS))
    faults = _words(environment, "FAULTS", [kind.value for kind in FAULTS])
    systems = _words(environment, "SYSTEMS", SYSTEMS)
    if rounds < 1:
        raise ValueError(f"OUTGATE_FAILOVER_ROUNDS must be at least 1, not {rounds}")
    possible = {kind.value: kind for kind in POSSIBLE}
    _known("FAULTS", [one for fault in faults for one in fault.split("+")], possible)
    _known("SYSTEMS", systems, SYSTEMS)
    cases = ([possible[one] for one in fault.split("+")] for fault in faults)
    return Settings(
        rounds, tuple(Case(kinds[-1], tuple(kinds[:-1])) for kinds in cases), tuple(systems)
    )


def _words(environment: Mapping[str, str], name: str, default: Iterable[str]) -> list[str]:
    given = environment.get(f"OUTGATE_FAILOVER_{name}", "")
    return given.split(",") if given else list(default)


def _known(name: str, given: list[str], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"OUTGATE_FAILOVER_{name}: no {', '.join(unknown)}; there are {', '.join(known)}"
        )
