"""The gate in the kernel: see `outgate.vip.gate` for what it promises, `rules` for how."""

import errno
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from outgate.api.view import IPAddress
from outgate.daemon.closing import Closing
from outgate.vip.engine.events import Adopted
from outgate.vip.gate import plan, rules, tables
from outgate.vip.gate.channel import Channel, Refused
from outgate.vip.gate.errors import GateRefused, Lapsed
from outgate.vip.gate.frames import span
from outgate.vip.gate.model import Change, Observed
from outgate.vip.gate.refresher import Refresher
from outgate.vip.gate.state import State, claimed, forgotten, numbered, released
from outgate.vip.gate.state_file import StateFile
from outgate.vip.gate.tables import Fingerprint, Tables

log = structlog.get_logger()

CONTENTS = 2.0
"""Seconds, at least, between two readings of our sets."""

_TRIES = 20
"""Of one lease: a fuse burns down when the process is kept from the CPU for some milliseconds."""

_TOO_SLOW = "not once was the process fast enough"


class GateKernel(Closing):
    """The edge to nf_tables; see `outgate.vip.gate.edge.Gate`. For one thread.

    Of the network namespace of the thread that makes it. It remembers what it wrote, so that what
    somebody else takes away is put back, and nothing is read to write.
    """

    def __init__(self, state: StateFile, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = state, clock
        try:
            self._channel = Channel()
            self._refresher = Refresher(self._channel)
        except OSError as error:
            raise GateRefused(f"open sockets: {error}") from error
        self._tables = Tables(self._channel)
        self._state: State = {}
        self._managed: dict[str, frozenset[IPAddress]] = {}
        self._inherited: frozenset[IPAddress] = frozenset()
        self._owned: dict[IPAddress, str] = {}
        self._passing: dict[IPAddress, float] = {}
        self._until: dict[str, float] = {}
        self._fuses = 0
        self._generation = -1
        self._fingerprint: Fingerprint = ()
        # Whether somebody has written since our sets were last read, and when that was.
        self._unread, self._read = False, float("-inf")
        self.repaired = 0
        """How often somebody had tampered."""

    def start(self) -> tuple[Adopted, ...]:
        """Rules as they should be, elements as they are; unknown owners are silenced."""
        self._state = self._file.read()
        now = self._clock()  # before the look: no lease seems longer than it is
        seen = self._tables.observe()
        numbers = {kept.number for kept in self._state.values()}
        text = rules.install(seen.numbers | numbers)
        remade = False
        try:
            tables.write(text)
        except GateRefused:
            # Made by another version, with other types.
            tables.write(rules.anew() + text + rules.contents(seen))
            remade = True
        names = {kept.number: name for name, kept in self._state.items()}
        until = {names[n]: now + left for n, left in seen.alive.items() if n in names}
        self._inherited = seen.managed
        self._owned = {
            address: names[number]
            for address, number in seen.owned.items()
            if number in names
            and names[number] in until
            and address in self._state[names[number]].epochs
        }
        self._until = {name: until[name] for name in frozenset(self._owned.values())}
        stale = seen.numbers - {self._state[name].number for name in self._until}
        self._correct(seen, stale)
        self._look_again()
        if remade:
            self._relight()
        return tuple(
            Adopted(name, address, self._state[name].epochs[address], self._until[name])
            for address, name in sorted(self._owned.items(), key=lambda one: _order(one[0]))
        )

    def manage(self, gateway: str, addresses: Iterable[IPAddress]) -> None:
        """Gates what is new, lets pass what is no longer there."""
        now, before = frozenset(addresses), self._managed.get(gateway, frozenset())
        fresh = gateway not in self._state
        if fresh:
            state = numbered(self._state, gateway)
            self._save(state)
            self._script(rules.gateway(self._number(gateway)))
        if now == before:
            self._managed[gateway] = now
            return
        self.release(a for a in before - now if self._owned.get(a) == gateway)
        known = self._all_managed()
        self._managed[gateway] = now
        self._inherited -= now
        gone = known - self._all_managed()
        self._commit([*plan.unmanage(gone), *plan.manage(now - known)])

    def settled(self) -> None:
        """Lets pass what no gateway of now has."""
        gone = self._inherited - frozenset().union(*self._managed.values())
        for gateway in self._state.keys() - self._managed.keys():
            self.forget(gateway)
        self.release(gone)
        self._inherited = frozenset()
        self._commit(list(plan.unmanage(gone)))

    def forget(self, gateway: str) -> None:
        """Nothing of the gateway is gated."""
        self.release([a for a, owner in self._owned.items() if owner == gateway])
        gone = self._managed.pop(gateway, frozenset()) - self._all_managed()
        self._commit(list(plan.unmanage(gone)))
        if gateway in self._state:
            self._script(rules.without_gateway(self._number(gateway)))
            self._save(forgotten(self._state, gateway))

    def claim(
        self, gateway: str, addresses: Iterable[IPAddress], *, epoch: int, until: float
    ) -> None:
        """The lease first, where there is one already: nothing outlasts it."""
        wanted = frozenset(addresses)
        if gateway not in self._managed and gateway not in self._until:
            raise GateRefused(f"claim for {gateway}: it is not managed")
        number = self._number(gateway)
        now = self._clock()
        if not plan.timeout(until, now=now):
            raise Lapsed(f"claim for {gateway}: {now - until:.3f} s too late")
        self._save(claimed(self._state, gateway, wanted, epoch=epoch))
        # The addresses are dropped, not let pass, while they are neither here nor there.
        gate = plan.manage(wanted - self._all_managed())
        self._managed[gateway] = self._managed.get(gateway, frozenset()) | wanted
        passing = self._no_longer_passing(wanted)
        if self._until.get(gateway, float("-inf")) > now:
            try:
                self._refresh(gateway, until=min(until, self._until[gateway]))
            except Lapsed:
                pass  # between the look at the clock and now
            else:
                taken = wanted - {a for a in wanted if self._owned.get(a) == gateway}
                elsewhere = taken & self._owned.keys()
                self._commit([*gate, *plan.disown(elsewhere), *plan.own(number, taken), *passing])
                self._owned |= dict.fromkeys(taken, gateway)
                return
        # What it had before must not come to life with the new lease.
        gone = {a for a, owner in self._owned.items() if owner == gateway or a in wanted}
        self._commit(
            [
                *gate,
                *plan.end(number),
                *plan.disown(gone),
                *plan.own(number, wanted),
                *passing,
            ]
        )
        self._until.pop(gateway, None)
        self._owned = {a: owner for a, owner in self._owned.items() if a not in gone}
        self._owned |= dict.fromkeys(wanted, gateway)
        self._begin(gateway, until=until)

    def refresh(self, gateway: str, *, until: float) -> None:
        """No transaction: four frames, 0.2 ms of CPU, whatever the number of addresses."""
        if gateway not in self._until:
            raise Lapsed(f"refresh of {gateway}: it has no lease")
        self._refresh(gateway, until=until)

    def release(self, addresses: Iterable[IPAddress], *, pass_on: float = 0.0) -> None:
        """Out of the map, and the lease with the last one."""
        gone = frozenset(addresses) & self._owned.keys()
        if not gone:
            return
        late = int(pass_on * 1000)
        changes = list(plan.disown(gone))
        if late >= plan.SHORTEST:
            changes += plan.pass_on(gone, timeout=late)
        owned = {a: gateway for a, gateway in self._owned.items() if a not in gone}
        over = frozenset(self._owned.values()) - frozenset(owned.values())
        for gateway in over:
            changes += plan.end(self._number(gateway))
        self._commit(changes)
        self._owned = owned
        for gateway in over:
            self._until.pop(gateway, None)
        if late >= plan.SHORTEST:
            self._passing |= dict.fromkeys(gone, self._clock() + pass_on)
        self._save(released(self._state, gone))

    def check(self) -> bool:
        """0.01 ms where nobody but us wrote to nftables; else our rules are read and compared.

        Sets, too, but not more often than every CONTENTS seconds: where others write without pause,
        a thousand addresses would take a third of a CPU.
        """
        number = self._number_of_ruleset()
        if number != self._generation:
            self._generation, self._unread = number, True
            if self._tables.fingerprint() != self._fingerprint:
                self._put_back()
                return True
        if not self._unread or self._clock() < self._read + CONTENTS:
            return False
        self._unread, self._read = False, self._clock()
        if not self._tampered():
            return False
        self._put_back()
        return True

    def remove(self) -> None:
        """Both tables go."""
        self._script(rules.anew())
        for memory in (self._managed, self._owned, self._until, self._passing):
            memory.clear()
        self._inherited = frozenset()
        self._save({})

    def close(self) -> None:
        """Closes the sockets."""
        self._refresher.close()
        self._channel.close()

    def _begin(self, gateway: str, *, until: float) -> None:
        """A lease, whatever there was, by a transaction."""
        number = self._number(gateway)
        for _ in range(_TRIES):
            self._fuses += 1
            self._commit(plan.fuse(self._fuses))
            # After the fuse was lit: nothing before this line counts.
            timeout = plan.timeout(until, now=self._clock())
            if not timeout:
                raise Lapsed(f"lease of {gateway}: too late")
            try:
                self._send(plan.lease(number, timeout=timeout, fuse=self._fuses))
            except Refused as refused:
                if refused.code != errno.ENOENT:
                    raise GateRefused(f"lease of {gateway}: {refused}") from refused
                if self._tampered():
                    self._put_back()
                continue  # else the fuse burnt down
            self._until[gateway] = until
            return
        raise GateRefused(f"lease of {gateway}: {_TOO_SLOW}")

    def _refresh(self, gateway: str, *, until: float) -> None:
        """The lease that there is, by frames. Raises Lapsed."""
        number = self._number(gateway)
        for _ in range(_TRIES):
            self._fuses += 1
            try:
                lit = self._refresher.light(number, fuse=self._fuses)
                # After the fuse was lit: nothing before this line counts.
                timeout = span(plan.timeout(until, now=self._clock()))
                if not timeout:
                    raise Lapsed(f"lease of {gateway}: too late")
                if lit and self._refresher.refresh(number, fuse=self._fuses, span=timeout):
                    self._until[gateway] = until
                    return
                lives = self._refresher.left(number) > 0
            except OSError as error:
                raise GateRefused(f"refresh of {gateway}: {error}") from error
            if lit and lives:
                continue  # the fuse burnt down
            if self._tampered():
                self._put_back()
            elif not lives:
                self._until.pop(gateway, None)
                raise Lapsed(f"lease of {gateway}: it has run out")
        raise GateRefused(f"lease of {gateway}: {_TOO_SLOW}")

    def _commit(self, changes: Sequence[Change]) -> None:
        """One transaction; where somebody has tampered, once more after that is mended."""
        try:
            self._send(changes)
        except Refused as refused:
            if not self._tampered():
                raise GateRefused(f"change the tables: {refused}") from refused
            self._put_back()
            try:
                self._send(changes)
            except Refused as again:
                raise GateRefused(f"change the tables: {again}") from again

    def _send(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        try:
            self._channel.commit(changes)
        except OSError as error:
            raise GateRefused(f"change the tables: {error}") from error
        self._generation += 1

    def _script(self, text: str) -> None:
        tables.write(text)
        self._generation += 1
        self._fingerprint = self._tables.fingerprint()

    def _tampered(self) -> bool:
        if self._tables.fingerprint() != self._fingerprint:
            return True
        seen = self._tables.observe()
        return (
            seen.managed != self._all_managed()
            or dict(seen.owned) != self._numbered()
            or not self._tables.whole(seen)
        )

    def _put_back(self) -> None:
        """Makes the tables anew in one transaction: from dropping all, until leases are there."""
        desired = Observed(managed=self._all_managed(), owned=self._numbered())
        numbers = {kept.number for kept in self._state.values()}
        tables.write(rules.anew() + rules.install(numbers) + rules.contents(desired))
        self._passing.clear()
        self.repaired += 1
        log.warning("gate mended", repaired=self.repaired)
        self._look_again()
        self._relight()

    def _look_again(self) -> None:
        self._generation = self._number_of_ruleset()
        self._fingerprint = self._tables.fingerprint()

    def _relight(self) -> None:
        """Leases that went with the tables: until when they would have lived, no longer."""
        now = self._clock()
        for gateway, until in list(self._until.items()):
            if plan.timeout(until, now=now):
                self._begin(gateway, until=until)

    def _correct(self, seen: Observed, silence: frozenset[int]) -> None:
        changes: list[Change] = []
        for number in sorted(silence):
            changes += plan.end(number)
        changes += plan.disown(seen.owned.keys() - self._owned.keys())
        try:
            self._send(changes)
        except Refused as refused:
            raise GateRefused(f"silence what is not known: {refused}") from refused
        kept = {kept.number for kept in self._state.values()}
        for number in sorted(silence - kept):
            tables.write(rules.without_gateway(number))

    def _no_longer_passing(self, addresses: frozenset[IPAddress]) -> Sequence[Change]:
        """What passes on after a move must not do so after the next lease has lapsed."""
        now = self._clock()
        self._passing = {a: until for a, until in self._passing.items() if until > now}
        if not addresses & self._passing.keys():
            return ()
        changes = list(plan.stop_passing())
        for address in addresses & self._passing.keys():
            del self._passing[address]
        for address, until in self._passing.items():
            left = int((until - now) * 1000)
            if left >= plan.SHORTEST:
                changes += plan.pass_on([address], timeout=left)
        return changes

    def _all_managed(self) -> frozenset[IPAddress]:
        return self._inherited.union(*self._managed.values())

    def _numbered(self) -> dict[IPAddress, int]:
        return {a: self._number(gateway) for a, gateway in self._owned.items()}

    def _number(self, gateway: str) -> int:
        return self._state[gateway].number

    def _save(self, state: State) -> None:
        self._file.write(state)
        self._state = state

    def _number_of_ruleset(self) -> int:
        try:
            return self._channel.generation()
        except OSError as error:
            raise GateRefused(f"read the generation: {error}") from error


def _order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)
