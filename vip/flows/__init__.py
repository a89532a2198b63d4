"""Connections survive a move of their address: their source nodes tell the new holder of them.

    source node                                          new holder
    FlowTable ─Seen─▶ record_of ─▶ telling ─Streams─▶ from_bytes ─▶ Others.amended ─▶ derive
                                                                     ─Entry─▶ Inserter.insert

Modules: `records` (a flow in 17 bytes), `entries` (what it is in whose table), `ctnetlink` (those
as messages of the kernel), `table` (reads and writes them), `remapped` and `watch` with `bpf` (the
few that can't be derived), `messages`, `framing`, `streams` (between nodes), `telling`, `zone`.

Pods of a gateway node itself have one entry instead of two: it is bound to the address while their
node holds it, and to their own while it is elsewhere. When the address goes, the node first tells
the new holder of them, like a source node (the record has the port that the outside sees), then
makes them anew, `bound_elsewhere`; when it comes, `bound_here`. `Inserter.rebind` does both, with
no more than microseconds between the old entry and the new.
"""
