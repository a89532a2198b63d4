"""What an operator may choose about virtual IPs: the engine's timings, and where things are.

The same names as the chart's values, as environment variables OUTGATE_VIP_* or flags.
"""

import math
from collections.abc import Callable
from typing import Any

import click

from outgate.api.settings import SettingsWrong
from outgate.vip.engine.settings import DEFAULTS, Partition, Settings, validate

PORT = 7790
"""UDP and TCP, between the nodes' underlay addresses."""
KEYS = "/etc/outgate/vip-keys"

CHOSEN = {
    "interval": "Seconds between heartbeats.",
    "misses": "Heartbeats that are missed until a node counts as silent.",
    "lease": "Seconds that the kernel answers for an address after the last evidence that it may.",
    "isolation": "Seconds that a node holds which hears some of the others, but not all.",
    "probe": "Seconds from the first probe for an address to the verdict.",
    "freshness": "Seconds that another node's word may be old to act on it.",
    "withhold": "Seconds without acknowledgements for a node that was called silent.",
    "term": "Seconds that a renewed Lease is good for.",
    "renew": "Seconds between renewals of a Lease that is relied on.",
    "restart": "Seconds that a planned restart of this process may take.",
}
"""Field of `Settings` → what the option says."""


def timing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each of the engine's settings that an operator may choose."""
    for name, help_ in reversed(CHOSEN.items()):
        default = getattr(DEFAULTS, name)
        command = click.option(
            f"--{name}",
            type=type(default),
            default=default,
            show_default=True,
            help=help_,
        )(command)
    return click.option(
        "--partition",
        type=click.Choice([mode.value for mode in Partition]),
        default=DEFAULTS.partition.value,
        show_default=True,
        help="What decides when neither the API server nor another node can be asked.",
    )(command)


def settings_from(*, partition: str, **timings: Any) -> Settings:
    """Checks the timings one by one and together. Raises SettingsWrong."""
    settings = Settings(partition=Partition(partition), **timings)
    # Whatever is compared with no number is fine.
    wrong = [
        f"{name} {value}: must be a number greater than 0"
        for name, value in timings.items()
        if not math.isfinite(value) or value < 0 or (value == 0 and name != "drift")
    ] or validate(settings)
    if wrong:
        raise SettingsWrong("; ".join(wrong))
    return settings
