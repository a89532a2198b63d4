"""A node's configuration files and plan, rendered from the lab's options."""

import json
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import yaml

from outgate.lab import programs
from outgate.lab.build import Toolbox
from outgate.lab.controlplane import NODE_GRACE_SECONDS
from outgate.lab.images import PAUSE_IMAGE
from outgate.lab.nodeplan import CONTAINERD_SOCKET, Component, NodePlan
from outgate.lab.options import Cni, Options
from outgate.lab.paths import Paths
from outgate.lab.topology import Host, Network, Topology

SUBNET_FILE = "/run/flannel/subnet.env"
CNI_VERSION = "0.3.1"  # the newest that the `flannel` plugin of v0.9.1 speaks
STATUS_SECONDS = NODE_GRACE_SECONDS // 4


def write_plan(
    paths: Paths, options: Options, topology: Topology, toolbox: Toolbox, node: Host
) -> Path:
    """Write a node's configuration files and its plan; the plan's path."""
    run = paths.host(node.name)
    run.mkdir(parents=True, exist_ok=True)
    (run / "containerd.toml").write_text(containerd_config())
    _dump(run / "kubelet.yaml", kubelet_config(run))
    _dump(run / "kube-proxy.yaml", kube_proxy_config(options, topology, node, run))
    addresses = ",".join(str(interface.ip) for interface in node.addresses)
    components = [
        Component(
            "kubelet",
            (
                str(toolbox.path(programs.KUBELET)),
                f"--config={run}/kubelet.yaml",
                f"--kubeconfig={run}/kubelet.conf",
                f"--hostname-override={node.name}",
                f"--node-ip={addresses}",
                "--root-dir=/var/lib/kubelet",
                "--v=1",
            ),
            {},
        ),
        Component(
            "kube-proxy",
            (
                str(toolbox.path(programs.KUBE_PROXY)),
                f"--config={run}/kube-proxy.yaml",
            ),
            {},
        ),
    ]
    if options.cni is not Cni.BRIDGE:
        (run / "flannel.json").write_text(json.dumps(flannel_config(options, topology)))
        components.append(
            Component(
                "flanneld",
                (
                    str(toolbox.path(programs.FLANNELD)),
                    "--kube-subnet-mgr",
                    f"--kubeconfig-file={run}/flannel.conf",
                    f"--net-config-path={run}/flannel.json",
                    "--ip-masq",
                    "--iface=eth0",
                    f"--subnet-file={SUBNET_FILE}",
                    "--iptables-resync=5",
                ),
                {"NODE_NAME": node.name},
            )
        )
    is_bridge = options.cni is Cni.BRIDGE
    plan = NodePlan(
        hostname=node.name,
        run=str(run),
        disk=str(paths.disk(node.name)),
        image=str(toolbox.image),
        cni_plugins=tuple(str(toolbox.path(plugin)) for plugin in programs.CNI),
        cni_config=json.dumps(cni_config(options, node)),
        iptables=options.iptables.value,
        ready_file="" if is_bridge else SUBNET_FILE,
        boot_nft=masquerade_rules(topology.pods) if is_bridge else "",
        containerd=Component(
            "containerd",
            (
                programs.find_system("containerd") or "containerd",
                "--config",
                f"{run}/containerd.toml",
            ),
            {},
        ),
        components=tuple(components),
    )
    path = run / "plan.json"
    path.write_text(plan.to_json())
    return path


def containerd_config() -> str:
    """For containerd 1.6 and later (2.x still reads version 2)."""
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # where root lacks CAP_SYS_RESOURCE, runc may not lower a score and would fail
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def kubelet_config(run: Path) -> dict[str, Any]:
    """The kubelet's configuration: cgroup v1, no systemd, quick heartbeats."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "oomScoreAdj": 0,  # its default is refused without CAP_SYS_RESOURCE
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{run}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{run}/pki/kubelet.crt",
        "tlsPrivateKeyFile": f"{run}/pki/kubelet.key",
        "resolvConf": "/run/resolv.conf",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "enforceNodeAllocatable": ["pods"],
        # the nodes share the machine's disk and memory: they must not evict for its neighbours
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": f"{STATUS_SECONDS}s",
        "nodeLeaseDurationSeconds": NODE_GRACE_SECONDS,  # renewed after a quarter of it
        "syncFrequency": "10s",
        # what is killed on purpose, again and again, need not wait for 5 min in between
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    }


def kube_proxy_config(
    options: Options, topology: Topology, node: Host, run: Path
) -> dict[str, Any]:
    """kube-proxy's configuration; conntrack limits stay as they are (they are machine-wide)."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": options.proxy_mode.value,
        "hostnameOverride": node.name,
        "clusterCIDR": ",".join(str(network) for network in topology.pods),
        "clientConnection": {"kubeconfig": f"{run}/kube-proxy.conf"},
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
        "oomScoreAdj": 0,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": ["primary"],
    }


def flannel_config(options: Options, topology: Topology) -> dict[str, Any]:
    """flannel's net-conf.json."""
    backend = "host-gw" if options.cni is Cni.FLANNEL_HOST_GW else "vxlan"
    four = [network for network in topology.pods if isinstance(network, IPv4Network)]
    six = [network for network in topology.pods if isinstance(network, IPv6Network)]
    return {
        "EnableIPv4": bool(four),
        **({"Network": str(four[0])} if four else {}),
        **({"EnableIPv6": True, "IPv6Network": str(six[0])} if six else {}),
        "Backend": {"Type": backend},
    }


def cni_config(options: Options, node: Host) -> dict[str, Any]:
    """The CNI configuration list: flannel's delegate, or bridge with host-local addresses."""
    if options.cni is Cni.BRIDGE:
        first: dict[str, Any] = {
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": str(cidr)}] for cidr in node.pod_cidrs],
            },
        }
    else:
        first = {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": CNI_VERSION, "name": "cbr0", "plugins": [first, portmap]}


def masquerade_rules(pods: tuple[Network, ...]) -> str:
    """nft rules: pods leave the cluster with the node's address, as with flannel's --ip-masq.

    The bridge plugin's own masquerade would also hide pods from the pods of other nodes.
    """
    rules = "\n".join(
        f"    {family} saddr {network} {family} daddr != {network} oifname eth0 masquerade"
        for network in pods
        for family in (("ip" if network.version == 4 else "ip6"),)
    )
    return (
        "table inet lab-masquerade {\n  chain postrouting {\n"
        "    type nat hook postrouting priority srcnat;\n"
        f"{rules}\n  }}\n}}\n"
    )


def _dump(file: Path, value: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump(value, sort_keys=False))
