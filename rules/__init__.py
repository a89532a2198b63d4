"""The nftables tables of one node: model, plan, diff, kernel."""
