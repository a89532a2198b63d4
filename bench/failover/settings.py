"""What is to be measured: which faults, how often, of whom. From the environment."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bench.environment import BadSetting, rounds
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


OF_A_PROGRAM = (Kind.KILLED, Kind.STOPPED)
PROGRAMS = ("outgate-vip", "outgate-agent", "outgate-controller")
"""Of which one can be killed or stopped by itself; keepalived goes on then."""

EVERYWHERE = ("outgate-controller",)
"""Those that serve all nodes: killed or stopped wherever they run, not on the holder alone."""

OF_THE_API = (Kind.API_STOPPED, Kind.API_HUNG)
"""Amid which another fault may come: they have no node."""

ALL = "@all"


@dataclass(frozen=True, slots=True)
class Case:
    """A fault that is measured, and those of the API server that are there already when it comes.

    These last for all rounds. program: whose process is killed or stopped; "" for the one that
    holds addresses, of each contestant. all_at_once: of all gateway nodes, which are back at once,
    and the API server with them.
    """

    kind: Kind
    amid: tuple[Kind, ...] = ()
    program: str = ""
    all_at_once: bool = False

    @property
    def name(self) -> str:
        """As it is asked for: what comes last is measured."""
        name = "+".join(kind.value for kind in (*self.amid, self.kind))
        name += f":{self.program}" if self.program else ""
        return name + ALL if self.all_at_once else name


@dataclass(frozen=True, slots=True)
class Settings:
    """rounds: of each fault. systems: the contestants' names; a lab runs if `outgate` is one."""

    rounds: int = ROUNDS
    faults: tuple[Case, ...] = tuple(Case(kind) for kind in FAULTS)
    systems: tuple[str, ...] = SYSTEMS


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """`ROUNDS`, `FAULTS` and `SYSTEMS` (separated by commas), each behind `OUTGATE_FAILOVER_`.

    Raises BadSetting for what there is not.
    """
    count = rounds("FAILOVER", ROUNDS, environment=environment)
    faults = _words(environment, "FAULTS", [kind.value for kind in FAULTS])
    systems = _words(environment, "SYSTEMS", SYSTEMS)
    _known("SYSTEMS", systems, SYSTEMS)
    return Settings(count, tuple(_case(fault) for fault in faults), tuple(systems))


def _case(text: str) -> Case:
    """`stopped`, `api-stopped+cut-off`, `stopped:outgate-agent`, `cut-off@all`."""
    possible = {kind.value: kind for kind in POSSIBLE}
    names, _, program = text.removesuffix(ALL).partition(":")
    _known("FAULTS", names.split("+"), possible)
    *amid, kind = (possible[name] for name in names.split("+"))
    if set(amid) - set(OF_THE_API):
        few = " or ".join(one.value for one in OF_THE_API)
        raise BadSetting(f"OUTGATE_FAILOVER_FAULTS: {text}: amid {few} only")
    if program:
        _known("FAULTS", [program], PROGRAMS)
        if kind not in OF_A_PROGRAM:
            raise BadSetting(f"OUTGATE_FAILOVER_FAULTS: {text}: {kind.value} is of no program")
    return Case(kind, tuple(amid), program, text.endswith(ALL))


def _words(environment: Mapping[str, str], name: str, default: Iterable[str]) -> list[str]:
    given = environment.get(f"OUTGATE_FAILOVER_{name}", "")
    return given.split(",") if given else list(default)


def _known(name: str, given: list[str], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadSetting(
            f"OUTGATE_FAILOVER_{name}: no {', '.join(map(repr, unknown))}; there are "
            f"{', '.join(known)}"
        )
