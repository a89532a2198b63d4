"""Which part of the vip process gets which edge: made in one place."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outgate.kube.api import Api
from outgate.vip.engine.settings import Settings
from outgate.vip.errors import WireRefused
from outgate.vip.gate.kernel import GateKernel
from outgate.vip.gate.state_file import StateFile
from outgate.vip.glance import perhaps_owned
from outgate.vip.holder import Addresses, Holder
from outgate.vip.leases import LeaseClient
from outgate.vip.peer.keyring import Keyring
from outgate.vip.segment import SegmentEdge
from outgate.vip.shell.boot_file import BootFile
from outgate.vip.shell.driver import Driver, Identity
from outgate.vip.shell.edges import Edges
from outgate.vip.shell.loop import Speaker, VipLoop
from outgate.vip.shell.word_file import WordFile
from outgate.vip.wire import RawWire, warm


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process is, and where what it needs is; as the options say it."""

    socket: Path
    port: int
    keys: Path
    namespace: str
    kubeconfig: str | None = None


def loop_of(
    place: Place,
    settings: Settings,
    *,
    refresh: float,
    wall: float,
    connect: Callable[[], Api] | None = None,
) -> VipLoop:
    """All that a vip process is made of. wall: Unix time at 0 of the monotonic clock.

    connect: how to reach the API server, if not as the place says.
    """
    leases = LeaseClient(
        namespace=place.namespace,
        settings=settings,
        connect=connect or (lambda: _api(place.kubeconfig)),
    )
    speaker = Speaker(port=place.port)
    segment = SegmentEdge()
    holder = Holder(
        addresses=_addresses, wire=_wire, adopt=perhaps_owned, refresh=refresh, wall=wall
    )
    edges = Edges(
        gate=GateKernel(StateFile(place.socket.with_name("vip-state.json"))),
        lan=holder,
        segment=segment,
        leases=leases,
        voice=speaker,
    )
    driver = Driver(
        edges,
        Identity(
            boot=BootFile(place.socket.with_name("vip-boot")).next(
                clock=time.time_ns() // 1_000_000
            ),
            wall=wall,
        ),
        settings=settings,
    )
    return VipLoop(
        driver,
        speaker=speaker,
        keyring=Keyring(place.keys),
        words=WordFile(place.socket.with_name("vip-word.json")),
        path=place.socket,
        leases=leases,
        segment=segment,
    )


def _api(kubeconfig: str | None) -> Api:
    from outgate.kube.client import Client  # noqa: PLC0415 - 6 MB, gateway nodes only

    return Client.connect(kubeconfig)


def _addresses() -> Addresses:
    from outgate.vip.kernel import AddressKernel  # noqa: PLC0415 - 0.4 s, gateway nodes only

    return AddressKernel()


def _wire() -> RawWire:
    wire = RawWire()
    with contextlib.suppress(WireRefused):  # said when there is a frame to send
        warm()
    return wire
