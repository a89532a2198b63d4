"""The control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler on `cp`."""

import signal
from ipaddress import IPv6Address

from outgate.lab import cgroups, processes, programs, wait
from outgate.lab.api import Api
from outgate.lab.build import Toolbox
from outgate.lab.errors import LabError
from outgate.lab.paths import Paths
from outgate.lab.pki import API_PORT
from outgate.lab.topology import CONTROL_PLANE, GATEWAY_LABEL, Role, Topology

ETCD_URL = "http://127.0.0.1:2379"
# A dead node is NotReady after this; Kubernetes' 50 s would make every failover test wait.
NODE_GRACE_SECONDS = 16
API_SERVER = "kube-apiserver"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"


def start_store(paths: Paths) -> None:
    """Start etcd, which the API server may be started right after."""
    etcd = programs.find_system("etcd") or "etcd"
    processes.spawn(
        paths,
        CONTROL_PLANE,
        "etcd",
        [
            etcd,
            "--name=lab",
            f"--data-dir={paths.disk(CONTROL_PLANE) / 'etcd'}",
            f"--listen-client-urls={ETCD_URL}",
            f"--advertise-client-urls={ETCD_URL}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=lab=http://127.0.0.1:2380",
            "--unsafe-no-fsync",  # a lab may lose its data with the machine
        ],
    )


def start_api(paths: Paths, topology: Topology, toolbox: Toolbox) -> None:
    """Start the API server; it is ready some seconds later."""
    pki = paths.pki
    address = topology.host(CONTROL_PLANE).address
    any_address = "::" if isinstance(address, IPv6Address) else "0.0.0.0"
    processes.spawn(
        paths,
        CONTROL_PLANE,
        API_SERVER,
        [
            str(toolbox.path(programs.KUBE_APISERVER)),
            f"--etcd-servers={ETCD_URL}",
            f"--bind-address={any_address}",
            f"--secure-port={API_PORT}",
            f"--advertise-address={address}",
            f"--service-cluster-ip-range={_joined(topology.services)}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            # without it, logs and exec look node names up in a DNS that is not there
            "--kubelet-preferred-address-types=InternalIP",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
            "--enable-aggregator-routing=true",
            "--profiling=false",
        ],
    )


def wait_ready(paths: Paths, api: Api, *, timeout: float = 60.0) -> None:
    """Wait until the API server says it is ready; LabError with its log if it died."""

    def ready() -> bool:
        if not processes.running(paths, CONTROL_PLANE, API_SERVER):
            raise LabError(
                "kube-apiserver ended:\n" + processes.log_tail(paths, CONTROL_PLANE, API_SERVER)
            )
        return api.is_ready()

    wait.until("the API server to be ready", ready, timeout=timeout)


def start_controllers(paths: Paths, topology: Topology, toolbox: Toolbox) -> None:
    """Start controller-manager and scheduler, which need an API server that is ready."""
    pki, run = paths.pki, paths.run
    processes.spawn(
        paths,
        CONTROL_PLANE,
        "kube-controller-manager",
        [
            str(toolbox.path(programs.KUBE_CONTROLLER_MANAGER)),
            *_component_flags(run / "controller-manager.conf"),
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={_joined(topology.pods)}",
            f"--service-cluster-ip-range={_joined(topology.services)}",
            f"--node-monitor-grace-period={NODE_GRACE_SECONDS}s",
            "--node-monitor-period=2s",
        ],
    )
    processes.spawn(
        paths,
        CONTROL_PLANE,
        "kube-scheduler",
        [
            str(toolbox.path(programs.KUBE_SCHEDULER)),
            *_component_flags(run / "scheduler.conf"),
        ],
    )


def stop_api(paths: Paths) -> None:
    """Kill the API server: connections to it are refused from now on."""
    pids = processes.running(paths, CONTROL_PLANE, API_SERVER)
    if not pids:
        raise LabError("the API server is stopped already; outgate-lab start-api starts it")
    cgroups.send(pids, signal.SIGKILL)
    wait.until(
        "the API server to end",
        lambda: not any(processes.is_alive(pid) for pid in pids),
        timeout=10,
    )
    cgroups.reap(pids)


def register(api: Api, topology: Topology) -> None:
    """Create what must be there before the first kubelet: Node objects, flannel's rights.

    A Node made beforehand has its pod ranges and labels from the start, so flanneld need not
    wait for them, and a node's ranges follow from its name.
    """
    for node in topology.nodes:
        key, value = GATEWAY_LABEL
        cidrs = [str(cidr) for cidr in node.pod_cidrs]
        api.post(
            "/api/v1/nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": node.name,
                    "labels": {
                        "kubernetes.io/hostname": node.name,
                        **({key: value} if node.role is Role.GATEWAY else {}),
                    },
                },
                "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
            },
        )
    api.post(
        f"{_RBAC}/clusterroles",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "flannel"},
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
            ],
        },
    )
    api.post(
        f"{_RBAC}/clusterrolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "flannel"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "flannel",
            },
            "subjects": [{"kind": "User", "name": "flannel"}],
        },
    )


def _component_flags(kubeconfig: object) -> tuple[str, ...]:
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )


def _joined(values: tuple[object, ...]) -> str:
    return ",".join(str(value) for value in values)
