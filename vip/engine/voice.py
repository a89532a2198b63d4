"""What this node says: each gateway's part as long as nothing changes, a heartbeat around them."""

from collections.abc import Mapping

import msgspec

from outgate.vip.engine.actions import Send
from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.group import Group
from outgate.vip.engine.peers import NEVER, Peers
from outgate.vip.engine.requests import Requests
from outgate.vip.engine.settings import Settings
from outgate.vip.engine.taking import Taking
from outgate.vip.engine.words import Heartbeat, Say


class Voice:
    """Makes heartbeats. changed: something that they say may have. urgent: others wait for one."""

    def __init__(
        self, node: str, *, boot: int, settings: Settings, peers: Peers, requests: Requests
    ) -> None:
        self._node, self._boot, self._settings = node, boot, settings
        self._peers, self._requests = peers, requests
        self.says: dict[str, Say] = {}
        self.to: tuple[str, ...] = ()
        self.changed = False
        self.urgent = False
        self._sent = NEVER

    def next_beat(self) -> float:
        """When the next heartbeat is due."""
        return self._sent + self._settings.interval if self.to else FOREVER

    def heed(
        self, groups: Mapping[str, Group], takings: Mapping[str, Taking], *, now: float
    ) -> bool:
        """Rebuilds what heartbeats say, where it has changed; whether one should go out at once."""
        if self.changed:
            self.changed = False
            says = {
                gateway: self._say(group, takings[gateway], now)
                for gateway, group in groups.items()
            }
            if says != self.says:
                self.says = says
                return True
        return self.urgent

    def _say(self, group: Group, taking: Taking, now: float) -> Say:
        old = self.says.get(group.gateway)
        new = Say(
            group.gateway,
            0 if old is None else old.serial,
            group.highest,
            group.fit,
            group.inside,
            group.joined(now),
            group.holds.claims(),
            frozenset(taking.wants),
            taking.asks,
            frozenset(p.node for p in group.others if group.roster.out(p.node)),
        )
        if old is not None and new == old:
            return old
        return msgspec.structs.replace(new, serial=new.serial + 1)

    def beat(self, groups: Mapping[str, Group], *, now: float) -> Send | None:
        """The heartbeat of this moment; None if there is nobody to hear it."""
        if not self.to:
            return None
        self._sent = now
        self.urgent = False
        announced = (group.holds.announced for group in groups.values())
        outs = {
            gateway: groups[gateway].outs(now)
            for gateway, say in self.says.items()
            if say.out and gateway in groups
        }
        peers = self._peers.say(now=now)
        heartbeat = Heartbeat(
            self._node,
            self._boot,
            self._peers.counter,
            self._requests.sees(now),
            max(announced, default=self._settings.lease),
            outs,
            peers,
            self.says,
        )
        return Send(self.to, heartbeat)
