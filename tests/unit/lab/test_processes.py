import pytest

from outgate.lab.processes import program


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/containerd --config x", "containerd"),
        ("/opt/outgate/bin/python /opt/outgate/bin/outgate-vip", "outgate-vip"),
        ("/usr/bin/python3.13 /opt/outgate/bin/outgate-agent --cleanup", "outgate-agent"),
        ("/venv/bin/python -m outgate.lab.nodeinit plan.json", "python"),
        ("python3", "python3"),
        ("", ""),
    ],
)
def test_a_script_is_known_by_its_own_name(command: str, name: str) -> None:
    assert program(command) == name
