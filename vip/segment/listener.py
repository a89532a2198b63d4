"""All ARP and neighbour discovery on the LAN's links, down to what concerns watched addresses.

Two sockets a link, of one protocol each: packets of IPv4 pass without meeting a filter.
"""

from collections.abc import Container, Iterable

from outgate.vip.segment.filters import ARP_FRAMES, ND_FRAMES
from outgate.vip.segment.spoken import (
    ARP,
    ARP_SENDER,
    ARP_TARGET,
    ETHERTYPE,
    IP6_SOURCE,
    ND_TARGET,
    Spoken,
    spoken,
)
from outgate.vip.segment.taps import Kind, Taps

_ARP = Kind(0x0806, ARP_FRAMES)  # linux/if_ether.h: ETH_P_ARP
_ND = Kind(0x86DD, ND_FRAMES, all_multicast=True)  # ETH_P_IPV6


class Listener:
    """Hears links (needs CAP_NET_RAW); none at first. storm: see `Taps`."""

    def __init__(self, *, storm: int) -> None:
        self._taps = Taps(storm=storm)

    def fileno(self) -> int:
        """Readable while there is something to hear."""
        return self._taps.fileno()

    def listen(self, interfaces: Iterable[str]) -> dict[str, str]:
        """Hears these links from now on, and no others; which it can't, and why."""
        kinds = (_ARP, _ND)
        return self._taps.open({(name, kind): None for name in interfaces for kind in kinds})

    def hear(self, watched: Container[bytes], *, now: float) -> list[Spoken]:
        """Who has spoken for a watched address (packed), this node among them."""
        found: list[Spoken] = []
        for _, frame in self._taps.hear(now=now):
            # Most frames end here: a look-up or two on raw bytes.
            if frame[ETHERTYPE] == ARP:
                if frame[ARP_SENDER] not in watched and frame[ARP_TARGET] not in watched:
                    continue
            elif frame[ND_TARGET] not in watched and frame[IP6_SOURCE] not in watched:
                continue
            said = spoken(frame)
            if said is not None and said.address in watched:
                found.append(said)
        return found

    def next_due(self) -> float | None:
        """When to hear again although `fileno` says nothing; None if that isn't needed."""
        return self._taps.next_due()

    def close(self) -> None:
        """Closes the sockets."""
        self._taps.close()
