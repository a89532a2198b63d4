"""The lab's certificates and kubeconfigs: one authority, EC keys, made anew for each lab."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from outgate.lab.paths import Paths
from outgate.lab.topology import CONTROL_PLANE, Address, Host, Topology, first_service

API_PORT = 6443
LIFETIME = datetime.timedelta(days=3650)
_API_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is for, in Kubernetes' words: user and group."""

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()


def server_url(topology: Topology) -> str:
    """Where the API server answers on the node segment."""
    address = topology.host(CONTROL_PLANE).address
    host = str(address) if isinstance(address, IPv4Address) else f"[{address}]"
    return f"https://{host}:{API_PORT}"


def issue(paths: Paths, topology: Topology) -> None:
    """Write all keys, certificates and kubeconfigs of a lab: nodes get only their own."""
    authority = _Authority.new()
    url = server_url(topology)
    pki = paths.pki
    pki.mkdir(parents=True, exist_ok=True)
    authority.save(pki)
    control_plane = topology.host(CONTROL_PLANE)
    authority.issue(
        pki,
        Identity(
            "apiserver",
            "kube-apiserver",
            names=_API_NAMES,
            addresses=(
                ip_address("127.0.0.1"),
                ip_address("::1"),
                *(interface.ip for interface in control_plane.addresses),
                *(first_service(network) for network in topology.services),
            ),
        ),
    )
    for identity in (
        Identity("kubelet-client", "apiserver-kubelet-client", "system:masters"),
        Identity("front-proxy", "front-proxy-client"),
    ):
        authority.issue(pki, identity)
    for identity in (
        Identity("admin", "admin", "system:masters"),
        Identity("controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler"),
    ):
        authority.issue(pki, identity)
        write_kubeconfig(paths.run / f"{identity.file}.conf", pki, identity.file, url)
    service_accounts = _new_key()
    _write_key(pki / "sa.key", service_accounts)
    (pki / "sa.pub").write_bytes(
        service_accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    for node in topology.nodes:
        _issue_node(authority, paths.host(node.name) / "pki", node, url)


def write_kubeconfig(file: Path, pki: Path, name: str, url: str) -> None:
    """A kubeconfig that points to the certificate `name` of the folder `pki`."""
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "lab",
                        "cluster": {"server": url, "certificate-authority": str(pki / "ca.crt")},
                    }
                ],
                "users": [
                    {
                        "name": name,
                        "user": {
                            "client-certificate": str(pki / f"{name}.crt"),
                            "client-key": str(pki / f"{name}.key"),
                        },
                    }
                ],
                "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
                "current-context": "lab",
            }
        )
    )
    file.chmod(0o600)


def _issue_node(authority: "_Authority", pki: Path, node: Host, url: str) -> None:
    pki.mkdir(parents=True, exist_ok=True)
    (pki / "ca.crt").write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    kubelet = Identity(
        "kubelet",
        f"system:node:{node.name}",
        "system:nodes",
        names=(node.name,),
        addresses=tuple(interface.ip for interface in node.addresses),
    )
    for identity in (
        kubelet,
        Identity("kube-proxy", "system:kube-proxy"),
        Identity("flannel", "flannel"),
    ):
        authority.issue(pki, identity)
        write_kubeconfig(pki.parent / f"{identity.file}.conf", pki, identity.file, url)


@dataclass(frozen=True, slots=True)
class _Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls) -> "_Authority":
        key = _new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "outgate-lab")])
        certificate = (
            _builder(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    def save(self, pki: Path) -> None:
        (pki / "ca.crt").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(pki / "ca.key", self.key)

    def issue(self, pki: Path, identity: Identity) -> None:
        key = _new_key()
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
        if identity.group:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group))
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(x509.Name(attributes), self.certificate.subject, key).add_extension(
            x509.ExtendedKeyUsage(usage), critical=False
        )
        alternatives: Sequence[x509.GeneralName] = [
            *(x509.DNSName(name) for name in identity.names),
            *(x509.IPAddress(address) for address in identity.addresses),
        ]
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        certificate = builder.sign(self.key, hashes.SHA256())
        (pki / f"{identity.file}.crt").write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
        )
        _write_key(pki / f"{identity.file}.key", key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
