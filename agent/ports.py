"""How many ports of each egress address are in use: pure.

Two flows may leave by one port if they go to different places: what runs out is the ports towards
one destination (address and port), and 64,512 of them are given out for flows that began above 1023
(linux: nf_nat_core.c, find_best_ips_proto and nf_nat_l4proto_unique_tuple).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from outgate.api.view import IPAddress

PORTS = 65536 - 1024
"""Ports of an address towards one destination."""

ALARM = 0.8
"""Share of the ports in use at which there is reason to worry. The kernel tries 128 ports for a new
flow and then drops it (linux: nf_nat_core.c): it fails now and then before all are taken."""

PROTOCOLS: Mapping[int, str] = {6: "tcp", 17: "udp", 132: "sctp"}


@dataclass(frozen=True, slots=True)
class Binding:
    """A flow that was given a port: `address` and `port` are what the destination sees."""

    address: IPAddress
    port: int
    protocol: int
    destination: IPAddress
    destination_port: int


@dataclass(frozen=True, slots=True)
class PortUse:
    """Of one address and protocol, towards the destination that uses most of its ports."""

    used: int
    destination: IPAddress
    destination_port: int

    @property
    def alarming(self) -> bool:
        """Whether the ports are about to run out."""
        return self.used >= ALARM * PORTS


def port_use(
    bindings: Iterable[Binding], addresses: Iterable[IPAddress]
) -> Mapping[tuple[IPAddress, str], PortUse]:
    """By address and protocol; of these addresses, and where any port is used."""
    ours = frozenset(addresses)
    used: dict[tuple[IPAddress, int, IPAddress, int], set[int]] = {}
    for one in bindings:
        if one.address in ours and one.protocol in PROTOCOLS:
            towards = (one.address, one.protocol, one.destination, one.destination_port)
            used.setdefault(towards, set()).add(one.port)
    most: dict[tuple[IPAddress, str], PortUse] = {}
    for (address, protocol, destination, port), ports in used.items():
        name = address, PROTOCOLS[protocol]
        if name not in most or len(ports) > most[name].used:
            most[name] = PortUse(len(ports), destination, port)
    return most
