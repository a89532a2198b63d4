"""The segment edge's timings and bounds: each with its default, unit and source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """How the segment is asked and heard. Seconds unless said otherwise."""

    return_wait: float = 1.0
    """How long a router may take to answer an echo request. Linux ignores an announcement within
    1 s of the last (`locktime`): the tries outlast that."""
    return_tries: int = 3
    """Echo requests until no answer means that packets go elsewhere."""
    return_at_once: int = 8
    """Addresses whose way back is checked at the same time: routers limit the ICMP that they
    answer, and a thousand addresses must not look like a flood."""
    recent: float = 2.0
    """How long after a probe somebody who speaks for the address is still reported: longer than
    the engine's verdicts are good for (1.1 s)."""
    quiet: float = 1.0
    """Least time between two reports of a conflict about one address. The engine defends once in
    10 s (RFC 5227 §1.1); a storm must not keep it busy."""
    storm: int = 20_000
    """Frames a second, on each socket, above which what comes is left in the kernel's queue: some
    10 % of a CPU. A probe of 1,000 addresses is 3,000 frames."""


DEFAULTS = SegmentSettings()
