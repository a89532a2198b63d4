"""Ports that source NAT had to change: the members of a gateway tell each other, while they live.

Who has just come, or restarted, or missed something, is told all of it; the rest as it changes.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from outgate.vip.engine.evidence import FOREVER
from outgate.vip.engine.peers import NEVER
from outgate.vip.errors import VipError
from outgate.vip.flows.remapped import Changes, Others, Own

log = structlog.get_logger()

RESYNC = 300.0
"""Seconds between looks at all flows whose port was changed: events may be lost."""

LOOK = 0.5
"""Seconds between looks at who has yet to be told everything."""

KEEP = 60.0
"""Seconds that the word of a node counts which is no member any more: its addresses are on their
way to others, and with them the flows."""


class Watch(Protocol):
    """What hears the kernel: `RemappedWatch`."""

    own: Own
    overrun: bool

    def fileno(self) -> int:
        """Readable when there are changes."""

    def turn(self) -> Changes:
        """What has changed."""

    def resync(self) -> Iterator[Changes]:
        """What there is."""

    def close(self) -> None:
        """Hears no more."""


class Ports:
    """For one thread. say: sends to a member; boot_of: which life of it is known, 0 if none is."""

    def __init__(
        self, say: Callable[[str, Changes], None], *, boot_of: Callable[[str], int]
    ) -> None:
        self._say, self._boot_of = say, boot_of
        self.others = Others()
        self.members: frozenset[str] = frozenset()
        """The other members of this node's gateways."""
        self._watch: Watch | None = None
        self._resync = self._look = FOREVER
        self._resyncing: Iterator[Changes] | None = None
        self._informed: dict[str, int] = {}
        self._left: dict[str, float] = {}

    def begin(self, watch: Watch) -> None:
        """This node may become a gateway node."""
        self._watch = watch
        self._resync = self._look = NEVER

    def know(self, members: frozenset[str]) -> None:
        """The other members now."""
        self.members = members
        self._informed = {node: boot for node, boot in self._informed.items() if node in members}

    def hear(self, node: str, changes: Changes) -> None:
        """What another has said."""
        self.others.hear(node, changes)
        self._left.pop(node, None)

    def lost(self, node: str) -> None:
        """What it was told last may not have arrived."""
        self._informed.pop(node, None)

    def turn(self, *, now: float) -> None:
        """Tells what is due."""
        if self._watch is None:
            return
        try:
            self._share(self._watch.turn())
            self._list(self._watch, now)
        except VipError as error:
            self._resyncing = None
            log.warning("changed ports not known", error=str(error))
        if now >= self._look:
            self._look = now + LOOK
            self._inform(self._watch)
            self._forget(now)

    def next_due(self) -> float:
        """When `turn` is due although the watch says nothing."""
        return NEVER if self._resyncing is not None else min(self._resync, self._look)

    def close(self) -> None:
        """Closes the watch."""
        if self._watch is not None:
            self._watch.close()

    def _list(self, watch: Watch, now: float) -> None:
        if self._resyncing is None and (watch.overrun or now >= self._resync):
            self._resync = now + RESYNC
            self._resyncing = watch.resync()
            self._share(Changes(fresh=True, added=tuple(watch.own)))
        if self._resyncing is not None:
            changes = next(self._resyncing, None)
            if changes is None:
                self._resyncing = None
            else:
                self._share(changes)

    def _share(self, changes: Changes) -> None:
        if changes:
            for member in sorted(self._informed):
                self._say(member, changes)

    def _inform(self, watch: Watch) -> None:
        for member in sorted(self.members):
            boot = self._boot_of(member)
            if boot and self._informed.get(member) != boot:
                self._informed[member] = boot
                self._say(member, Changes(fresh=True, added=tuple(watch.own)))

    def _forget(self, now: float) -> None:
        """A node that has died is a member still; who is none has no flows to hand over, soon."""
        left = self.others.nodes - self.members
        self._left = {node: self._left.get(node, now + KEEP) for node in left}
        for node, when in self._left.items():
            if now >= when:
                self.others.forget(node)
