"""What a benchmark says: figures with their goals, and how many samples become one. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. goal: what it has to reach, None if it is only told; better: which way is up."""

    id: str
    value: float
    unit: str
    goal: float | None = None
    better: Better = "lower"

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal


def percentile(samples: Iterable[float], percent: float) -> float:
    """The smallest sample that so many percent of them do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def spread(samples: Sequence[float]) -> float:
    """The distance between the quartiles; 0 for fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return high - low


def summary(
    id_: str,
    samples: Sequence[float],
    *,
    unit: str,
    goal: float | None = None,
    better: Better = "lower",
) -> tuple[Figure, Figure]:
    """Median and spread of samples, as two figures. Less spread is better, whatever the samples."""
    return (
        Figure(id_, median(samples), unit, goal, better),
        Figure(f"{id_}-spread", spread(samples), unit),
    )


def ratios(samples: Sequence[float], against: Sequence[float]) -> list[float]:
    """Round by round, how many times the one is of the other: both were taken in one round."""
    return [one / other for one, other in zip(samples, against, strict=True)]
