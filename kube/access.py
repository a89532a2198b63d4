"""How to reach an API server: its address, the connections to it, and what to say who we are.

In a pod that is three files and two variables, which are read here: the `kubernetes` package
takes 15 MB and a fifth of a second to do that. A kubeconfig knows many more ways of logging in;
there it is imported, and does all of it.
"""

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util.ssl_ import create_urllib3_context

from outgate.kube.errors import ApiUnavailable

if TYPE_CHECKING:
    from kubernetes.client import Configuration

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account."""

CONNECTIONS = 32
"""Kept open: one for each watch, and some for requests."""

TOKEN_SECONDS = 60.0  # as client-go; the kubelet writes a new one long before the old one expires

# As client-go has them: a watch through a load balancer that forgets it ends within 3 minutes.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 9),
)


@dataclass(frozen=True, slots=True)
class Access:
    """An API server that can be asked.

    server: its URL, without a slash at the end. authorization: the header's value, asked for with
    each request, since tokens expire; empty for none. Raises ApiUnavailable if it can't be had
    just now.
    """

    server: str
    pool: urllib3.PoolManager
    authorization: Callable[[], str] = str


def find(kubeconfig: str | None = None, *, environment: Mapping[str, str] = os.environ) -> Access:
    """The cluster that this process runs in, or that the kubeconfig names.

    Without an argument: the pod's service account, else $KUBECONFIG, else ~/.kube/config.
    Raises ApiUnavailable if that is missing or wrong. Nothing is sent.
    """
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in environment:
        return in_cluster(environment, account=ACCOUNT)
    from kubernetes.client import Configuration  # noqa: PLC0415
    from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415

    configuration = Configuration()
    try:
        load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError) as error:
        raise ApiUnavailable(f"no API server to talk to: {error}") from error
    return configured(configuration)


def in_cluster(environment: Mapping[str, str], *, account: Path) -> Access:
    """The pod's own cluster; never by a proxy, whatever stands in the environment.

    Raises ApiUnavailable if the pod has no service account.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    authority = account / "ca.crt"
    if not (host and port):
        raise ApiUnavailable("no API server to talk to: KUBERNETES_SERVICE_HOST or _PORT is empty")
    if not authority.is_file():
        raise ApiUnavailable(f"no API server to talk to: there is no {authority}")
    token = Token(account / "token")
    token()
    pool = urllib3.PoolManager(
        maxsize=CONNECTIONS,
        ca_certs=str(authority),
        cert_reqs=ssl.CERT_REQUIRED,
        ssl_context=_tls(),
        socket_options=[*HTTPConnection.default_socket_options, *_KEEPALIVE],
    )
    return Access(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", pool, token
    )


class Token:
    """A service account's token, from its file, read again every minute. Threads may share it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._header = ""
        self._read = 0.0

    def __call__(self) -> str:
        """The Authorization header. Raises ApiUnavailable if there is no token."""
        with self._lock:
            now = self._clock()
            if not self._header or now - self._read >= TOKEN_SECONDS:
                try:
                    token = self._path.read_text().strip()
                except (OSError, ValueError) as error:
                    raise ApiUnavailable(f"no token to talk to the API server: {error}") from error
                if not token:
                    raise ApiUnavailable(
                        f"no token to talk to the API server: {self._path} is empty"
                    )
                self._header, self._read = f"Bearer {token}", now
            return self._header


def configured(configuration: "Configuration") -> Access:
    """What a configuration of the `kubernetes` package says, its tokens refreshed by it."""
    from kubernetes.client.rest import RESTClientObject  # noqa: PLC0415
    from kubernetes.config import ConfigException  # noqa: PLC0415

    configuration.retries = False
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = CONNECTIONS
    pool = RESTClientObject(configuration).pool_manager
    pool.connection_pool_kw["ssl_context"] = _tls()

    def authorization() -> str:
        try:
            return configuration.get_api_key_with_prefix("BearerToken", "authorization") or ""
        except (ConfigException, OSError, ValueError) as error:
            raise ApiUnavailable(f"no token to talk to the API server: {error}") from error

    return Access(configuration.host.rstrip("/"), pool, authorization)


def _tls() -> ssl.SSLContext:
    # Python 3.13 refuses certificates that Go takes, such as one without an Authority Key
    # Identifier; many clusters have these. The chain is verified all the same.
    tls = create_urllib3_context()
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return tls
