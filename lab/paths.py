"""Every name the lab leaves on the machine, made from the lab's name alone.

`down` finds a lab by these names and by nothing else, so it needs no state file.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from outgate.lab.options import check_name

RUN_ROOT = Path("/run/outgate-lab")
NETNS_ROOT = Path("/run/netns")
CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_PARENT = "outgate-lab"
RACES = 10  # how often in a row another lab may get in between: once is rare enough


def cache() -> Path:
    """Where slow things are kept: $OUTGATE_CACHE, else .cache of the checkout, else ~/.cache."""
    chosen = os.environ.get("OUTGATE_CACHE")
    if chosen:
        return Path(chosen).resolve()
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / ".git").exists():
        return checkout / ".cache"
    return Path.home() / ".cache" / "outgate"


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, also while another lab's `down` removes an empty parent."""
    for _ in range(RACES):
        with contextlib.suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of one lab."""

    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def run(self) -> Path:
        """Runtime files: options, keys, configuration, logs."""
        return RUN_ROOT / self.name

    @property
    def disks(self) -> Path:
        """The nodes' disks: big, and on a file system that overlayfs can build upon."""
        return cache() / "labs" / self.name

    @property
    def disks_link(self) -> Path:
        """Points to `disks` as it was at `up`, whatever $OUTGATE_CACHE is at `down`."""
        return self.run / "disks"

    @property
    def options(self) -> Path:
        """The options of the running lab."""
        return self.run / "options.json"

    @property
    def ready(self) -> Path:
        """Exists once `up` has come to its end."""
        return self.run / "ready"

    @property
    def pki(self) -> Path:
        """Keys and certificates of the control plane."""
        return self.run / "pki"

    @property
    def admin_kubeconfig(self) -> Path:
        """For kubectl and helm in the control plane's namespace."""
        return self.run / "admin.conf"

    @property
    def outside_log(self) -> Path:
        """What the outside host saw, a JSON object a line."""
        return self.logs("outside") / "requests.jsonl"

    def host(self, host: str) -> Path:
        """A host's own files; the only part of `run` that a node sees."""
        return self.run / "hosts" / host

    def logs(self, host: str) -> Path:
        """A host's logs, one file a component."""
        return self.host(host) / "logs"

    def disk(self, host: str) -> Path:
        """A node's disk, which survives its power-off."""
        return self.disks / host

    def netns_name(self, host: str) -> str:
        """The name of a host's network namespace, as `ip netns` lists it."""
        return f"og-{self.name}-{host}"

    def netns(self, host: str) -> Path:
        """A host's network namespace."""
        return NETNS_ROOT / self.netns_name(host)

    def cgroup(self, hierarchy: str, host: str = "") -> Path:
        """The cgroup of a host (or of the whole lab) in one hierarchy."""
        return CGROUP_ROOT / hierarchy / CGROUP_PARENT / self.name / host
