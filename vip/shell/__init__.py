"""The vip process: the engine, its edges, and what ties them.

`driver` tells the engine what happens, `acting` carries out what it decides; neither has a loop or
a clock. `loop` waits for sockets and for time; `agents` are the ends of the Unix socket.
`memberships`, `claims` and `notes` are without I/O: the agent's word as events, who holds what,
what people should know. So are `troubles` (what is wrong, while it lasts) and `tally` (counts);
`chronicle` keeps all three. `handover` has connections follow their addresses; behind it are
`told`, `preparing`, `ports` and `making`. `word_file` keeps the agent's last word, so that a
process that starts while the agent is away knows what it is about.
"""
