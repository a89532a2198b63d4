"""Where a pod's network namespace is, without asking its node: by the pod's cgroup."""

from pathlib import Path

from outgate.lab import cgroups
from outgate.lab.api import Api
from outgate.lab.errors import LabError
from outgate.lab.paths import Paths


def netns(paths: Paths, api: Api, pod: str, namespace: str) -> Path:
    """The network namespace of a running pod; good as long as its first process lives."""
    object_ = api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
    node = object_["spec"].get("nodeName")
    if not node:
        raise LabError(f"pod {namespace}/{pod} is on no node yet")
    pids = processes(paths.cgroup(cgroups.FREEZER, node), object_["metadata"]["uid"])
    if not pids:
        raise LabError(f"pod {namespace}/{pod} has no running process on {node}")
    return Path(f"/proc/{pids[0]}/ns/net")


def processes(node: Path, uid: str) -> tuple[int, ...]:
    """Process ids of a pod below its node's cgroup, the oldest container's first."""
    folders = [
        child
        for pattern in (f"kubepods/pod{uid}", f"kubepods/*/pod{uid}")
        for pod in node.glob(pattern)
        for child in pod.iterdir()
        if child.is_dir()
    ]
    return tuple(
        int(line)
        for folder in sorted(folders, key=lambda folder: folder.stat().st_ctime_ns)
        for line in (folder / "cgroup.procs").read_text().split()
    )
