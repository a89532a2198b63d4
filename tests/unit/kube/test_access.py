import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException

from outgate.kube import access
from outgate.kube.access import TOKEN_SECONDS, Token, configured, find, in_cluster
from outgate.kube.errors import ApiUnavailable

INSIDE = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """A service account's folder, as the kubelet makes it."""
    tmp_path.joinpath("token").write_text("first\n")
    tmp_path.joinpath("ca.crt").write_text("not read yet")
    return tmp_path


@pytest.mark.parametrize(
    ("host", "server"),
    [("192.0.2.1", "https://192.0.2.1:6443"), ("2001:db8::1", "https://[2001:db8::1]:6443")],
)
def test_a_pod_finds_its_own_cluster(account: Path, host: str, server: str) -> None:
    found = in_cluster({**INSIDE, "KUBERNETES_SERVICE_HOST": host}, account=account)
    assert (found.server, found.authorization()) == (server, "Bearer first")
    assert found.pool.connection_pool_kw["ca_certs"] == str(account / "ca.crt")


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_a_service_account_is_told_what_is_missing(
    account: Path, missing: str
) -> None:
    account.joinpath(missing).unlink()
    with pytest.raises(ApiUnavailable, match=missing):
        in_cluster(INSIDE, account=account)


def test_a_port_that_is_not_said_is_no_address(account: Path) -> None:
    with pytest.raises(ApiUnavailable, match="PORT"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "192.0.2.1"}, account=account)


def test_a_pod_asks_its_own_cluster_unless_it_is_told_another(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "ACCOUNT", account)
    assert find(environment=INSIDE).server == "https://192.0.2.1:6443"
    kubeconfig = account / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(a_kubeconfig(token="mine")))
    found = find(str(kubeconfig), environment=INSIDE)
    assert (found.server, found.authorization()) == ("https://198.51.100.1:6443", "Bearer mine")


def test_a_new_token_is_taken_up_after_a_minute(account: Path) -> None:
    now = 100.0
    token = Token(account / "token", clock=lambda: now)
    assert token() == "Bearer first"
    account.joinpath("token").write_text("second")
    assert token() == "Bearer first"
    now += TOKEN_SECONDS
    assert token() == "Bearer second"


def test_a_token_that_cannot_be_read_just_now_is_unavailable(account: Path) -> None:
    token = Token(account / "token")
    account.joinpath("token").write_text("")
    with pytest.raises(ApiUnavailable, match="is empty"):
        token()
    account.joinpath("token").write_text("back")
    assert token() == "Bearer back"


def test_a_missing_kubeconfig_is_unavailable() -> None:
    with pytest.raises(ApiUnavailable, match="no API server to talk to"):
        find("/nowhere/kubeconfig")


def test_a_kubeconfigs_token_is_refreshed_by_whoever_knows_how() -> None:
    tokens = iter(["bearer first", "bearer second"])

    def refresh(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = next(tokens)

    configuration = Configuration(host="https://192.0.2.1", api_key={"BearerToken": "bearer old"})
    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
    found = configured(configuration)
    assert [found.authorization() for _ in range(2)] == ["bearer first", "bearer second"]


def test_a_kubeconfigs_token_that_cannot_be_had_just_now_is_unavailable() -> None:
    def refresh(configuration: Configuration) -> None:
        raise ConfigException("Token file exists but empty.")

    configuration = Configuration(host="https://192.0.2.1", api_key={"BearerToken": "bearer old"})
    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
    with pytest.raises(ApiUnavailable, match="empty"):
        configured(configuration).authorization()


def test_the_kubernetes_package_is_not_loaded_to_talk_to_the_own_cluster() -> None:
    program = "import sys, outgate.kube.client; sys.exit('kubernetes' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def a_kubeconfig(*, token: str) -> dict[str, object]:
    cluster = {"server": "https://198.51.100.1:6443"}
    context = {"cluster": "c", "user": "u"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": context}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
