"""Allocation, assignment and status: decides for the whole cluster, never in a packet's path."""
