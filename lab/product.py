"""Outgate in a lab: its image built and loaded, its chart installed, as a user would.

Knows the product from outside only: files of the checkout, helm and kubectl. Imports none of it.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from outgate.lab.errors import LabError
from outgate.lab.lab import Lab

CHECKOUT = Path(__file__).resolve().parent.parent
NAMESPACE = "outgate-system"
RELEASE = "outgate"
INSTALL_SECONDS = 180.0
UNINSTALL_SECONDS = 240.0
BUILD_SECONDS = 1200.0


def image() -> Path:
    """The image's archive, built from the checkout if anything of it changed."""
    build = CHECKOUT / "image" / "build.py"
    if not build.is_file():
        raise LabError(f"no {build}: run this from a checkout of Outgate")
    result = subprocess.run(
        [sys.executable, str(build)],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if result.returncode != 0:
        raise LabError(f"{build} ended with {result.returncode}: see above")
    return Path(result.stdout.strip().splitlines()[-1])


def load(lab: Lab, report: Callable[[str], None]) -> Path:
    """Build the image and load it into every node; its archive."""
    archive = image()
    report(f"image {archive.name}")
    lab.load_image(archive)
    return archive


def install(lab: Lab, archive: Path, *, values: Iterable[str] = ()) -> None:
    """`helm install` (or upgrade) with `--set` values; ends when all its pods are ready."""
    # The tag stays, so that another image has to show in the pods for an upgrade to roll them.
    mark = rf"podAnnotations.outgate\.dev/image={archive.stem}"
    families = {network.version for network in lab.topology.pods}
    settings = [
        "image.repository=localhost/outgate",
        "image.tag=dev",
        "image.pullPolicy=Never",
        f"feature.enableIPv4={str(4 in families).lower()}",
        f"feature.enableIPv6={str(6 in families).lower()}",
        f"agent.{mark}",
        f"controller.{mark}",
        *values,
    ]
    lab.helm(
        "upgrade",
        "--install",
        RELEASE,
        str(CHECKOUT / "charts" / "outgate"),
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--wait",
        "--timeout",
        f"{INSTALL_SECONDS:.0f}s",
        *(word for setting in settings for word in ("--set", setting)),
        timeout=INSTALL_SECONDS + 30,
    )
    # helm's --wait is content with all agents but `maxUnavailable`: one may still be the former.
    lab.kubectl(
        "rollout",
        "status",
        "daemonset/outgate-agent",
        "--namespace",
        NAMESPACE,
        f"--timeout={INSTALL_SECONDS:.0f}s",
    )


def uninstall(lab: Lab) -> None:
    """`helm uninstall`; ends when the nodes are clean."""
    lab.helm(
        "uninstall",
        RELEASE,
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        f"{UNINSTALL_SECONDS:.0f}s",
        timeout=UNINSTALL_SECONDS + 30,
    )


def agent_pod(lab: Lab, node: str) -> str:
    """The name of a node's agent pod."""
    pods = lab.kubectl_json(
        "get",
        "pods",
        "--namespace",
        NAMESPACE,
        "--selector",
        "app.kubernetes.io/component=agent",
        "--field-selector",
        f"spec.nodeName={node}",
    )["items"]
    if not pods:
        raise LabError(f"no agent pod on {node}: kubectl get pods --namespace {NAMESPACE}")
    return str(pods[0]["metadata"]["name"])
