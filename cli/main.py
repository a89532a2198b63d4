"""The `outgate` command: finds its subcommands, and imports only the one that is run."""

from importlib import import_module
from importlib.metadata import version
from typing import cast

import click

# Where each subcommand is: the module is imported when it is run, or listed by --help.
COMMANDS = {
    "crds": "outgate.cli.crds:crds",
    "drain": "outgate.cli.drain:drain",
    "uninstall": "outgate.cli.uninstall:uninstall",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that none pays for another's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for a name that is not one."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        return cast(click.Command, getattr(import_module(module), attribute))


@click.group(cls=LazyGroup)
@click.version_option(version("outgate"), prog_name="outgate")
def main() -> None:
    """Outgate: pods leave the cluster with stable addresses."""
