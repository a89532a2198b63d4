"""How many flows the kernel knows: what it costs to ask for them depends on that."""

from pathlib import Path

COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")


def tracked_flows(*, unknown: int) -> int:
    """Entries of this thread's network namespace, of both families; `unknown` where /proc/sys is
    hidden.
    """
    try:
        return int(COUNT.read_text())
    except OSError:
        return unknown
