"""Which benchmarks there are. One module each; it is imported when it is to run."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark by its name, and what it measures in a line.

    Its module is named like it, and has `run() -> tuple[Figure, ...]`, which leaves nothing behind.
    seconds: that it may take.
    """

    name: str
    about: str
    seconds: int = 240

    def run(self) -> tuple[Figure, ...]:
        """Measure. Raises what the machine refuses."""
        module = import_module(f"bench.{self.name.replace('-', '_')}")
        return cast(Callable[[], tuple[Figure, ...]], module.run)()


BENCHMARKS = (
    Benchmark("packet-cost", "CPU per packet at 0 to 10,000 policies, against no Outgate"),
    Benchmark("throughput", "TCP and UDP by a gateway node, against VXLAN with masquerading"),
    Benchmark("programming", "one pod more, one policy more, and the whole start"),
    Benchmark("pod-start", "from a pod's address in the API to its first right packet"),
    Benchmark("memory", "memory and start of agent and vip, idle and in a large cluster"),
    Benchmark("gateway-scale", "CPU and memory at the gateway with 100 to 100,000 pods behind it"),
    Benchmark("failover", "how long an address is away, against keepalived", seconds=3600),
    Benchmark("planned-move", "what a move of an address does to 200 TCP flows", seconds=1800),
    Benchmark("hand-over", "50,000 flows whose address moves as planned", seconds=900),
    Benchmark("many-addresses", "1,000 addresses on a node that is cut off", seconds=1800),
    Benchmark("vip-idle", "CPU of the vip process on an idle gateway node"),
    Benchmark("api-load", "requests for Leases, in peace and at a death, at 3 to 300 nodes"),
)
