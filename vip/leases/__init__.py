"""The Leases of a gateway's members at the API server: read, and swapped.

One `coordination.k8s.io/v1` Lease for each gateway and node, all in Outgate's namespace. What they
are for says `outgate.vip.engine`. Modules: `names` (what a Lease is called, and whose it is),
`mapping` (a `Record` as a Lease and back, and what others' edits mean), `requests` (one of them at
the API server), `worker` (a thread that lets nothing pile up), `client` (what the loop talks to).

Who may write them is the API server's matter: the agent's service account, in this namespace.
"""

from outgate.vip.leases.client import LeaseClient

__all__ = ["LeaseClient"]
