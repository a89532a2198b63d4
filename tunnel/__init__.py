"""The VXLAN mesh of one node: device, neighbours, routes, rules."""
