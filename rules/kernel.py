"""The kernel's nftables, through libnftables: reads and writes our two tables, nothing else.

One context is held for good: a new one for each transaction costs 50 times as much. Two threads
in one context end in SIGSEGV, so a lock stands before it.
"""

import ctypes
import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nftables import Nftables

from outgate.rules.counts import Count, Counts
from outgate.rules.dumps import Dumps
from outgate.rules.errors import KernelRefused
from outgate.rules.generation import Generation
from outgate.rules.model import (
    TABLE,
    AddChain,
    AddRules,
    AddTable,
    Chain,
    DeleteChain,
    DeleteTable,
    Family,
    FlushChain,
    Hook,
    Operation,
    Ruleset,
    Transaction,
)
from outgate.rules.nft import parse, script

_CLONE_NEWNET = 0x40000000
_MESSAGE_MAX = 300  # characters of nft's own words: it repeats the whole command

_FEW = 8
"""Chains that are read one by one; of more, all are."""

_Name = tuple[Family, str]


class NftKernel:
    """The edge to nftables; see `outgate.rules.edge.Kernel`. Any thread may call it.

    It works in the network namespace of the thread that makes it, or in the one bound at `netns`.
    """

    def __init__(self, *, netns: Path | None = None) -> None:
        self._lock = threading.Lock()
        edges = _edges() if netns is None else _in_namespace(netns)
        self._nft, self._generation, self._dumps, self.counts = edges
        self._nft.set_json_output(True)
        # Each chain as it was written, and as the kernel has had it since.
        self._written: dict[_Name, Chain] = {}
        self._seen: dict[_Name, bytes] = {}
        # The ruleset's generation when `touched` was last asked, or that of our own write since.
        self._asked = -1

    def touched(self) -> bool:
        """Whether anybody else wrote to nftables since this was last asked: 0.01 ms to know.

        A write to another's table counts too: all tables have one number.
        """
        with self._lock:
            before, self._asked = self._asked, self._number()
            return before != self._asked

    def observe(self) -> Ruleset | None:
        """Our tables as they are; None if there is no `inet` table of ours.

        A chain that reads as it did when it was written has the rules it was written with. What
        can't be read is not ours, whatever its name is: None as well, so that it is replaced.
        """
        with self._lock:
            families = self._dumps.families()
            items = [item for family in families for item in self._list(f"table {family} {TABLE}")]
            seen = {
                (family, name): found
                for family in families
                for name, found in self._dumps.chains(family).items()
            }
        if "inet" not in families:
            return None
        try:
            tables = dict(parse({"nftables": items}))
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        for family, table in tables.items():
            chains = {
                name: self._recognised((family, name), chain, seen.get((family, name), b""))
                for name, chain in table.chains.items()
            }
            tables[family] = replace(table, chains=chains)
        return Ruleset(tables)

    def apply(self, transaction: Transaction) -> None:
        """Each stage all or nothing; KernelRefused at the first that the kernel does not take."""
        if not transaction:
            return
        with self._lock:
            before, stages = self._number(), transaction.stages
            for stage in stages:
                self._run(script(stage), object_=f"table {TABLE}", op="change")
            after = before + len(stages)
            if before == self._asked and self._number() == after:
                self._asked = after  # ours were the only ones
            touched = self._remember(operation for stage in stages for operation in stage)
            # Only theirs: another chain may read differently now because it was tampered with.
            if len(touched) <= _FEW:
                for family, name in touched:
                    self._seen[family, name] = self._dumps.chains(family, name).get(name, b"")
            else:
                seen = {family: self._dumps.chains(family) for family in self._dumps.families()}
                for family, name in touched:
                    self._seen[family, name] = seen.get(family, {}).get(name, b"")

    def cleanup(self) -> None:
        """Remove our tables, whoever made them, and only them."""
        with self._lock:
            for family in self._dumps.families():
                self._run(
                    f"delete table {family} {TABLE}", object_=f"table {family} {TABLE}", op="delete"
                )
            self._written.clear()
            self._seen.clear()

    def counters(self) -> Mapping[str, Count]:
        """What our named counters have counted, by name."""
        return self.counts.named()

    def listing(self) -> str:
        """Our tables in nft's own words, with their counters; empty if there are none."""
        with self._lock:
            families = self._dumps.families()
            self._nft.set_json_output(False)
            try:
                return "".join(
                    self._run(f"list {what}", object_=what, op="list")
                    for what in (f"table {family} {TABLE}" for family in families)
                )
            finally:
                self._nft.set_json_output(True)

    def _number(self) -> int:
        try:
            return self._generation.number()
        except OSError as error:
            raise KernelRefused("generation", "read", str(error)) from error

    def _recognised(self, name: _Name, chain: Chain, seen: bytes) -> Chain:
        written = self._written.get(name)
        if written is None or self._seen.get(name) != seen:
            return chain
        if _without_device(written.hook) == _without_device(chain.hook):
            return written
        return replace(written, hook=chain.hook)

    def _remember(self, operations: Iterable[Operation]) -> frozenset[_Name]:
        """Keep the chains as they were written; which ones were."""
        written, before = dict(self._written), self._written
        for operation in operations:
            match operation:
                case AddTable(table):
                    for name, chain in table.chains.items():
                        written[table.family, name] = replace(chain)  # even if equal: written now
                case DeleteTable(family):
                    written = {key: chain for key, chain in written.items() if key[0] != family}
                case DeleteChain(family, name):
                    written.pop((family, name), None)
                case AddChain(family, name, hook):
                    written[family, name] = Chain((), hook)
                case AddRules(family, name, rules) if known := written.get((family, name)):
                    written[family, name] = replace(known, rules=known.rules + rules)
                case FlushChain(family, name):
                    # Of a chain that another process made, the hook is as it is listed.
                    old = written.get((family, name), Chain(()))
                    written[family, name] = replace(old, rules=())
                case _:
                    pass
        self._written = written
        return frozenset(key for key, chain in written.items() if before.get(key) is not chain)

    def _list(self, what: str) -> list[dict[str, Any]]:
        output = self._run(f"list {what}", object_=what, op="list")
        listing: list[dict[str, Any]] = json.loads(output)["nftables"] if output else []
        return listing

    def _run(self, script: str, *, object_: str, op: str) -> str:
        code, output, error = self._nft.cmd(script)
        if code != 0:
            raise KernelRefused(object_, op, _trimmed(error))
        return str(output)


def _without_device(hook: Hook | None) -> Hook | None:
    # nft 1.0.6 leaves an egress chain's device out of its JSON. A chain that is listed has its
    # device: the kernel either deletes it with the device or puts it back on one of that name.
    return hook and replace(hook, device="")


def _trimmed(error: str) -> str:
    """nft's first complaint, on one line: what follows quotes the script."""
    line = next((line for line in error.splitlines() if "rror" in line), error.strip())
    return line[:_MESSAGE_MAX]


_Edges = tuple[Nftables, Generation, Dumps, Counts]


def _edges() -> _Edges:
    return Nftables(), Generation(), Dumps(), Counts()


def _in_namespace(netns: Path) -> _Edges:
    """Those of another network namespace: a socket stays in the one it was made in."""
    made: list[_Edges | OSError] = []

    def make() -> None:
        try:
            _enter(netns)
            made.append(_edges())
        except OSError as error:
            made.append(error)

    # A thread of its own: the caller's stays where it is.
    thread = threading.Thread(target=make, name=f"nftables in {netns.name}")
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def _enter(netns: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns", str(netns))
    finally:
        os.close(descriptor)
