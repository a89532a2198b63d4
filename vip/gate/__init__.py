"""The gate: the kernel lets an address answer, leave and arrive only while a lease lives there.

Two nftables tables of the vip process' own, `arp outgate_vip` and `inet outgate_vip`. The agent
programs source NAT for all addresses of a gateway on each of its members; which member may use one
is decided here. What is managed and not owned, or owned by a lease that has run out, is dropped and
counted: ARP and ND in both directions, what comes for the address, what leaves with it. The node
itself is never reached by a managed address, owner or not: no reset, no ICMP error.

What holds, whatever happens to the process
-------------------------------------------

*A lease ends by itself*, at `until`, which is absolute: an element with a timeout. It may end up to
20 ms earlier (the fuse and rounding), and one jiffy later (1 to 10 ms: CONFIG_HZ 1000 to 100). The
engine's `Settings.margin` is for that jiffy.

*A refresh never revives what has lapsed.* It deletes the element and adds it, in one transaction;
the kernel refuses to delete what has run out. (A plain add refreshes nothing before Linux 6.12.)
A claim after that first takes away whatever the gateway had before.

*A process that is stopped between the look at its clock and the transaction does no harm*: see
`outgate.vip.gate.plan.lease`. The kernel refuses by itself.

*Tampering is noticed and put back*: `refresh` and all other words fail on tables that are gone, and
mend them before they go on; `check`, which the shell calls at each turn, sees by the ruleset's
generation that somebody has written: rules are compared at once, sets every 2 s at most. Mended
tables come in one transaction, and drop all until the leases are written again, for what was left
of them. If the process is stopped, nobody mends: who flushes a host's whole ruleset then, takes the
gate with it. Addresses that are not on a link here still don't answer.

What it costs others
--------------------

Each refresh is two transactions, so the ruleset's generation rises some 20 times a second; and
libnftables begins a listing anew when the generation has changed meanwhile. Beside 10,000 policies,
where the agent's table takes it a second, neither `nft list ruleset` nor the agent's reading of its
tables came to an end within 30 s with 10 refreshes a second (4.6 s and 0.9 s with 5). Writing goes
on (20 to 70 ms). So a large table beside a gate has to be read by bare netlink, one set or chain
at a time.

Modules: `rules` text, `plan` changes of elements, `messages` their bytes, `state` what a restart
has to know: all pure; `channel`, `tables`, `state_file` edges; `kernel` ties them; `edge` is what
others need to know, `fake` the same in memory.
"""

from outgate.vip.gate.edge import Gate
from outgate.vip.gate.errors import GateRefused, Lapsed

__all__ = ["Gate", "GateRefused", "Lapsed"]
