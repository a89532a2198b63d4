"""The API server, as an edge: client, watches, stores, leases."""
