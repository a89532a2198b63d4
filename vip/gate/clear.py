"""Takes the gate's tables away: for a node that Outgate leaves, where no process holds anything."""

from outgate.vip.gate import rules, tables
from outgate.vip.gate.channel import Channel
from outgate.vip.gate.errors import GateRefused


def clear() -> bool:
    """Whether there was anything of a gate; nothing is gated any more. Raises GateRefused."""
    try:
        channel = Channel()
    except OSError as error:
        raise GateRefused(f"speak to nf_tables: {error}") from error
    try:
        there = bool(tables.Tables(channel).fingerprint())
    finally:
        channel.close()
    if there:
        tables.write(rules.anew())
    return there
