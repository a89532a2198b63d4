"""Moves of addresses, and what is wrong with them, as the EgressTunnel's status shows it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from outgate.agent.holding import PATIENCE
from outgate.api.tunnel import GATEWAYS_MAX, MOVES_MAX, TROUBLED_MAX, AddressMove, AddressTrouble
from outgate.vip.protocol import Move, Report, Trouble

MESSAGE_MAX, REASON_MAX = 256, 64
"""Characters that the API takes."""


@dataclass(frozen=True, slots=True)
class News:
    """What is shown. moves: the last ones, oldest first. troubles: those that last."""

    moves: tuple[AddressMove, ...] = ()
    troubles: tuple[AddressTrouble, ...] = ()


NO_NEWS = News()


def news_of(said: Report | None, *, before: News, silent: float) -> News:
    """What to show. said: the vip process' word; None if it says nothing, for `silent` seconds by
    now. before: what was shown last; the moves of a process that has ended stay until the next one
    has some of its own.
    """
    if said is None:
        return before if silent < PATIENCE else News(before.moves)
    return News(_moves(said.moves) or before.moves, _troubles(said.troubles))


def _moves(moves: Iterable[Move]) -> tuple[AddressMove, ...]:
    return tuple(
        AddressMove(
            gateway=move.gateway,
            kind="Claimed" if move.claimed else "Released",
            first_epoch=move.first,
            epoch=move.epoch,
            count=move.count,
            node=move.node,
            why=move.why[:REASON_MAX],
            took_milliseconds=round(move.took * 1000),
            time=datetime.fromtimestamp(move.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for move in moves
    )[-MOVES_MAX:]


def _troubles(troubles: Iterable[Trouble]) -> tuple[AddressTrouble, ...]:
    return tuple(
        AddressTrouble(
            gateway=trouble.gateway,
            reason=trouble.what[:REASON_MAX],
            addresses=trouble.addresses[:TROUBLED_MAX],
            count=trouble.count,
            message=trouble.detail[:MESSAGE_MAX],
        )
        for trouble in troubles
    )[:GATEWAYS_MAX]
