"""`python -m sim [--schedules N] [--seed S]`: plays schedules on all cores, or tells one."""

import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

import click

from sim.schedule import Outcome, play

SCHEDULES = 20_000

TAIL = 80
"""Lines of a failing schedule's story that are shown."""

CHUNK = 50


@click.command()
@click.option("--schedules", default=SCHEDULES, show_default=True, help="How many to play.")
@click.option("--first", default=0, show_default=True, help="The first one's seed.")
@click.option("--seed", type=int, help="Play this one only, and tell what happens.")
def main(schedules: int, first: int, seed: int | None) -> None:
    """Play seeded schedules of faults against the virtual-IP engine."""
    if seed is not None:
        sys.exit(_tell(play(seed, tell=True), lines=0))
    began = time.monotonic()
    wrong: list[int] = []
    moves = 0
    for outcome in _play_all(range(first, first + schedules)):
        moves += outcome.moves
        if outcome.violation:
            wrong.append(outcome.seed)
            if len(wrong) == 1:
                _tell(play(outcome.seed, tell=True), lines=TAIL)
            click.echo(f"seed {outcome.seed}: {outcome.violation}")
    took = time.monotonic() - began
    if wrong:
        click.echo(f"replay with: make sim SEED={min(wrong)}")
    click.echo(f"{moves} moves, {took:.0f} s")
    click.echo(f"{schedules} schedules, {len(wrong)} violations")
    sys.exit(bool(wrong))


def _play_all(seeds: range) -> Iterator[Outcome]:
    cores = len(os.sched_getaffinity(0))
    starts = range(seeds.start, seeds.stop, CHUNK)
    with multiprocessing.Pool(cores) as pool:
        chunks = (range(start, min(start + CHUNK, seeds.stop)) for start in starts)
        for outcomes in pool.imap_unordered(_play_chunk, chunks):
            yield from outcomes


def _play_chunk(seeds: range) -> list[Outcome]:
    """Plays some; garbage is swept between schedules, not within (a fifth faster)."""
    gc.disable()
    outcomes = [play(seed) for seed in seeds]
    gc.collect()
    return outcomes


def _tell(outcome: Outcome, *, lines: int) -> int:
    """Shows the last lines of the story, all for 0; the exit status."""
    for line in outcome.story[-lines:]:
        click.echo(line)
    click.echo(f"seed {outcome.seed}: {outcome.violation or 'no violation'}")
    return bool(outcome.violation)


if __name__ == "__main__":
    main(prog_name="python -m sim")
