"""outgate-vip: settles with the other nodes who holds which egress address, and holds it."""

import contextlib
import time
from pathlib import Path
from typing import Any

import click
import structlog

from outgate.api.settings import SettingsWrong
from outgate.daemon.log import LEVELS, configure
from outgate.daemon.realtime import begin
from outgate.vip import config
from outgate.vip.announcer import REFRESH
from outgate.vip.config import settings_from, timing_options
from outgate.vip.protocol import SOCKET_PATH

log = structlog.get_logger("outgate.vip")


@click.command(context_settings={"auto_envvar_prefix": "OUTGATE_VIP"})
@click.version_option(package_name="outgate", prog_name="outgate-vip")
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=SOCKET_PATH,
    show_default=True,
    help="Unix socket that the agent talks to.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=config.PORT,
    show_default=True,
    help="UDP and TCP port between nodes.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    default=config.KEYS,
    show_default=True,
    help="Directory with the keys that nodes prove their words with.",
)
@click.option("--namespace", default="outgate", show_default=True, help="Of the Leases.")
@click.option("--kubeconfig", default=None, help="Outside of a cluster: how to reach it.")
@click.option(
    "--refresh",
    type=click.FloatRange(min=1.0),
    default=REFRESH,
    show_default=True,
    help="Seconds between announcements once an address has settled.",
)
@click.option(
    "--realtime/--no-realtime",
    default=True,
    show_default=True,
    help="Run before all that is not real-time: who is late counts as dead.",
)
@timing_options
@click.option(
    "--log-level",
    envvar="OUTGATE_LOG_LEVEL",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
)
def main(
    *,
    socket: Path,
    port: int,
    keys: Path,
    namespace: str,
    kubeconfig: str | None,
    refresh: float,
    realtime: bool,
    log_level: str,
    **timings: Any,
) -> None:
    """Settle with the other gateway nodes who holds which egress address; hold and announce it.

    On SIGTERM the addresses stay for a while: another vip process adopts them. `outgate-agent
    --cleanup` removes them.
    """
    configure(level=log_level)
    try:
        settings = settings_from(**timings)
    except SettingsWrong as error:
        raise click.UsageError(str(error)) from error
    from outgate.daemon.supervisor import Supervisor  # noqa: PLC0415
    from outgate.vip.wiring import Place, loop_of  # noqa: PLC0415

    place = Place(socket=socket, port=port, keys=keys, namespace=namespace, kubeconfig=kubeconfig)
    with contextlib.closing(loop_of(place, settings, refresh=refresh, wall=_wall())) as loop:
        if realtime:
            _in_real_time()
        Supervisor([loop]).run()


def _in_real_time() -> None:
    try:
        begin()
    except OSError as error:
        log.warning(
            "not in real time: while the node is busy, addresses may lapse",
            error=error.strerror,
            needs="the capability SYS_NICE; and on cgroup v1, with a kernel that has "
            "CONFIG_RT_GROUP_SCHED, sysctl kernel.sched_rt_runtime_us=-1",
        )


def _wall() -> float:
    return time.time() - time.monotonic()


if __name__ == "__main__":
    main()
