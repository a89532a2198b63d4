"""What nodes say to each other about virtual IPs, as bytes, proven, over UDP.

`PeerCodec` is all of it without I/O; `PeerSocket` is the socket, `Keyring` the mounted Secret.
Modules: `keys` and `seal` prove a datagram, `window` refuses what came before, `parts` cuts what
is large, `bodies` turns the engine's words into bytes, `message` is those for all who hear them,
`session` is what is known of one other node, `moves` repeats what moved until it is known, `codec`
ties them.

What is believed
----------------

*Who said it.* A datagram carries an HMAC-SHA-256 (RFC 2104), cut to 16 bytes (§5 there), over its
header and the SHA-256 of its body. The header names the sender, the receiver, the keys, the
sender's boot and a counter that rises with each datagram. So what was meant for one node is
nothing to another, and each datagram counts once (a window of 1,024, RFC 6479).
All nodes share the keys: a proof says that a node of the mesh spoke, and each is trusted to name
itself. The source address has to be the one that the agent gave for that name.

*When it was said.* A receiver that restarts has forgotten which counters came. Then a recorded
heartbeat would be new to it. The engine takes no evidence from one: acknowledgements and `Heard`
name the boot and counter of *its own* heartbeats, and it knows only those of this boot. But it
would take the sender for alive, believe what it held then, and might let go because it was called
silent: an address that nobody takes over, or that is lost. So each datagram also names the boot of
its receiver, as the sender knows it (`echo`), and nothing is believed that names another. What
names this boot was made after this process began, and the window has seen all of that.
Who speaks to a boot that is gone, or knows none, is told by a `HELLO`; that takes one round trip.
A hello, or a recorded message, moves the boot that is known of a node only upwards, and only to
one that it really had; what comes of an older one is refused.

*What is left* to somebody on the wire: to withhold, and to deliver late, once. The engine reckons
with both.

Rotating the key without a gap
------------------------------

A Secret has a file for each key, named by its id, and a file `active` with the ids that are sent
with, one or two. All keys there are accepted.

1. receive only: add the new key, leave `active` at the old id.
2. both: `active` names the old and the new id; each datagram has two proofs.
3. new: `active` names the new id.
4. remove the old key.

Nodes that are two steps apart understand each other: before a step is made, all must have read
the one before the last. A Secret reaches the nodes within about two minutes.
"""

from outgate.vip.peer.codec import Answer, PeerCodec
from outgate.vip.peer.keyring import Keyring
from outgate.vip.peer.udp import PeerSocket
from outgate.vip.peer.words import Datagram, Moved, MovedHeard

__all__ = ["Answer", "Datagram", "Keyring", "Moved", "MovedHeard", "PeerCodec", "PeerSocket"]
