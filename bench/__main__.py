"""`python -m bench [NAME]`: runs one benchmark, shows and writes its figures; or lists them."""

import os

import click

from bench import ROOT, report
from bench.environment import BadSetting
from bench.netns import OutOfTime, bounded
from bench.registry import BENCHMARKS


@click.command()
@click.argument("name", required=False, default="")
def main(name: str) -> None:
    """Run the benchmark NAME, or list all. Fails only if it can't measure."""
    known = {one.name: one for one in BENCHMARKS}
    if not name:
        width = max(map(len, known))
        for one in BENCHMARKS:
            click.echo(f"{one.name:<{width}}  {one.about}")
        return
    if name not in known:
        raise click.UsageError(f"no benchmark {name!r}: there are {', '.join(known)}")
    if os.geteuid() != 0:
        raise click.ClickException("network namespaces need root")
    machine = report.machine()
    try:
        with bounded(known[name].seconds):
            figures = known[name].run()
    except BadSetting as error:
        raise click.UsageError(str(error)) from error
    except OutOfTime as error:
        raise click.ClickException(f"{name}: {error}") from error
    report.show(name, figures)
    path = report.write(name, report.document(name, figures, machine=machine))
    click.echo(f"written to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(prog_name="python -m bench")
