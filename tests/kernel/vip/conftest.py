"""Whole vip processes on a real LAN. There is no API server: they settle among themselves."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.vip.processes import Vip, eventually, some_keys
from kernel.vip.vip_lan import AWAY, PATIENT, UNDERLAY, VIP4, VIP6, Clock, Lan, Start


@pytest.fixture
def lan() -> Iterator[Lan]:
    with contextlib.ExitStack() as stack:
        yield Lan(stack)


@pytest.fixture
def start(lan: Lan, tmp_path: Path) -> Iterator[Start]:
    keys = some_keys(tmp_path)
    (tmp_path / "kubeconfig").write_text(AWAY)
    with contextlib.ExitStack() as stack:

        def started(host: str, *, clock: Clock | None = None) -> Vip:
            folder = tmp_path / host
            folder.mkdir(exist_ok=True)
            options = {"keys": keys, "kubeconfig": tmp_path / "kubeconfig", **PATIENT}
            run = clock.run() if clock is not None else ("-m", "outgate.vip")
            vip = Vip(lan.exec(host), host, folder, mesh=UNDERLAY, options=options, run=run)
            stack.callback(vip.end, signal.SIGKILL)
            return vip

        yield started


@pytest.fixture
def pair(lan: Lan, start: Start) -> dict[str, Vip]:
    """Two members, of which each has one of the addresses, or one has both."""
    vips = {host: start(host) for host in ("a", "b")}
    for vip in vips.values():
        vip.told(VIP4, VIP6, members=("a", "b"))
    for address in (VIP4, VIP6):
        eventually(lambda address=address: lan.answers(address))  # type: ignore[misc]
    return vips
