"""etcd and kube-apiserver as processes on loopback, in a network namespace."""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from outgate.lab import paths, programs

TOKEN = "apiserver-tests"
ETCD = "http://127.0.0.1:2379"
SERVER = "https://127.0.0.1:6443"
SERVICES = "198.51.100.0/24"
SERVICE = "198.51.100.1"
"""The server's own among them, which its certificate names: for nodes in other namespaces."""
START_SECONDS = 60.0


def until(what: str, holds: Callable[[], bool], *, timeout: float = 20.0) -> None:
    """Wait until something holds; the test fails if it does not in time."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout:g} s in vain until {what}")
        time.sleep(0.02)


def program(name: str) -> str:
    """The path of a program: KUBEBUILDER_ASSETS, PATH, then what the lab has built."""
    built = [folder for folder in (paths.cache() / "programs").glob("*") if folder.is_dir()]
    folders = (*programs.search_folders(), *sorted(built), Path("/usr/sbin"), Path("/sbin"))
    found = shutil.which(name, path=os.pathsep.join(str(folder) for folder in folders))
    if found is None:
        pytest.fail(f"no {name}: `outgate-lab build` makes it, or set KUBEBUILDER_ASSETS")
    return found


class ApiServer:
    """etcd and kube-apiserver, which may be stopped and started by tests."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self.namespace = namespace
        self.kubeconfig = str(folder / "kubeconfig")
        self._folder = folder
        self._enter = ("ip", "netns", "exec", namespace)
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._write_files()

    def start(self) -> None:
        """Start what does not run, and wait until it answers."""
        if self._etcd is None:
            self._etcd = self._spawn(
                "etcd",
                f"--data-dir={self._folder}/etcd",
                f"--listen-client-urls={ETCD}",
                f"--advertise-client-urls={ETCD}",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync",
            )
        if self._server is None:
            key = self._folder / "sa.key"
            self._server = self._spawn(
                "kube-apiserver",
                f"--etcd-servers={ETCD}",
                "--bind-address=0.0.0.0",  # of its namespace, where other nodes may be linked to
                "--advertise-address=127.0.0.1",
                f"--cert-dir={self._folder}/certs",
                f"--token-auth-file={self._folder}/tokens",
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
                f"--service-cluster-ip-range={SERVICES}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--endpoint-reconciler-type=none",
                "--profiling=false",
            )
        until("the API server is ready", self._is_ready, timeout=START_SECONDS)

    def stop(self) -> None:
        """Kill the API server; its data stays in etcd."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def pause(self) -> None:
        """Make it silent: connections stay, nothing answers."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self._server.pid}/stat")
        until("the API server is stopped", lambda: stat.read_text().rsplit(")", 1)[1][1] == "T")

    def resume(self) -> None:
        """End the silence."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()

    def compact(self) -> None:
        """Make etcd forget all versions but the newest."""
        head = _etcd("range", {"key": base64.b64encode(b"x").decode()})["header"]
        _etcd("compaction", {"revision": head["revision"], "physical": True})

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints."""
        return subprocess.run(
            [*self._enter, program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def _is_ready(self) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            tail = (self._folder / "kube-apiserver.log").read_text()[-3000:]
            pytest.fail(f"kube-apiserver ended:\n{tail}")
        return self._says_ready()

    def _says_ready(self) -> bool:
        ca = self._folder / "certs" / "apiserver.crt"
        request = urllib.request.Request(
            f"{SERVER}/readyz", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        try:
            context = ssl.create_default_context(cafile=ca)
            with urllib.request.urlopen(request, timeout=2, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:  # no file yet, refused, or not ready: HTTPError is one, too
            return False

    def _spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                # Dies with us, even if we are killed.
                ["setpriv", "--pdeathsig=KILL", *self._enter, program(name), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
            )

    def _write_files(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (self._folder / "sa.key").write_bytes(pem)
        (self._folder / "tokens").write_text(f"{TOKEN},tester,1,system:masters\n")
        self.kubeconfig_with(token=TOKEN)

    def kubeconfig_with(self, *, token: str, server: str = SERVER) -> str:
        """The path of a kubeconfig for that token; server: as others reach it."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "clusters": [
                {
                    "name": "tests",
                    "cluster": {
                        "server": server,
                        # Signed by itself, made on its first start.
                        "certificate-authority": f"{self._folder}/certs/apiserver.crt",
                    },
                }
            ],
            "users": [{"name": "tests", "user": {"token": token}}],
        }
        own = token == TOKEN and server == SERVER
        path = Path(self.kubeconfig) if own else self._folder / f"kubeconfig-{token}"
        path.write_text(yaml.safe_dump(config))
        return str(path)


def _etcd(call: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
    """Ask etcd by its JSON gateway, from inside its network namespace."""
    request = urllib.request.Request(f"{ETCD}/v3/kv/{call}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, dict[str, str]] = json.load(answer)
        return found
