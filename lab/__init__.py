"""The lab: real Kubernetes in namespaces of one machine, for tests and demonstrations.

The public names are loaded on first use only: the first process of every node is a module of
this package, and should start at once and stay small.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outgate.lab.lab import (
        Answer,
        Cni,
        CommandFailed,
        Families,
        Flow,
        Host,
        Iptables,
        Lab,
        LabError,
        LabTimeout,
        Options,
        Protocol,
        ProxyMode,
        Role,
        Seen,
        Topology,
    )

__all__ = [
    "Answer",
    "Cni",
    "CommandFailed",
    "Families",
    "Flow",
    "Host",
    "Iptables",
    "Lab",
    "LabError",
    "LabTimeout",
    "Options",
    "Protocol",
    "ProxyMode",
    "Role",
    "Seen",
    "Topology",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from outgate.lab import lab

    return getattr(lab, name)
