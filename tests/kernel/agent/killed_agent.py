"""A whole agent in a process of its own to be killed: NODE, and its vip process' SOCKET.

Its API is in its own memory, and a policy changes there all the time, so that there is always an
apply to die in. Says "starting" before the first pass and "applying" after it.
"""

import itertools
import sys
import threading
from pathlib import Path

from kernel.agent.test_agent import EIP, populate, put_holder, put_policy, tunnel_of
from kernel.harness import NODES, node_address
from msgspec.structs import replace

from outgate.agent.config import AgentSettings
from outgate.agent.wiring import parts_of
from outgate.api.kinds import EGRESS_TUNNEL
from outgate.api.tunnel import EgressTunnelStatus, Underlay
from outgate.kube.fake import FakeApi

NETWORKS = 50
EVERYTHING = ((), ("0.0.0.0/0", "::/0"), ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"))


def main(node: str, path: Path) -> None:
    """Runs until it is killed."""
    api = FakeApi()
    populate(api)
    # A new agent's first pass may come before it has heard its vip process.
    put_holder(api, "first", known="first")
    put_policy(api)
    for number, name in enumerate(NODES, start=1):
        ipv4, ipv6 = (str(node_address(name, version)) for version in (4, 6))
        status = EgressTunnelStatus(underlay=Underlay(interface="eth0", ipv4=ipv4, ipv6=ipv6))
        api.put(EGRESS_TUNNEL, replace(tunnel_of(name, number), status=status))
    programmed, stop = threading.Event(), threading.Event()
    settings = AgentSettings(node=node, vip_socket=path)
    parts = parts_of(api, settings, first_time=programmed.set)
    print("starting", flush=True)
    for task in parts.tasks:
        threading.Thread(target=task.run, args=(stop,), daemon=True).start()
    programmed.wait()
    print("applying", flush=True)
    for turn in itertools.count():
        destinations = tuple(f"10.9.{n}.0/25" for n in range(turn % NETWORKS + 1))
        put_policy(api, EIP, name="churn", dest=destinations)
        # The pods' own policy, too: other words for the same, so that they leave as before.
        put_policy(api, dest=EVERYTHING[turn % len(EVERYTHING)])
        stop.wait(0.01)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
