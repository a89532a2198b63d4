"""TCP flows that talk all the time, and what a move of their address does to them."""
