import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from outgate.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.get_short_help_str()


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main, ["crd"])
    assert result.exit_code == 2
    assert "No such command 'crd'" in result.output


def test_the_version_is_said() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.startswith("outgate, version ")


def test_a_command_does_not_pay_for_the_libraries_of_others() -> None:
    code = (
        "import sys; from outgate.cli.main import main\n"
        "main(['crds'], standalone_mode=False)\n"
        "print(sorted({'kubernetes', 'pyroute2', 'scapy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
