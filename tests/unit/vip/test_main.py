"""The command line of outgate-vip."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from outgate.vip.__main__ import main
from outgate.vip.config import CHOSEN


def test_help_names_every_option_with_its_default() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    for name in (*CHOSEN, "partition", "socket", "port", "keys", "namespace", "refresh"):
        assert f"--{name}" in done.output
    for default in ("/run/outgate/vip.sock", "7790", "/etc/outgate/vip-keys", "Availability"):
        assert default in done.output


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--lease", "0.4"], {}, "it must be at least 457 ms"),
        ([], {"OUTGATE_VIP_LEASE": "0.4"}, "it must be at least 457 ms"),
        (["--partition", "Perhaps"], {}, "Availability"),
        (["--port", "0"], {}, "1<=x<=65535"),
        (["--misses", "3.5"], {}, "not a valid integer"),
    ],
)
def test_what_makes_no_sense_ends_it_before_it_begins(
    arguments: list[str], environment: dict[str, str], says: str
) -> None:
    done = CliRunner().invoke(main, arguments, env=environment)
    assert done.exit_code == 2
    assert says in done.output


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from outgate.vip.__main__ import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'pyroute2', 'scapy', 'kubernetes', 'urllib3'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=30)
