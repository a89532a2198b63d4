"""The node's agent: what the API server holds becomes this node's kernel state."""
