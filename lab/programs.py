"""Which programs the lab runs, at which version, and where each comes from."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from outgate.lab.errors import LabError

KUBERNETES = "v1.36.3"
HELM = "v3.21.4"  # 3.22 wants the libraries of Kubernetes 1.37, which this module set lacks
FLANNEL = "v0.28.4"
CNI_PLUGINS = "v1.9.1"
CNI_FLANNEL = "v0.9.1"  # the last release of the CNI plugins that holds `flannel`


@dataclass(frozen=True, slots=True)
class SystemProgram:
    """A program of the distribution."""

    command: str
    package: str
    needed_to_run: bool = True


SYSTEM_PROGRAMS = (
    SystemProgram("etcd", "etcd-server"),
    SystemProgram("containerd", "containerd"),
    SystemProgram("ctr", "containerd"),
    SystemProgram("runc", "runc"),
    SystemProgram("nft", "nftables"),
    SystemProgram("iptables", "iptables"),
    SystemProgram("conntrack", "conntrack"),
    SystemProgram("ip", "iproute2"),
    SystemProgram("tcpdump", "tcpdump"),
    SystemProgram("nsenter", "util-linux"),
    SystemProgram("unshare", "util-linux"),
    SystemProgram("mount", "mount"),
    SystemProgram("gcc", "gcc", needed_to_run=False),
)
HEADERS = (Path("/usr/include/stdlib.h"), "libc6-dev")


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A program built from the Go module proxy, kept under its version."""

    name: str
    package: str
    module: str
    folder: str
    reported: Callable[[Path], str] | None = None

    @property
    def built_name(self) -> str:
        """What `go build` calls it."""
        return self.package.rsplit("/", 1)[1]


def apt_packages() -> tuple[str, ...]:
    """The Debian packages that setup installs, sorted."""
    return tuple(sorted({program.package for program in SYSTEM_PROGRAMS} | {HEADERS[1]}))


def check_system(*, building: bool) -> None:
    """LabError naming the missing programs and the packages that hold them."""
    missing = {
        program.command: program.package
        for program in SYSTEM_PROGRAMS
        if (building or program.needed_to_run) and find_system(program.command) is None
    }
    if building and not HEADERS[0].exists():
        missing["C headers"] = HEADERS[1]
    if missing:
        raise LabError(
            f"missing programs: {', '.join(sorted(missing))}; install them with: "
            f"apt-get install {' '.join(sorted(set(missing.values())))}"
        )


def find_system(command: str) -> str | None:
    """The path of a system program; also looks in sbin, which a user's PATH often lacks."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


def installed(program: GoProgram, folders: Iterable[Path]) -> Path | None:
    """The program at exactly the wanted version in one of `folders`, if it is there."""
    if program.reported is None:
        return None
    for folder in folders:
        candidate = folder / program.name
        if os.access(candidate, os.X_OK) and candidate.is_file():
            wanted = program.folder.rsplit("-", 1)[1]
            if program.reported(candidate) == wanted:
                return candidate
    return None


def search_folders() -> tuple[Path, ...]:
    """Where programs may be already: KUBEBUILDER_ASSETS first, then PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    path = os.environ.get("PATH", "").split(os.pathsep)
    return tuple(Path(entry) for entry in ([assets] if assets else []) + path if entry)


def _output(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _kubernetes_version(program: Path) -> str:
    found = re.match(r"Kubernetes (v\S+)", _output([str(program), "--version"]))
    return found.group(1) if found else ""


def _kubectl_version(program: Path) -> str:
    text = _output([str(program), "version", "--client", "-o", "json"])
    return str(json.loads(text)["clientVersion"]["gitVersion"]) if text else ""


def _helm_version(program: Path) -> str:
    return _output([str(program), "version", "--template", "{{.Version}}"]).strip()


def _kubernetes(name: str, reported: Callable[[Path], str]) -> GoProgram:
    return GoProgram(
        name, f"k8s.io/kubernetes/cmd/{name}", "cluster", f"kubernetes-{KUBERNETES}", reported
    )


def _cni(name: str, kind: str) -> GoProgram:
    return GoProgram(
        name,
        f"github.com/containernetworking/plugins/plugins/{kind}/{name}",
        "cluster",
        f"cni-{CNI_PLUGINS}",
    )


KUBE_APISERVER = _kubernetes("kube-apiserver", _kubernetes_version)
KUBE_CONTROLLER_MANAGER = _kubernetes("kube-controller-manager", _kubernetes_version)
KUBE_SCHEDULER = _kubernetes("kube-scheduler", _kubernetes_version)
KUBE_PROXY = _kubernetes("kube-proxy", _kubernetes_version)
KUBELET = _kubernetes("kubelet", _kubernetes_version)
KUBECTL = _kubernetes("kubectl", _kubectl_version)
HELM_PROGRAM = GoProgram(
    "helm", "helm.sh/helm/v3/cmd/helm", "cluster", f"helm-{HELM}", _helm_version
)
FLANNELD = GoProgram("flanneld", "github.com/flannel-io/flannel", "cluster", f"flannel-{FLANNEL}")
CNI = (
    _cni("bridge", "main"),
    _cni("loopback", "main"),
    _cni("host-local", "ipam"),
    _cni("portmap", "meta"),
    GoProgram(
        "flannel",
        "github.com/containernetworking/plugins/plugins/meta/flannel",
        "cniflannel",
        f"cniflannel-{CNI_FLANNEL}",
    ),
)
GO_PROGRAMS = (
    KUBE_APISERVER,
    KUBE_CONTROLLER_MANAGER,
    KUBE_SCHEDULER,
    KUBE_PROXY,
    KUBELET,
    KUBECTL,
    FLANNELD,
    HELM_PROGRAM,
    *CNI,
)
