import pytest
from click.testing import CliRunner

from outgate.lab.cli import FAULTS, main
from outgate.lab.passing import Kind

COMMANDS = {
    "up",
    "down",
    "list",
    "status",
    "exec",
    "logs",
    "kill-node",
    "start-node",
    "pause",
    "resume",
    "fault",
    "partition",
    "heal",
    "cut-api",
    "link-down",
    "link-up",
    "stop-api",
    "start-api",
    "capture",
    "load-image",
    "kubectl",
    "helm",
    "build",
    "packages",
}


def test_every_command_is_there_and_explains_itself() -> None:
    assert set(main.commands) >= COMMANDS
    for command in main.commands.values():
        assert command.help


def test_packages_are_printed_one_a_line() -> None:
    lines = CliRunner().invoke(main, ["packages"]).output.splitlines()
    assert lines == sorted(set(lines))
    assert {"etcd-server", "containerd", "nftables", "libc6-dev"} <= set(lines)


@pytest.mark.parametrize("arguments", [["up", "--name", "A_B"], ["up", "--nodes", "1"]])
def test_wrong_input_is_one_line_and_exit_code_one(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1


def test_a_lab_that_is_not_up_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    result = CliRunner().invoke(main, ["kubectl", "--name", "nosuchlab", "get", "pods", "-A"])
    assert result.output == ("Error: lab nosuchlab is not up: outgate-lab up --name nosuchlab\n")


def test_whoever_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = CliRunner().invoke(main, ["down"])
    assert "run it as root" in result.output


def test_every_kind_of_fault_can_be_asked_for() -> None:
    assert set(FAULTS) == {kind.value for kind in Kind}
