from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from outgate.lab import Families, Options, pki
from outgate.lab.paths import Paths
from outgate.lab.topology import topology


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setattr("outgate.lab.paths.RUN_ROOT", tmp_path)
    pki.issue(Paths("x"), topology(Options("x", families=Families.DUAL)))
    return Paths("x")


def load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_the_api_server_is_certified_for_every_way_to_it(paths: Paths) -> None:
    names = (
        load(paths.pki / "apiserver.crt")
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", "172.30.0.10", "fd00:30::10", "10.96.0.1", "fd00:96::1"} <= addresses
    assert "localhost" in names.get_values_for_type(x509.DNSName)


def test_a_node_is_itself_and_has_only_its_own_keys(paths: Paths) -> None:
    folder = paths.host("w1") / "pki"
    subject = load(folder / "kubelet.crt").subject
    (user,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    (group,) = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert (user.value, group.value) == ("system:node:w1", "system:nodes")
    assert sorted(file.name for file in folder.glob("*.key")) == [
        "flannel.key",
        "kube-proxy.key",
        "kubelet.key",
    ]


def test_keys_are_for_root_alone(paths: Paths) -> None:
    keys = [*paths.run.rglob("*.key"), paths.admin_kubeconfig]
    assert {file.stat().st_mode & 0o777 for file in keys} == {0o600}


def test_everything_is_signed_by_the_one_authority(paths: Paths) -> None:
    authority = load(paths.pki / "ca.crt")
    for file in paths.run.rglob("*.crt"):
        load(file).verify_directly_issued_by(authority)


def test_a_kubeconfig_points_to_the_control_plane(paths: Paths) -> None:
    config = yaml.safe_load(paths.admin_kubeconfig.read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://172.30.0.10:6443"


def test_an_ipv6_server_is_in_brackets() -> None:
    shape = topology(Options(families=Families.IPV6))
    assert pki.server_url(shape) == "https://[fd00:30::10]:6443"
