"""The segment around this node: what to listen and to answer for, on the links as they are."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
import structlog

from outgate.vip.engine import actions as act
from outgate.vip.engine import events as ev
from outgate.vip.model import Observed
from outgate.vip.placement import place, uplinks_down
from outgate.vip.protocol import Word
from outgate.vip.segment import ReturnPathUnknown
from outgate.vip.shell.chronicle import Chronicle
from outgate.vip.shell.claims import Claims
from outgate.vip.shell.edges import Edges
from outgate.vip.shell.lan import lan_links
from outgate.vip.shell.memberships import addresses_of, parse

log = structlog.get_logger()


class Surroundings:
    """Keeps the edges of the segment at what is claimed and known.

    unfit: of each gateway whose addresses belong on links that are down, which those are.
    """

    def __init__(self, edges: Edges, claims: Claims, chronicle: Chronicle) -> None:
        self._edges, self._claims, self._chronicle = edges, claims, chronicle
        self._known: tuple[Observed, Word] | None = None
        self.unfit: Mapping[str, str] = {}

    def seen(self, word: Word) -> Word:
        """The agent's word, and what the links say against serving a gateway."""
        if not self.unfit:
            return word
        groups = (
            msgspec.structs.replace(one, unfit=one.unfit or self.unfit.get(one.gateway, ""))
            for one in word.groups
        )
        return msgspec.structs.replace(word, groups=tuple(groups))

    def claimed(self, word: Word | None) -> None:
        """The claims, or the agent's word, have changed."""
        self._edges.segment.hold(self._claims.own)
        if word is not None:
            self._edges.lan.hold(
                self._claims.own,
                interface=word.interface,
                standby=word.standby or bool(word.groups),
            )

    def seek(self, nodes: Iterable[str], word: Word | None) -> None:
        """Other nodes, on the link that this one speaks to them on."""
        observed = self._edges.lan.observed
        if observed is None or word is None or word.node not in word.nodes:
            return
        own = parse(word.nodes[word.node])
        link = next((one.interface for one in observed.foreign if one.address == own), None)
        if link is not None:
            addresses = [parse(word.nodes[node]) for node in nodes if node in word.nodes]
            self._edges.segment.seek(addresses, interface=link)

    def listen(self, word: Word | None, *, now: float) -> Iterator[ev.Event]:
        """What the segment has to say."""
        self._know(word)
        for heard in self._edges.segment.turn(now=now):
            if not isinstance(heard, ReturnPathUnknown):
                yield heard
            elif (own := self._claims.own.get(heard.address)) is not None:
                self._chronicle.unknown(own.gateway, heard.address, why=heard.why, now=now)

    def mind(self, *, now: float) -> None:
        """Ends the troubles that are over, and looks again after those that may be."""
        self._chronicle.expire(now=now)
        again = self._chronicle.troubles.recheck(now=now)
        if again:
            self._edges.segment.check(act.CheckReturnPath(again))

    def _know(self, word: Word | None) -> None:
        observed = self._edges.lan.observed
        if observed is None or word is None:
            return
        if self._known is not None and self._known[0] is observed and self._known[1] is word:
            return
        self._known = observed, word
        self._look_up(observed, word)
        addresses = [parse(address) for group in word.groups for address in group.addresses]
        unheard = self._edges.segment.know(
            lan_links(observed, addresses, default=word.interface),
            macs=(link.mac for link in observed.links),
            place=lambda address: place(address, observed.links, default=word.interface),
        )
        for link, why in unheard.items():
            log.error("segment not heard", link=link, error=why)

    def _look_up(self, observed: Observed, word: Word) -> None:
        """Sees whether the uplinks are up, and tells people when that changes."""
        before = self.unfit
        self.unfit = {
            group.gateway: f"uplink {', '.join(down)} is down"
            for group in word.groups
            if (down := uplinks_down(addresses_of(group), observed.links, default=word.interface))
        }
        for gateway, why in self.unfit.items():
            if before.get(gateway) != why:
                log.warning("addresses can't be served", gateway=gateway, why=why)
        for gateway in before.keys() - self.unfit.keys():
            log.info("addresses can be served again", gateway=gateway)
