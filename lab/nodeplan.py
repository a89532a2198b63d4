"""What runs on one node, as data: written by the lab, performed by `nodeinit` inside the node."""

import json
from dataclasses import asdict, dataclass
from typing import Any

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True, slots=True)
class Component:
    """A program of a node that is started again whenever it ends."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class NodePlan:
    """All that `nodeinit` needs to know.

    `iptables`: the back end that the command `iptables` and its kin stand for.
    `ready_file`: the CNI configuration is written, and so the node becomes Ready, once this
    file exists (empty: at once). `boot_nft`: rules loaded before anything runs.
    """

    hostname: str
    run: str
    disk: str
    image: str
    cni_plugins: tuple[str, ...]
    cni_config: str
    iptables: str
    ready_file: str
    boot_nft: str
    containerd: Component
    components: tuple[Component, ...]

    def to_json(self) -> str:
        """The form in which it crosses to the node."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "NodePlan":
        """A plan as `to_json` wrote it."""
        raw = json.loads(text)
        return cls(
            **{
                **raw,
                "cni_plugins": tuple(raw["cni_plugins"]),
                "containerd": _component(raw["containerd"]),
                "components": tuple(_component(entry) for entry in raw["components"]),
            }
        )


def _component(raw: dict[str, Any]) -> Component:
    return Component(raw["name"], tuple(raw["argv"]), raw["environment"])
