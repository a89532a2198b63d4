"""The lab's segment without a cluster: namespaces, bridge, router, and nothing that runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from outgate.lab import Lab, Options, fabric, lifecycle, pki
from outgate.lab.paths import Paths, make_folder
from outgate.lab.topology import topology


@contextmanager
def segment(options: Options) -> Iterator[Lab]:
    """What `outgate-lab up` would begin with; all that carries its name is gone afterwards."""
    paths, shape = Paths(options.name), topology(options)
    try:
        make_folder(paths.run)
        fabric.create(paths, options, shape)
        pki.issue(paths, shape)  # a Lab reads the certificate of its API server
        yield Lab(options)
    finally:
        lifecycle.sweep(paths)


@contextmanager
def cluster(options: Options) -> Iterator[Lab]:
    """The whole lab, down afterwards, also if it was half made."""
    try:
        yield Lab.up(options, report=print)
    finally:
        lifecycle.down(options.name)
