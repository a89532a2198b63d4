"""Removes what Outgate has put on this node, whoever put it there, and nothing else.

Needs neither the API nor the settings that the agent ran with: what is ours is known by its
names and marks. Running it twice does no harm.
"""

from collections.abc import Iterator

from outgate.api.view import DataPathSettings
from outgate.rules.kernel import NftKernel
from outgate.tunnel.kernel import MeshKernel
from outgate.vip.gate.clear import clear
from outgate.vip.gate.state_file import PATH as STATE
from outgate.vip.glance import perhaps_owned
from outgate.vip.shell.boot_file import PATH as BOOT
from outgate.vip.shell.word_file import PATH as WORD


def clean_up(settings: DataPathSettings) -> Iterator[str]:
    """Removes, in the reverse of the order of adding; says what was there, one by one.

    Raises KernelRefused (of rules or tunnel) or AddressRefused at what can't be removed.
    """
    yield from _addresses()
    yield from _gate()
    yield from _tables()
    yield from _mesh(settings)


def _addresses() -> Iterator[str]:
    if not perhaps_owned():
        return
    from outgate.vip.kernel import AddressKernel  # noqa: PLC0415 - gateway nodes only

    with AddressKernel() as kernel:
        for holding in sorted(kernel.observe().owned, key=lambda one: one.sort_key):
            kernel.remove(holding)
            yield f"address {holding.address} on {holding.interface}"


def _gate() -> Iterator[str]:
    if clear():
        yield "nftables tables arp and inet outgate_vip"
    for kept in (STATE, WORD, BOOT):
        kept.unlink(missing_ok=True)


def _tables() -> Iterator[str]:
    kernel = NftKernel()
    observed = kernel.observe()
    kernel.cleanup()
    for family in sorted(observed.tables) if observed else ():
        yield f"nftables table {family} outgate"


def _mesh(settings: DataPathSettings) -> Iterator[str]:
    kernel = MeshKernel(settings)
    observed = kernel.observe()
    kernel.cleanup()
    kinds = sorted({type(each).__name__.lower() for each in observed.objects})
    for kind in kinds:
        count = sum(type(each).__name__.lower() == kind for each in observed.objects)
        yield f"{count} x {kind}"
    if observed.link:
        yield f"device {observed.link.name}"
