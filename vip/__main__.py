"""outgate-vip: holds and announces this node's egress addresses, as the agent says."""

import contextlib
import time
from importlib.metadata import version
from pathlib import Path

import click

from outgate.daemon.log import LEVELS, configure
from outgate.daemon.supervisor import Supervisor
from outgate.vip.announcer import REFRESH
from outgate.vip.errors import WireRefused
from outgate.vip.glance import perhaps_owned
from outgate.vip.holder import Addresses, Holder
from outgate.vip.protocol import SOCKET_PATH
from outgate.vip.server import VipServer
from outgate.vip.wire import RawWire, warm


@click.command(context_settings={"auto_envvar_prefix": "OUTGATE_VIP"})
@click.version_option(version("outgate"), prog_name="outgate-vip")
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=SOCKET_PATH,
    show_default=True,
    help="Unix socket that the agent talks to.",
)
@click.option(
    "--refresh",
    type=click.FloatRange(min=1.0),
    default=REFRESH,
    show_default=True,
    help="Seconds between announcements once an address has settled.",
)
@click.option(
    "--log-level",
    envvar="OUTGATE_LOG_LEVEL",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
)
def main(socket: Path, refresh: float, log_level: str) -> None:
    """Hold egress addresses on this node and announce them to the LAN.

    On SIGTERM the addresses stay: another vip process adopts them. `outgate-agent --cleanup`
    removes them.
    """
    configure(level=log_level)
    holder = Holder(
        addresses=_addresses,
        wire=_wire,
        adopt=perhaps_owned,
        refresh=refresh,
        wall=time.time() - time.monotonic(),
    )
    Supervisor([VipServer(holder, path=socket)]).run()


def _addresses() -> Addresses:
    from outgate.vip.kernel import AddressKernel  # noqa: PLC0415 - 0.4 s, gateway nodes only

    return AddressKernel()


def _wire() -> RawWire:
    wire = RawWire()
    with contextlib.suppress(WireRefused):  # said when there is a frame to send
        warm()
    return wire


if __name__ == "__main__":
    main()
