"""Egress IPs on the LAN: holding and announcing them."""
