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
engine's `Settings.margin` is for that jiffy. A refresh rounds down to `frames.SPANS`: 5 ms more for
leases below 300 ms, up to a quarter for those of many seconds.

*A refresh never revives what has lapsed.* The rule that writes the lease asks first whether it
lives, and an element that has run out is not found. A claim after that first takes away whatever
the gateway had before.

*A process that is stopped between the look at its clock and the lease does no harm*, nor does a
frame that the kernel takes in late: see `outgate.vip.gate.plan.lease`. The kernel refuses
by itself.

*Nobody else refreshes*: it takes a packet socket in the node's own network namespace (CAP_NET_RAW)
and a mark (CAP_NET_ADMIN; since Linux 5.17 CAP_NET_RAW will do). Who has that can answer ARP
anyway.

*Tampering is noticed and put back*: `refresh` and all other words fail on tables that are gone, and
mend them before they go on; `check`, which the shell calls at each turn, sees by the ruleset's
generation that somebody has written: rules are compared at once, sets every 2 s at most. Mended
tables come in one transaction, and drop all until the leases are written again, for what was left
of them. If the process is stopped, nobody mends: who flushes a host's whole ruleset then, takes the
gate with it. Addresses that are not on a link here still don't answer.

What it costs others
--------------------

A refresh is no transaction: frames of ours come in by the loopback link, and rules write the lease
(`outgate.vip.gate.frames`). So the ruleset's generation stays, libnftables' listings, which begin
anew when it moves, come to an end beside ten refreshes a second of any number of gateways, and no
refresh waits for somebody's long transaction. Claims, releases and words about gateways are
transactions, some each. A refresh takes 0.2 ms of CPU: four frames, and two looks at what they did.

A frame is lost where the kernel's queue is full, or comes late on a busy CPU; it is sent again with
another fuse, for some 100 ms. The two tables are not written as one: where one frame of the last
try is lost, the lease for ARP and that for the rest differ; neither outlasts `until`.

Modules: `rules` text, `plan` changes of elements, `messages` their bytes, `frames` what refreshes,
`state` what a restart has to know: all pure; `channel`, `refresher`, `tables`, `state_file` edges;
`kernel` ties them; `edge` is what others need to know, `fake` the same in memory.
"""

from outgate.vip.gate.edge import Gate
from outgate.vip.gate.errors import GateRefused, Lapsed

__all__ = ["Gate", "GateRefused", "Lapsed"]
