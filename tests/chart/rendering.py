"""The chart as helm renders it, as plain objects."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from apiserver.harness import program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "outgate"
NAMESPACE = "outgate-system"
KUBERNETES = "1.32.0"  # the oldest that the chart takes

Json = dict[str, Any]


class HelmRefused(Exception):
    """Helm did not take the values; what it said."""


def helm(*arguments: str) -> str:
    """What helm prints. Raises HelmRefused."""
    done = subprocess.run(
        [program("helm"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise HelmRefused(done.stderr)
    return done.stdout


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a rendered pod, with the pod that it is in."""

    name: str
    pod: Json
    body: Json

    @property
    def environment(self) -> dict[str, str]:
        """What it is told by plain environment variables."""
        return {each["name"]: each["value"] for each in self.body["env"] if "value" in each}


class Rendered:
    """All objects of a rendering, the DaemonSet that uninstall makes included."""

    def __init__(self, objects: list[Json]) -> None:
        self.objects = objects

    def of(self, kind: str) -> dict[str, Json]:
        """Objects of a kind by name."""
        found = [each for each in self.objects if each["kind"] == kind]
        return {each["metadata"]["name"]: each for each in found}

    def containers(self) -> dict[str, Container]:
        """All containers of all pods by name."""
        return {container.name: container for container in self._containers()}

    def _containers(self) -> Iterator[Container]:
        for kind in ("Deployment", "DaemonSet", "Job"):
            for each in self.of(kind).values():
                pod = each["spec"]["template"]["spec"]
                for body in (*pod.get("initContainers", ()), *pod["containers"]):
                    yield Container(body["name"], pod, body)


def render(values: Mapping[str, Any] | None = None, *, release: str = "outgate") -> Rendered:
    """The chart with these values, dots in their names. Raises HelmRefused."""
    settings = [
        word
        for name, value in (values or {}).items()
        for word in ("--set-json", f"{name}={json.dumps(value)}")
    ]
    text = helm(
        "template", release, str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBERNETES,
        "--api-versions", "monitoring.coreos.com/v1", *settings,
    )  # fmt: skip
    objects = [each for each in yaml.safe_load_all(text) if each]
    for each in objects:
        if each["kind"] == "ConfigMap" and "cleanup.json" in each["data"]:
            cleanup = json.loads(each["data"]["cleanup.json"])
            objects.append({"apiVersion": "apps/v1", "kind": "DaemonSet", **cleanup})
            break
    return Rendered(objects)
