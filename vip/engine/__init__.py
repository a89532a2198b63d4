"""Virtual IPs: which node answers for which address, decided without I/O (`Engine`).

Every gateway node runs one engine. It hears heartbeats and acknowledgements of the others, the
Leases as they are read and swapped, and what probes found; it says what to send, to write, to ask,
to put into the kernel. Time is an argument. Modules: `events` in, `actions` out, `words` between
nodes; `peers` and `roster` keep what is known of heartbeats and of Leases; `evidence` says how long
to hold, `rights` what may be taken; `group`, `holds`, `leases`, `taking`, `segment` and `restart`
act on it, `voice` speaks; `engine` ties them.

Why no host on a segment is answered by two nodes
-------------------------------------------------

*A hold ends by itself.* An address answers only while its kernel element lives. Each refresh makes
it live until D after evidence, and a refresh never revives what has run out. So whatever happens to
a process, stopped, killed or cut off, its kernel is silent D after its last evidence. What was lost
stays lost until it is claimed again, by all the rules.

*Evidence counts from when it was asked for.* A peer acknowledges one heartbeat; D runs from when
that one was sent, a Lease's term from when the renewal was sent. Delay, reordering, duplicates and
pauses can only make evidence older. One-way links: what A hears of B is no evidence for A; only
that B has heard A.

*A taker needs everybody.* To take an address, a node needs of each other member, one by one:

- that it is heard, has heard the want, and neither holds the address nor wants it more: consent,
  not older than `freshness`, counted from the heartbeat of ours that it had heard. Of two that want
  an address, the rendezvous order decides. So nobody races, and nobody is asked twice; or
- that it is silent, and gone: all who are heard have called it silent, its kernel must have let go,
  and its Lease says that it is out.

*A link is one that carries both ways.* Who says that he does not hear this node is as silent as one
who does not speak: nothing of his is acknowledged, so that he can be taken over. What he says that
he holds is his all the same, as far as his Lease does not tell otherwise.

*Calling somebody silent is a promise*: for `withhold`, which outlasts `freshness` under any drift,
the speaker acknowledges nothing of it. A process that has just started may have promised something
and forgotten; it acknowledges nothing for as long.

*When the silent one's kernel has let go.* If it is the only silent one, all its possible witnesses
are heard, and have promised; the last heartbeat of it that any of them heard bounds its evidence by
D. If others are silent, too, they may be acknowledging it. Therefore a node holds for `isolation`
only after the *slowest* member that is in has acknowledged it, and the taker waits that long after
he himself, or anybody who is heard, has last heard it. All waits are by the taker's clock, longer
by the factor (1 + drift) / (1 - drift), and the margin of kernel timers.

*The Lease* of each gateway and node says: in, or deposed; and the term that its node relies on,
where acknowledgements don't come (two nodes cut from each other, both seeing the API server: the
Lease decides). Deposing is a compare-and-swap on the version that was read; a term in it has to
pass first, counted from when that version was first seen; a renewal in between makes the swap fail.
One swap moves all the addresses of a dead node: they are free then, and each heir takes its own.
Before a node writes that its Lease is no longer relied on, it stops relying on it.

*Two nodes may depose each other* in the same moment, each other's Leases being different objects.
So whoever goes by somebody's being out first renews his own Lease, after he has learned of it. Of
two such pairs of swaps one is the first to begin; its node's own renewal comes after the other's
Lease was swapped, and makes the other's swap fail, or fails itself.

*Coming back.* A deposed node writes itself in again. Others may not know for `roster_age`; for so
long, or until all others have said that they know, its acknowledgements are not counted. And it
deposes nobody who has not reckoned with it, for `settle`, within which all who can hold by its
being out have read the Leases again.

The failsafe (`partition: Availability`)
----------------------------------------

Where none of this can be had, because the API server is away, Availability goes on by the segment
itself. A holder keeps its addresses while no member that is heard has called it silent. A silent
member's address is taken without its Lease, if all who are heard agree, its time has passed, and
nobody has answered a probe of this very moment; one node after the other, by rank. While a node
holds so, it asks the segment each interval whether still nobody else answers. If somebody does,
twice in a row, it lets go; of those that hear nobody, one asks twice more, and the others let go
meanwhile. So both sides of a parted segment may be served; when it heals, one heartbeat, or two
such questions, end it: whom the others have deposed gives way; where the Leases say nothing,
the higher epoch stays, of equal ones the greater name. Who stays says anew where its addresses are,
as soon as it hears the other and when that one has let go: hosts may have asked in between, and
believed it.

Consistency does neither. There the Lease is the only right to what a silent member had: a lone node
that sees the API server, and two that see only each other, could not both be right. A holder keeps
its addresses without the API server as long as all members that are in acknowledge it.

What this rests on: clocks differ in rate by at most `drift`; the kernel's timers run on while the
process is stopped (not while a whole virtual machine is: after such a pause its elements live on
for what they had left, at most D); a segment in one piece answers one of three probes; boots of a
node get greater numbers.
"""

from outgate.vip.engine.engine import Engine
from outgate.vip.engine.settings import DEFAULTS, Partition, Settings, validate

__all__ = ["DEFAULTS", "Engine", "Partition", "Settings", "validate"]
