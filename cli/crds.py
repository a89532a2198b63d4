"""`outgate crds`: the CustomResourceDefinitions, printed, written to a folder, or compared with it.

The typed values in `outgate.api` are the source; the files are made, never edited.
"""

from pathlib import Path

import click
import yaml

from outgate.api.crd import crds as definitions

HEADER = "---\n# Made from api/ by `outgate crds --write`: edit there.\n"


def rendered() -> dict[str, str]:
    """File name → YAML text of each definition; the same bytes for the same `api/`."""
    return {
        f"{definition['spec']['group']}_{definition['spec']['names']['plural']}.yaml": HEADER
        + yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)
        for definition in definitions().values()
    }


def differences(folder: Path) -> list[str]:
    """What is wrong with the files of a folder, one sentence each, sorted."""
    wanted = rendered()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    return sorted(
        [f"{name} is missing" for name in wanted.keys() - found.keys()]
        + [f"{name} is no definition of ours" for name in found.keys() - wanted.keys()]
        + [
            f"{name} differs from what api/ says"
            for name in wanted.keys() & found.keys()
            if wanted[name] != found[name]
        ]
    )


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--write", type=_FOLDER, metavar="FOLDER", help="Write a file each into the folder.")
@click.option("--check", type=_FOLDER, metavar="FOLDER", help="Fail if the folder's files differ.")
def crds(write: Path | None, check: Path | None) -> None:
    """Print the CustomResourceDefinitions as YAML, or write or check their files."""
    if write and check:
        raise click.UsageError("--write and --check exclude each other: give one of them.")
    if write:
        for name, text in rendered().items():
            (write / name).write_text(text, encoding="utf-8")
        if left := differences(write):
            raise click.ClickException(f"{write}: {', '.join(left)}: remove what is left over.")
    elif check:
        if wrong := differences(check):
            sentences = "\n".join(f"  {sentence}" for sentence in wrong)
            raise click.ClickException(
                f"{check} is out of date:\n{sentences}\nRun `outgate crds --write {check}`."
            )
    else:
        click.echo("".join(rendered().values()), nl=False)
