"""What the shell asks of the gate: `GateKernel`, or `FakeGate` in its tests."""

from collections.abc import Iterable
from typing import Protocol

from outgate.api.view import IPAddress
from outgate.vip.engine.events import Adopted


class Gate(Protocol):
    """Times are the monotonic clock's, absolute, in seconds; all raise GateRefused."""

    def start(self) -> tuple[Adopted, ...]:
        """Brings the rules in; what of a former process still lives, and is known. Before all."""

    def manage(self, gateway: str, addresses: Iterable[IPAddress]) -> None:
        """All addresses of a gateway that this node is a member of; replaces the last word.

        What is managed and not claimed is silent: say it before the agent programs source NAT for
        it. What is no longer among them passes freely: say it after the agent has taken it away.
        """

    def settled(self) -> None:
        """All gateways were told: what a former process managed beyond them passes freely."""

    def forget(self, gateway: str) -> None:
        """This node is no member any more: its addresses pass freely."""

    def claim(
        self, gateway: str, addresses: Iterable[IPAddress], *, epoch: int, until: float
    ) -> None:
        """The addresses live until then, and with them all that the gateway had, no longer.

        Where the gateway's lease has lapsed, what it had before stays silent. Raises Lapsed.
        """

    def refresh(self, gateway: str, *, until: float) -> None:
        """All that the gateway has lives until then, no later but for a jiffy, and little sooner
        (`outgate.vip.gate`). Raises Lapsed if `until` is past, or the lease: then all is lost."""

    def release(self, addresses: Iterable[IPAddress], *, pass_on: float = 0.0) -> None:
        """Silent at once; packets of them pass for so many seconds more. Not owned: fine.

        Then take them off the link, also if packets still pass: the kernel asks for next hops in
        the name of a local source (ARP, ND), and that is not let out.
        """

    def check(self) -> bool:
        """Whether somebody had tampered with the rules or the sets; they are right again.

        For each turn of the loop: rules are noticed at the next one, elements within 2 s.
        """

    def remove(self) -> None:
        """Takes everything away: nothing is gated any more."""

    def close(self) -> None:
        """Closes the sockets; leases run out by themselves."""
